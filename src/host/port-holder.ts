import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename } from 'node:path';
import { hasCode } from './file-errors.ts';

export interface PortHolder {
  readonly taken: boolean;
  /** `nginx (pid 812)`, or null when this user may not see it or the system does not tell. */
  readonly holder: string | null;
  readonly pid: number | null;
  /** The unit of systemd that it belongs to; null when it belongs to none, or that is not to be seen. */
  readonly unit: string | null;
}

/** Both loopback addresses and all addresses: a listener on any of them is in the way of ours. */
const everyHost: readonly string[] = ['127.0.0.1', '::1', '0.0.0.0', '::'];

/**
 * Whether a TCP port can be listened on, found out by listening on it for a
 * moment, and who holds it if not.
 */
export async function findPortHolder(port: number, hosts: readonly string[] = everyHost): Promise<PortHolder> {
  let taken = false;
  for (const host of hosts) {
    // One after the other: a socket on all addresses would be in the way of the next try.
    if (!taken) taken = await isTaken(port, host);
  }
  if (!taken) return { taken: false, holder: null, pid: null, unit: null };
  const pid = process.platform === 'linux' ? findListener(port) : null;
  if (pid === null) return { taken: true, pid, holder: null, unit: null };
  return { taken: true, pid, holder: `${programOf(pid)} (pid ${pid})`, unit: unitOf(pid) };
}

function isTaken(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error) => {
      // No such address here (no IPv6), or a port below 1024: not taken, and the start will say what is wrong.
      resolve(hasCode(error, 'EADDRINUSE'));
    });
    server.listen({ port, host, exclusive: true, ipv6Only: host.includes(':') }, () =>
      server.close(() => resolve(false)),
    );
  });
}

/** Pid of the process that listens on the port, by way of its socket's inode (proc(5)); null when not to be seen. */
function findListener(port: number): number | null {
  const inodes = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listeningInodes(table, port)));
  if (inodes.size === 0) return null;
  for (const name of readdirSync('/proc')) {
    if (/^\d+$/.test(name) && holdsOneOf(name, inodes)) return Number(name);
  }
  return null;
}

function listeningInodes(table: string, port: number): readonly string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const listen = '0A';
  return orEmpty(() => readFileSync(table, 'utf8').split('\n')).flatMap((row) => {
    const fields = row.trim().split(/\s+/);
    const [local, state, inode] = [fields[1] ?? '', fields[3], fields[9]];
    return state === listen && local.endsWith(`:${hexPort}`) && inode !== undefined ? [`socket:[${inode}]`] : [];
  });
}

function holdsOneOf(pid: string, inodes: ReadonlySet<string>): boolean {
  return orEmpty(() => readdirSync(`/proc/${pid}/fd`)).some((fd) =>
    orEmpty(() => [readlinkSync(`/proc/${pid}/fd/${fd}`)]).some((target) => inodes.has(target)),
  );
}

function programOf(pid: number): string {
  const [name] = orEmpty(() => [readFileSync(`/proc/${pid}/comm`, 'utf8').trim()]);
  return basename(name ?? 'a process');
}

/** From its control group, whose path names it (cgroups(7)). */
function unitOf(pid: number): string | null {
  const [groups = ''] = orEmpty(() => [readFileSync(`/proc/${pid}/cgroup`, 'utf8')]);
  return /\/([^/\n]+\.(?:service|scope))(?:\/|$)/m.exec(groups)?.[1] ?? null;
}

/** Processes end while we look, and those of other users are closed to us. */
function orEmpty(read: () => readonly string[]): readonly string[] {
  try {
    return read();
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return [];
    throw error;
  }
}
