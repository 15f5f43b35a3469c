import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { readFileFact, readNewestRelease } from '../apply/commit.ts';
import { readUnfinished } from '../apply/recover.ts';
import type { ApplyPorts, FileSystem } from '../apply/ports.ts';
import { isInside } from '../apply/state-folder.ts';
import { EnvironmentError, ExplainedError } from '../deployment/errors.ts';
import { listenAddresses } from '../deployment/listen-address.ts';
import { deploymentSchema, type Deployment } from '../deployment/schema.ts';
import type { ContainerFacts } from '../plan/container-facts.ts';
import type { FileFact, HostFacts, ReleaseRecord, ServerFact } from '../plan/facts.ts';
import { isKeptAside } from '../plan/managed-file.ts';
import { deploymentPaths, scopeOf, type Scope } from '../plan/deployment-paths.ts';
import { isPairLink, pairNumberOf } from '../plan/served-pair.ts';
import { listKeysIn } from '../server/policy/key-store.ts';
import { createPorts } from './ports.ts';
import { findPortHolder } from './port-holder.ts';
import { readPersonalFacts, type PersonalWish } from './read-personal-facts.ts';
import { readClusterFacts, type ReadClusterOptions } from './read-cluster-facts.ts';
import { readContainerFacts, type ReadContainerOptions } from './read-container-facts.ts';
import { readSystemFacts, type ReadSystemOptions } from './read-system-facts.ts';
import { readCaFact, readServerCertificateFact, type CertificateFiles } from './read-certificates.ts';

export interface ReadFactsOptions {
  /** Folder of mcp-deploy.yaml, absolute. */
  readonly baseDir: string;
  /** mcp-deploy.yaml itself; that name in baseDir by default. */
  readonly deploymentFile?: string;
  readonly nodePath: string;
  readonly serverFile: string;
  readonly serverVersion: string;
  /** What is wanted: its ports are tried and its certificate files looked at. Null looks at the state folder only. */
  readonly deployment: Deployment | null;
  readonly now: Date;
  readonly ports?: Pick<ApplyPorts, 'files' | 'processes'>;
  /** `.mcp-deploy` in baseDir when absent. */
  readonly stateDir?: string;
  /** Where containers serve, or did. */
  readonly containers?: ReadContainerOptions;
  /** Where a cluster serves, or did. */
  readonly cluster?: ReadClusterOptions;
  /** More files and folders that the plan may write. */
  readonly more?: { readonly files: readonly string[]; readonly folders: readonly string[] };
  /** Of a host: what else is looked at, in system scope. */
  readonly system?: ReadSystemOptions;
  /** The service of a person that runs it, or is to run it. */
  readonly personal?: PersonalWish;
}

/**
 * Looks at what is there now. Changes nothing. A broken certificate of ours is
 * a fact like any other (null while its file is there: it will be issued
 * anew); a key store that cannot be read is an error for whoever wants a
 * deployment, because a new one in its place would lock out everyone who has a
 * key.
 *
 * @throws EnvironmentError (exit 3) for a broken key store, a certificate of the user's that cannot be used, no permission
 */
