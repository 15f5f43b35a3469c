import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { readAccount } from '../apply/accounts.ts';
import { readFileFact, readNewestRelease } from '../apply/commit.ts';
import type { ApplyPorts, FileSystem } from '../apply/ports.ts';
import { hasCode } from './file-errors.ts';
import { showUnit } from '../apply/units.ts';
import { deploymentSchema } from '../deployment/schema.ts';
import { parseAccounts } from '../plan/accounts.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { haproxyDropIn, hostProxies, type HostProxy } from '../plan/host-proxies.ts';
import { findPortHolder } from './port-holder.ts';
import type { ProxyFacts, SystemFacts } from '../plan/system-facts.ts';

export interface ReadSystemOptions {
  /** service.user */
  readonly user: string;
  /** Files of the targets, whose text is compared. */
  readonly watched: readonly string[];
  /** Units that are ours or stand in front. */
  readonly units: readonly string[];
  /** As which the files of the deployment are named where a proxy looks for them. */
  readonly siteName: string;
  /** The proxy that is wanted, and the ports it is to listen on; null when nothing is wanted. */
  readonly front: { readonly proxy: HostProxy | null; readonly ports: readonly number[] } | null;
  /** The folder below which a system that does not run is looked at; null for this machine. */
  readonly stageDir: string | null;
}

const programs = ['systemctl', 'systemd-analyze', 'useradd', 'runuser', 'nginx', 'caddy', 'haproxy'] as const;
const programFolders = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin', '/usr/local/bin'] as const;

/** Looks at a host: accounts, units, programs, the live release. Changes nothing. */
export async function readSystemFacts(
  { user, units, siteName, front, stageDir }: ReadSystemOptions,
  ports: Pick<ApplyPorts, 'files' | 'processes'>,
  stateDir: string,
  tool: { readonly serverFile: string; readonly serverVersion: string },
): Promise<SystemFacts> {
  const { files } = ports;
  // What the system will have at last: nothing of it is run here.
  const found =
    stageDir === null
      ? await findPrograms(files)
      : Object.fromEntries(programs.map((name) => [name, `/usr/bin/${name}`]));
  const activeUnits: string[] = [];
  const enabledUnits: string[] = [];
  for (const unit of found['systemctl'] === undefined || stageDir !== null ? [] : units) {
    const { ActiveState, UnitFileState } = await showUnit(unit, ports);
    if (ActiveState === 'active') activeUnits.push(unit);
    if (UnitFileState === 'enabled') enabledUnits.push(unit);
  }
  return {
    isRoot: stageDir !== null || process.getuid?.() === 0,
    account: await readAccount(files, user),
    sharedWith: await findOthers(files, stateDir, user),
    build: {
      file: tool.serverFile,
      version: tool.serverVersion,
      sha256: (await readFileFact(files, tool.serverFile))?.sha256 ?? '',
    },
    current: await readCurrent(files, stateDir),
    programs: found,
    activeUnits,
    enabledUnits,
    proxies: await readProxies(siteName, ports, found, stateDir),
    pairReader: await readPairReader(files, stateDir),
    freeBytes: await readFreeBytes(stageDir ?? stateDir),
    ...(stageDir === null && front !== null ? await readFront(front, found, ports) : {}),
  };
}

async function readProxies(
  siteName: string,
  ports: Pick<ApplyPorts, 'files' | 'processes'>,
  found: SystemFacts['programs'],
  stateDir: string,
): Promise<NonNullable<SystemFacts['proxies']>> {
  const { files } = ports;
  const facts: Record<string, ProxyFacts> = {};
  for (const { name, folder, suffix } of hostProxies) {
    if (found[name] === undefined) continue;
    const sites = (await files.list(folder)).filter((each) => each.endsWith(suffix) && each !== `${siteName}${suffix}`);
    if (name === 'nginx') sites.push(...(await files.list('/etc/nginx/sites-enabled')));
    const dropInFolder = dirname(haproxyDropIn(siteName));
    const dropIns = await files.list(dropInFolder);
    facts[name] = {
      hasFolder: (await files.stat(folder)) !== null,
      otherSites: sites.length,
      startOptions: name === 'haproxy' ? await readStartOptions(ports) : '',
      hasDropInFolder: (await files.stat(dropInFolder)) !== null,
      otherDropIns: dropIns.filter((each) => /^mcp-.*\.conf$/.test(each) && each !== `${siteName}.conf`).length,
      hasKeyLink: (await files.stat(`${deploymentPaths(stateDir).serverCertificate}.key`)) !== null,
    };
  }
  return facts;
}

