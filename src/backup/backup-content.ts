import { basename, join, relative, resolve, sep } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';

/** One file to back up, and its name in the archive. */
export interface Wanted {
  readonly name: string;
  /** Absolute. */
  readonly file: string;
  /** Whether it gives power to who has it: a private key, an API key, the hashes that keys are known by. */
  readonly secret: boolean;
}

export interface BackupContent {
  /** Files and folders beside mcp-deploy.yaml: what the deployment refers to, and what the user named. */
  readonly beside: readonly Wanted[];
  /** Files of .mcp-deploy. */
  readonly state: readonly Wanted[];
  /** The audit file and the log; older ones lie beside them. */
  readonly logs: readonly Wanted[];
  /** Paths that the deployment refers to and that lie elsewhere, and the volumes of containers. */
  readonly leftOut: readonly string[];
}

/** Where folders of the deployment's own are on this host, and the names in them. */
export type StateListing = Readonly<
  Record<'keys' | 'pki' | 'acme' | 'releases', { readonly folder: string; readonly names: readonly string[] }>
>;

/**
 * What belongs into a backup of a deployment. server.json is not in it: a restore makes it anew, for the place it is
 * restored to. The served pair goes in as two plain files, whatever links lead to it. Pure.
 */
export function backupContent(
  deployment: Deployment,
  place: {
    readonly baseDir: string;
    readonly stateDir: string;
    /** The log, where the deployment names no other. */
    readonly logFile: string;
    readonly listing: StateListing;
  },
): BackupContent {
  const { baseDir, stateDir, listing } = place;
  const leftOut: string[] = [];
  const besideOf = (path: string, secret = false): Wanted[] => {
    const file = resolve(baseDir, path);
    if (isBelow(file, stateDir)) return [];
    if (isBelow(file, baseDir)) return [{ name: `beside/${slashed(relative(baseDir, file))}`, file, secret }];
    leftOut.push(file);
    return [];
  };
  const beside = [
    ...secretFiles(deployment).flatMap((path) => besideOf(path, true)),
    ...[...referredFiles(deployment), ...deployment.backup.also].flatMap((path) => besideOf(path)),
  ];
  const state = Object.entries(listing).flatMap(([kind, { folder, names }]) =>
    names
      .filter((name) => isStateFile(kind, name))
      .map((name) => ({
        name: `state/${kind}/${name}`,
        file: join(folder, name),
        secret: kind !== 'pki' || name.endsWith('.key'),
      })),
  );
  const { manager } = deployment.service;
  if (manager === 'docker' || manager === 'swarm') leftOut.push(`the volumes of its containers (docker volume ls)`);
  const logs = deployment.backup.logs ? logFiles(deployment, place) : [];
  return { beside: distinct(beside), state, logs: distinct(logs), leftOut: [...new Set(leftOut)] };
}

/** Paths in mcp-deploy.yaml that the server reads, as they are written there. */
function referredFiles({ server, tls, auth, logs }: Deployment): readonly string[] {
  const tools = Object.values(server.tools).flatMap((tool) => [
    ...('module' in tool ? [tool.module.path] : []),
    ...('http' in tool ? [tool.http.caFile] : []),
  ]);
  const upstreams = Object.values(server.upstreams).map((upstream) =>
    'url' in upstream ? upstream.caFile : undefined,
  );
  const found = [
    ...tools,
    ...upstreams,
    server.content?.path,
    tls.source === 'files' ? tls.certificate : undefined,
    auth.mtls?.ca,
    ...[auth.mtls?.crl].flat(),
    ...(logs.traces === 'off' ? [] : [logs.traces.caFile]),
  ];
  return found.filter((path) => path !== undefined);
}

function secretFiles({ tls, logs }: Deployment): readonly string[] {
  return [tls.source === 'files' ? tls.key : undefined, logs.auditKeyFile].filter((path) => path !== undefined);
}

/** Wherever they are: a restore puts them into a folder of their own, since what is logged now must not be lost for them. */
function logFiles(
  { logs }: Deployment,
  { baseDir, logFile }: { readonly baseDir: string; readonly logFile: string },
): Wanted[] {
  const paths = [logs.audit === 'off' ? undefined : logs.audit, logs.file ?? logFile];
  return paths
    .filter((path) => path !== undefined)
    .map((path) => resolve(baseDir, path))
    .map((file) => ({ name: `logs/${basename(file)}`, file, secret: false }));
}

/** Folders of pairs, links and what an atomic write left are not content. */
function isStateFile(folder: string, name: string): boolean {
  if (name.endsWith('.mcpd-tmp')) return false;
  if (folder === 'pki') return !/^live(?:-\d+)?$/.test(name);
  if (folder === 'releases') return /^\d+\.json$/.test(name);
  return true;
}

/** The first of a name counts: what is secret stays so when it is named once more. */
function distinct(wanted: readonly Wanted[]): readonly Wanted[] {
  return wanted.filter(({ name }, index) => wanted.findIndex((other) => other.name === name) === index);
}

function isBelow(file: string, folder: string): boolean {
  const way = relative(folder, file);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !way.startsWith(sep);
}

function slashed(path: string): string {
  return path.split(sep).join('/');
}