export async function readHostFacts(options: ReadFactsOptions): Promise<HostFacts> {
  const { baseDir, deployment, now } = options;
  const { files, processes } = options.ports ?? createPorts();
  const stateDir = options.stateDir ?? join(baseDir, '.mcp-deploy');
  const paths = deploymentPaths(stateDir);
  const deploymentFile = options.deploymentFile ?? join(baseDir, 'mcp-deploy.yaml');
  const ca: CertificateFiles = { certificate: paths.caCertificate, key: paths.caKey };

  const newest = await readNewestRelease(files, stateDir);
  const own = await ownServiceFile(files, options.personal, stateDir);
  const release = scopeOf(stateDir) === 'system' ? newest : withinFolder(newest, baseDir, own);
  const server = await readServer({ files, processes }, paths.pidFile, scopeOf(stateDir) === 'system' ? 5_000 : 0);
  const containers =
    options.containers === undefined ? null : await readContainerFacts(options.containers, { files, processes });
  const cluster = options.cluster === undefined ? null : await readClusterFacts(options.cluster, { files, processes });
  const unfinished = await readUnfinished({ ports: { files }, stateDir });
  const serverBuildSha256 =
    deployment === null || containers !== null || scopeOf(stateDir) === 'system'
      ? undefined
      : (await readFileFact(files, options.serverFile))?.sha256;
  return {
    baseDir,
    stateDir,
    now: now.toISOString(),
    hostName: hostname(),
    nodePath: options.nodePath,
    serverFile: options.serverFile,
    serverVersion: options.serverVersion,
    ...(serverBuildSha256 === undefined ? {} : { serverBuildSha256 }),
    deploymentFile: { path: deploymentFile, text: (await files.read(deploymentFile))?.toString('utf8') ?? null },
    files: await readFiles(files, {
      paths: new Set([
        ...(await managedFiles(files, { stateDir, deploymentFile, release })),
        ...(options.more?.files ?? []),
      ]),
      withText: new Set([
        paths.serverConfig,
        ...(options.system?.watched ?? []),
        ...(options.personal === undefined ? [] : [options.personal.file]),
        ...(options.containers?.watched ?? []),
        ...(options.cluster?.watched ?? []),
      ]),
    }),
    directories: await readDirectories(files, stateDir, release, [
      ...(scopeOf(stateDir) === 'system' ? [baseDir] : []),
      ...(options.more?.folders ?? []),
    ]),
    servedPair: await readServedPair(files, stateDir),
    caCertificate: await readCaFact(files, ca, now),
    serverCertificate: await readServerCertificateFact(files, {
      files: certificateFilesOf(deployment, baseDir, stateDir),
      ofUser: deployment?.tls.source === 'files',
      ca,
      now,
    }),
    // Stopping and removing ask nothing of the keys: damaged ones must not keep a server alive.
    activeKeyLabels: deployment === null ? [] : await readKeyLabels(files, paths.keyStore, now),
    server,
    takenPorts:
      // The ports of this machine say nothing about a system that is only staged.
      deployment === null || cluster !== null || (options.system?.stageDir ?? null) !== null
        ? []
        : containers === null
          ? await findTakenPorts(deployment, server, release, scopeOf(stateDir))
          : await findTakenPublished(options.containers?.ports ?? [], server, containers),
    release,
    ...(options.system === undefined
      ? {}
      : { system: await readSystemFacts(options.system, { files, processes }, stateDir, options) }),
    ...(options.personal === undefined
      ? {}
      : { personal: await readPersonalFacts(options.personal, { files, processes }) }),
    ...(containers === null ? {} : { containers }),
    ...(cluster === null ? {} : { cluster }),
    unfinishedJournal: unfinished === null ? null : { file: unfinished.file, purpose: unfinished.purpose },
  };
}

/** Records hold absolute paths. In a folder that was copied or moved they must not reach back into the old one. */
function withinFolder(release: ReleaseRecord | null, baseDir: string, own: string | null): ReleaseRecord | null {
  if (release === null) return null;
  return {
    ...release,
    files: Object.fromEntries(
      Object.entries(release.files).filter(([path]) => isInside(path, baseDir) || path === own),
    ),
    directories: release.directories.filter((path) => isInside(path, baseDir) || (own !== null && isInside(own, path))),
  };
}

/** The file of our service lies elsewhere, and names this folder; that of a folder which this one was copied from names that. */
async function ownServiceFile(
  files: FileSystem,
  personal: PersonalWish | undefined,
  stateDir: string,
): Promise<string | null> {
  if (personal === undefined) return null;
  const text = (await files.read(personal.file))?.toString('utf8');
  return text === undefined || text.includes(stateDir) ? personal.file : null;
}

