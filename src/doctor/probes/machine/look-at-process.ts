import { readdir, readFile, readlink } from 'node:fs/promises';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import type { MachineSeen, ProcessSeen } from '../../machine-observations.ts';
import type { MachineAccess } from '../../types.ts';

const versionTimeoutMs = 3_000;

/** Open files against their limit, and the Node.js that runs the server. Linux tells; elsewhere nothing is said. */
export async function lookAtProcess({ pid, run }: MachineAccess): Promise<ProcessSeen | null> {
  if (pid === null || process.platform !== 'linux') return null;
  const [open, limits, exe] = await Promise.all([
    readdir(`/proc/${pid}/fd`).catch(() => null),
    readFile(`/proc/${pid}/limits`, 'utf8').catch(() => ''),
    readlink(`/proc/${pid}/exe`).catch(() => null),
  ]);
  const limit = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]);
  const version = exe === null ? null : (await run([exe, '--version'], versionTimeoutMs)).output.trim();
  return {
    pid,
    descriptors: open === null || !(limit > 0) ? null : { open: open.length, limit },
    nodeVersion: version !== null && /^v\d+\.\d+\.\d+/.test(version) ? version : null,
  };
}

/** Who else listens on these ports: their sockets are not among those of the server and what it started (proc(5)). */
export function findStrangers(pid: number | null, ports: readonly number[]): MachineSeen['strangers'] {
  if (pid === null || ports.length === 0 || process.platform !== 'linux') return [];
  const listeners = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) => listenersIn(table, ports));
  const ours = family(pid).map((each) => socketsOf(each));
  // Somebody else's process: whose sockets these are cannot be seen.
  if (ours.some((sockets) => sockets === null)) return [];
  const known = new Set(ours.flatMap((sockets) => sockets ?? []));
  const foreign = listeners.filter(({ inode }) => !known.has(inode));
  if (foreign.length === 0) return [];
  const holders = holdersOf(new Set(foreign.map(({ inode }) => inode)));
  return foreign.flatMap(({ inode, ...rest }) => {
    const holder = holders.get(inode);
    // Pid 1 holds the sockets that it hands to services; one that nobody is seen to hold is judged by nobody.
    return holder === undefined || holder === 1 ? [] : [{ ...rest, holder: `${nameOf(holder)} (pid ${holder})` }];
  });
}

function listenersIn(table: string, ports: readonly number[]) {
  const listen = '0A';
  return orEmpty(() => readFileSync(table, 'utf8').split('\n')).flatMap((row) => {
    const fields = row.trim().split(/\s+/);
    const [hexAddress, hexPort = ''] = (fields[1] ?? '').split(':');
    const port = Number.parseInt(hexPort, 16);
    if (fields[3] !== listen || !ports.includes(port) || fields[9] === undefined) return [];
    return [{ port, address: addressOf(hexAddress ?? ''), inode: `socket:[${fields[9]}]` }];
  });
}

/** Of IPv4 the bytes stand in the order of the machine, which is little-endian wherever Node.js runs. */
function addressOf(hex: string): string {
  if (hex.length !== 8) return /^0+$/.test(hex) ? '::' : hex.endsWith('01000000') ? '::1' : 'IPv6';
  const octets = hex.match(/../g) ?? [];
  return octets
    .map((octet) => Number.parseInt(octet, 16))
    .toReversed()
    .join('.');
}

/** The process and all below it. */
function family(pid: number): readonly number[] {
  const parents = new Map(
    processes().map((each) => {
      const stat = orEmpty(() => [readFileSync(`/proc/${each}/stat`, 'utf8')])[0] ?? '';
      return [each, Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])] as const;
    }),
  );
  const found = [pid];
  for (const parent of found) for (const [child, of] of parents) if (of === parent) found.push(child);
  return found;
}

function socketsOf(pid: number): readonly string[] | null {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => orEmpty(() => [readlinkSync(`/proc/${pid}/fd/${fd}`)]));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? [] : null;
  }
}

function holdersOf(inodes: ReadonlySet<string>): ReadonlyMap<string, number> {
  const holders = new Map<string, number>();
  for (const pid of processes()) {
    for (const socket of socketsOf(pid) ?? []) if (inodes.has(socket) && !holders.has(socket)) holders.set(socket, pid);
  }
  return holders;
}

function processes(): readonly number[] {
  return orEmpty(() => readdirSync('/proc').filter((name) => /^\d+$/.test(name))).map(Number);
}

function nameOf(pid: number): string {
  return orEmpty(() => [readFileSync(`/proc/${pid}/comm`, 'utf8').trim()])[0] ?? 'a process';
}

/** Processes end while we look. */
function orEmpty<T>(read: () => readonly T[]): readonly T[] {
  try {
    return read();
  } catch {
    return [];
  }
}
