import { readFileSync, readlinkSync } from 'node:fs';
import { endianness } from 'node:os';
import type { ListenAddress } from '../../deployment/listen-address.ts';

/** A listening socket that was open when this process began. */
export interface InheritedPlace {
  readonly fd: number;
  /** Host as an address; '' for all addresses. */
  readonly address: ListenAddress;
}

/** The first of the sockets that systemd hands over. Source: sd_listen_fds(3). */
const firstFd = 3;

/**
 * The listening sockets that systemd handed over, with the addresses that they are bound to. Sockets that were meant for
 * another process (LISTEN_PID) or that are not of this network do not count. Linux only.
 * Source: sd_listen_fds(3), proc_net(5).
 */
export function readInheritedPlaces(env: NodeJS.ProcessEnv, pid = process.pid): readonly InheritedPlace[] {
  const count = Number(env['LISTEN_FDS'] ?? '0');
  if (env['LISTEN_PID'] !== String(pid) || !Number.isInteger(count) || count < 1) return [];
  const byInode = new Map([
    ...parseTcpTable(readTable('tcp')),
    ...parseTcpTable(readTable('tcp6')),
    ...parseUnixTable(readTable('unix')),
  ]);
  return Array.from({ length: count }, (_, at) => firstFd + at).flatMap((fd) => {
    const address = byInode.get(inodeOf(fd));
    return address === undefined ? [] : [{ fd, address }];
  });
}

/** Addresses of listening TCP sockets by inode. Pure. */
export function parseTcpTable(text: string, isLittleEndian = endianness() === 'LE'): Map<string, ListenAddress> {
  const found = new Map<string, ListenAddress>();
  for (const line of text.split('\n').slice(1)) {
    const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
    const [host = '', port = ''] = local.split(':');
    if (state === listening)
      found.set(inode, { kind: 'tcp', host: hostOf(host, isLittleEndian), port: parseInt(port, 16) });
  }
  return found;
}

/** Paths of Unix sockets by inode. Pure. */
export function parseUnixTable(text: string): Map<string, ListenAddress> {
  const found = new Map<string, ListenAddress>();
  for (const line of text.split('\n').slice(1)) {
    const [, inode = '', path = ''] = /^(?:\S+\s+){6}(\d+) (\/.*)$/.exec(line) ?? [];
    if (path !== '') found.set(inode, { kind: 'unix', path });
  }
  return found;
}

/** TCP_LISTEN. */
const listening = '0A';

/** The kernel prints addresses as 32-bit words in the order of bytes of the machine. */
function hostOf(hex: string, isLittleEndian: boolean): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => {
    const four = word.match(/../g) ?? [];
    return isLittleEndian ? four.toReversed() : four;
  });
  if (bytes.every((byte) => byte === '00')) return '';
  if (bytes.length === 4) return bytes.map((byte) => parseInt(byte, 16)).join('.');
  const groups = (bytes.join('').match(/.{4}/g) ?? []).join(':');
  // URL writes an address in its one short form.
  return new URL(`http://[${groups}]`).hostname.slice(1, -1);
}

function inodeOf(fd: number): string {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1] ?? '';
  } catch {
    return '';
  }
}

function readTable(name: string): string {
  try {
    return readFileSync(`/proc/self/net/${name}`, 'utf8');
  } catch {
    // A kernel without IPv6 has no tcp6.
    return '';
  }
}