async function managedFiles(
  files: FileSystem,
  { stateDir, deploymentFile, release }: { stateDir: string; deploymentFile: string; release: ReleaseRecord | null },
): Promise<ReadonlySet<string>> {
  const paths = deploymentPaths(stateDir);
  const { keysDir, pkiDir, serverConfig } = paths;
  const listed = async (folder: string, isWanted: (name: string) => boolean): Promise<readonly string[]> =>
    (await files.list(folder)).filter(isWanted).map((name) => join(folder, name));
  return new Set([
    deploymentFile,
    join(stateDir, '.gitignore'),
    serverConfig,
    ...(await listed(stateDir, (name) => name.startsWith('server.json.') && isKeptAside(name))),
    ...['ca.crt', 'ca.key', 'server.crt', 'server.key'].map((name) => join(pkiDir, name)),
    paths.keyStore,
    paths.firstKey,
    ...(await listed(keysDir, (name) => name.endsWith('.key'))),
    ...(await listed(join(stateDir, 'acme'), (name) => name.endsWith('.key'))),
    ...Object.keys(release?.files ?? {}),
    // Also in a folder that was moved or copied, where the paths in the record are those of another.
    ...(release?.build === undefined ? [] : [join(paths.releasesDir, String(release.build.folder), 'serve.js')]),
  ]);
}

async function readFiles(
  files: FileSystem,
  wanted: { readonly paths: ReadonlySet<string>; readonly withText: ReadonlySet<string> },
): Promise<Record<string, FileFact>> {
  const facts: Record<string, FileFact> = {};
  for (const path of new Set([...wanted.paths, ...wanted.withText])) {
    const fact = await readFileFact(files, path);
    if (fact === null) continue;
    const bytes = wanted.withText.has(path) ? await files.read(path) : null;
    facts[path] = { ...fact, ...(bytes === null ? {} : { text: bytes.toString('utf8') }) };
  }
  return facts;
}

async function readDirectories(
  files: FileSystem,
  stateDir: string,
  release: ReleaseRecord | null,
  others: readonly string[],
): Promise<readonly string[]> {
  const { configDir, keysDir, logsDir, pkiDir, releasesDir, runDir } = deploymentPaths(stateDir);
  const ours = [configDir, keysDir, logsDir, pkiDir, runDir];
  const known = [
    stateDir,
    ...['docker', 'swarm'].flatMap((name) =>
      ['.', 'nginx', 'caddy', 'haproxy', 'traefik', 'grafana', 'secrets'].map((each) => join(stateDir, name, each)),
    ),
    ...['.', 'manifests'].map((each) => join(stateDir, 'kubernetes', each)),
    ...ours,
    ...(scopeOf(stateDir) === 'system' ? [configDir, logsDir, runDir].map((path) => dirname(path)) : []),
    releasesDir,
    ...others,
    join(stateDir, 'acme'),
    join(stateDir, 'journal'),
  ];
  const found: string[] = [];
  for (const path of new Set([...known, ...(release?.directories ?? [])])) {
    if ((await files.stat(path))?.kind === 'directory') found.push(path);
  }
  return found;
}

async function readServedPair(files: FileSystem, stateDir: string): Promise<NonNullable<HostFacts['servedPair']>> {
  const { pkiDir, serverCertificate, serverKey } = deploymentPaths(stateDir);
  const names = await files.list(pkiDir);
  const found = [await files.stat(serverCertificate), await files.stat(serverKey)].filter((stat) => stat !== null);
  return {
    numbers: names.flatMap((name) => pairNumberOf(name) ?? []),
    isLinked: found.every(({ target }) => target !== undefined && isPairLink(target)),
  };
}

function certificateFilesOf(deployment: Deployment | null, baseDir: string, stateDir: string): CertificateFiles {
  if (deployment?.tls.source === 'files') {
    return { certificate: resolve(baseDir, deployment.tls.certificate), key: resolve(baseDir, deployment.tls.key) };
  }
  const { serverCertificate, serverKey } = deploymentPaths(stateDir);
  return { certificate: serverCertificate, key: serverKey };
}

async function readKeyLabels(files: FileSystem, storeFile: string, now: Date): Promise<readonly string[]> {
  const bytes = await files.read(storeFile);
  if (bytes === null) return [];
  try {
    return listKeysIn(bytes.toString('utf8'), now.toISOString())
      .filter(({ state }) => state === 'active' || state === 'rotating')
      .map(({ label }) => label);
  } catch (error) {
    throw new EnvironmentError(`The key store ${storeFile} cannot be read.`, {
      why: `${error instanceof ExplainedError ? [error.message, error.why].filter(Boolean).join(': ') : 'It is damaged.'} A new one would lock out everyone who has a key.`,
      next: `Put it back from your backup. To begin anew with new keys: mv ${storeFile} ${storeFile}.broken`,
      cause: error,
    });
  }
}