async function readFront(
  { proxy, ports: wanted }: NonNullable<ReadSystemOptions['front']>,
  found: SystemFacts['programs'],
  { processes }: Pick<ApplyPorts, 'processes'>,
): Promise<Pick<SystemFacts, 'front' | 'closed'>> {
  const folders = [
    '/etc',
    '/etc/systemd/system',
    '/opt',
    '/var/lib',
    '/var/log',
    ...(proxy === null ? [] : [proxy.folder]),
  ];
  const closed = [];
  for (const path of folders) {
    const why = await whyClosed(path);
    if (why !== null) closed.push({ path, why });
  }
  if (proxy === null || found[proxy.name] === undefined) return { closed };
  const said = await processes.run(proxy.version, 20_000);
  const held = [];
  for (const port of wanted) {
    const { taken, holder, pid, unit } = await findPortHolder(port, ['0.0.0.0', '::']);
    if (taken) held.push({ port, holder, pid, unit });
  }
  // nginx says it on its standard error.
  const version = [said.output.split('\n')[0] ?? '', ...said.lastWords].find((line) => /\d+\.\d+/.test(line)) ?? null;
  return { closed, front: { version, held } };
}

/** Of files that are small: units, sites, records. */
const leastFolderBytes = 256 * 1024;

/** Root may write everywhere but there. */
async function whyClosed(path: string): Promise<'read-only' | 'full' | null> {
  try {
    await access(path, constants.W_OK);
  } catch (error) {
    if (hasCode(error, 'EROFS')) return 'read-only';
    // Not there, or somebody without rights who only looks.
    return null;
  }
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize < leastFolderBytes ? 'full' : null;
}

/** EXTRAOPTS in the unit of HAProxy, with all its parts. */
async function readStartOptions({ processes }: Pick<ApplyPorts, 'processes'>): Promise<string> {
  const { output } = await processes.run(['systemctl', 'show', '--property=Environment', 'haproxy.service'], 60_000);
  // systemctl puts an assignment with a blank in it between quotes.
  return (
    /"EXTRAOPTS=((?:[^"\\]|\\.)*)"|(?:^|[ =])EXTRAOPTS=(\S*)/
      .exec(output)
      ?.slice(1)
      .find((each) => each !== undefined) ?? ''
  );
}

/** Who owns the pair, when that is not root. */
async function readPairReader(files: FileSystem, stateDir: string): Promise<string | null> {
  const { pkiDir } = deploymentPaths(stateDir);
  const uid = (await files.stat(join(pkiDir, 'live', 'server.key')))?.owner.uid ?? 0;
  if (uid === 0) return null;
  const accounts = parseAccounts((await files.read('/etc/passwd'))?.toString('utf8') ?? '');
  return accounts.find((each) => each.uid === uid)?.name ?? null;
}

async function readCurrent(files: FileSystem, stateDir: string): Promise<SystemFacts['current']> {
  const link = await files.stat(join(stateDir, 'current'));
  const number = /^releases\/(\d+)$/.exec(link?.target ?? '')?.[1];
  if (number === undefined) return null;
  const server = await readFileFact(files, join(stateDir, 'releases', number, 'serve.js'));
  return { number: Number(number), serverSha256: server?.sha256 ?? null };
}

/** The other deployments of this host that run as the user. */
async function findOthers(files: FileSystem, stateDir: string, user: string): Promise<readonly string[]> {
  const folder = dirname(stateDir);
  const others: string[] = [];
  for (const name of await files.list(folder)) {
    if (name === basename(stateDir)) continue;
    const desired = deploymentSchema.safeParse((await readNewestRelease(files, join(folder, name)))?.desired);
    if (desired.success && desired.data.service.user === user) others.push(name);
  }
  return others;
}

async function findPrograms(files: FileSystem): Promise<SystemFacts['programs']> {
  const found: Record<string, string> = {};
  for (const name of programs) {
    for (const folder of programFolders) {
      if ((await files.stat(join(folder, name))) === null) continue;
      found[name] = join(folder, name);
      break;
    }
  }
  return found;
}

/** Of the disk on which the nearest folder that exists lies. */
async function readFreeBytes(path: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch {
    return path === '/' ? 0 : readFreeBytes(dirname(path));
  }
}