async function readServer(
  ports: Pick<ApplyPorts, 'files' | 'processes'>,
  pidFile: string,
  patienceMs: number,
): Promise<ServerFact> {
  const now = await ports.processes.serverState(pidFile);
  if (now.state === 'stopped') return now;
  let noted = parseNotes(await ports.files.read(pidFile));
  // A service that its manager has just started says so in a moment.
  for (let waited = 0; patienceMs > waited && noted.pid !== now.pid; waited += 100) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    noted = parseNotes(await ports.files.read(pidFile));
  }
  const known = noted.pid === now.pid ? noted : { configSha256: '', version: '' };
  return { state: 'running', pid: now.pid, configSha256: known.configSha256, version: known.version };
}

/** What the server wrote about itself; empty texts, which equal no real hash or version, when it has not (yet). */
function parseNotes(bytes: Buffer | null): { pid: number | null; configSha256: string; version: string } {
  let notes: Record<string, unknown> = {};
  try {
    notes = (JSON.parse(bytes?.toString('utf8') ?? '{}') ?? {}) as Record<string, unknown>;
  } catch {
    // being written at this moment
  }
  const { pid, configSha256, version } = notes;
  return {
    pid: typeof pid === 'number' ? pid : null,
    configSha256: typeof configSha256 === 'string' ? configSha256 : '',
    version: typeof version === 'string' ? version : '',
  };
}

async function findTakenPorts(
  deployment: Deployment,
  server: ServerFact,
  release: ReleaseRecord | null,
  scope: Scope,
): Promise<HostFacts['takenPorts']> {
  const ours = portsOfRelease(release);
  const taken: { port: number; holder: string | null }[] = [];
  for (const address of listenAddresses(deployment.server)) {
    if (address.kind === 'unix' || taken.some(({ port }) => port === address.port)) continue;
    const found = await findPortHolder(address.port, hostsToTry(address.host));
    if (!found.taken) continue;
    // The socket of a unit is held by the service manager, also while its service does not run.
    const isSocket = scope === 'system' && found.pid === 1 && ours.has(address.port);
    const isServer =
      server.state === 'running' && (found.pid === null ? ours.has(address.port) : found.pid === server.pid);
    const isOurs = isSocket || isServer;
    if (!isOurs) taken.push({ port: address.port, holder: found.holder });
  }
  return taken;
}

/** Ports that containers are to publish; those of the containers of before are ours. */
async function findTakenPublished(
  ports: readonly number[],
  server: ServerFact,
  { containers }: ContainerFacts,
): Promise<HostFacts['takenPorts']> {
  const ours = new Set(containers.filter(({ running }) => running).flatMap((each) => each.ports));
  const taken: { port: number; holder: string | null }[] = [];
  for (const port of ports) {
    if (ours.has(port)) continue;
    const found = await findPortHolder(port, ['127.0.0.1', '::1']);
    const isServer = server.state === 'running' && found.taken && found.pid === server.pid;
    if (found.taken && !isServer) taken.push({ port, holder: found.holder });
  }
  return taken;
}

/** Where a listener would be in the way of one on this host. */
function hostsToTry(host: string): readonly string[] {
  if (host === '') return ['0.0.0.0', '::'];
  return host === 'localhost' ? ['127.0.0.1', '::1'] : [host];
}

/** Where the system does not tell who holds a port, our own server holds those that it was last given. */
function portsOfRelease(release: ReleaseRecord | null): ReadonlySet<number> {
  const parsed = deploymentSchema.safeParse(release?.desired);
  if (!parsed.success) return new Set();
  return new Set(
    listenAddresses(parsed.data.server).flatMap((address) => (address.kind === 'tcp' ? [address.port] : [])),
  );
}
