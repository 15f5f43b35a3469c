import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { EnvironmentError } from '../../deployment/errors.ts';
import type { ListenAddress } from '../../deployment/listen-address.ts';
import { noteListening } from './listening-places.ts';
import type { InheritedSockets } from '../systemd/inherited-sockets.ts';

/** One address that is open. */
export interface OpenAddress {
  /** Host and port as a URL has them; the path of a Unix socket. */
  readonly shown: string;
  /** Null for a Unix socket. */
  readonly port: number | null;
  /** Takes no more connections of sockets that systemd holds; nothing for others, which end with their servers. */
  letGo(): void;
}

/**
 * Listens on every address or on none. `localhost` is both loopback addresses on one port; a machine without IPv6 gets
 * the one. A socket file that nobody listens on any more is replaced. What systemd handed over is taken where it is.
 * @param create makes the server of an address; it is told whether that is a Unix socket
 * @throws EnvironmentError when an address is taken or not allowed; closing the servers made so far is the caller's.
 */
export async function openAddresses(
  addresses: readonly ListenAddress[],
  create: (unix: boolean) => Server,
  inherited: InheritedSockets | null = null,
): Promise<readonly OpenAddress[]> {
  const open: OpenAddress[] = [];
  try {
    for (const address of addresses) open.push(await openAddress(address, create, inherited));
  } catch (error) {
    for (const each of open) each.letGo();
    throw error;
  }
  return open;
}

async function openAddress(
  address: ListenAddress,
  create: (unix: boolean) => Server,
  inherited: InheritedSockets | null,
): Promise<OpenAddress> {
  const taken: (() => void)[] = [];
  const letGo = (): void => {
    for (const each of taken.splice(0)) each();
  };
  const take = async (server: Server, at: ListenAddress): Promise<boolean> => {
    const done = (await inherited?.attach(at, server)) ?? null;
    if (done !== null) taken.push(done);
    return done !== null;
  };
  if (address.kind === 'unix') {
    const server = create(true);
    if (!(await take(server, address))) {
      await clearStaleSocket(address.path);
      await listen(server, { path: address.path });
      chmodSync(address.path, 0o660);
    }
    return { shown: address.path, port: null, letGo };
  }
  try {
    const port = await listenTcp(address.host, address.port, async (host, wanted) => {
      const server = create(false);
      // The kernel says "all addresses" in one way for both families.
      const at = { kind: 'tcp', host: host === '::' ? '' : host, port: wanted } as const;
      if (await take(server, at)) return wanted;
      const port = await listen(server, { host, port: wanted });
      noteListening(server, { ...at, port });
      return port;
    });
    const host = address.host === '' ? 'localhost' : address.host.includes(':') ? `[${address.host}]` : address.host;
    return { shown: `${host}:${port}`, port, letGo };
  } catch (error) {
    letGo();
    throw error;
  }
}

async function listenTcp(
  host: string,
  port: number,
  open: (host: string, port: number) => Promise<number>,
): Promise<number> {
  if (host === '') {
    try {
      return await open('::', port);
    } catch (error) {
      if (!isWithoutIpv6(error)) throw error;
      return open('0.0.0.0', port);
    }
  }
  if (host !== 'localhost') return open(host, port);
  const bound = await open('127.0.0.1', port);
  try {
    await open('::1', bound);
  } catch (error) {
    if (!isWithoutIpv6(error)) throw error;
  }
  return bound;
}

function listen(server: Server, where: { host?: string; port?: number; path?: string }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(describeListenError(error, where)));
    server.listen({ ...where, backlog: 1_024 }, () => {
      server.removeAllListeners('error');
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}

function describeListenError(
  error: NodeJS.ErrnoException,
  { host, port, path }: { host?: string; port?: number; path?: string },
): EnvironmentError {
  const where = path ?? (port === undefined ? String(host) : `${host}, port ${port}`);
  const words: Record<string, readonly [string, string]> = {
    EADDRINUSE: [
      'Another program listens there.',
      path === undefined ? `See which with: ss -ltnp 'sport = :${port}'` : `See which with: ss -lxp | grep ${path}`,
    ],
    EACCES: [
      'This user may not listen there.',
      port !== undefined && port < 1_024 ? 'Take a port above 1023.' : 'Take another address.',
    ],
    EADDRNOTAVAIL: ['This machine does not have that address.', 'See its addresses with: ip address'],
    ENOTFOUND: ['That name has no address.', 'Write an address of this machine, or localhost.'],
  };
  // libuv says of a socket whose folder is missing that nobody may make it.
  const isHomeless = path !== undefined && error.code === 'EACCES' && !existsSync(dirname(path));
  if (isHomeless) words['EACCES'] = ['There is no such folder.', `Make it: mkdir -p ${dirname(path)}`];
  const [why, next] = words[error.code ?? ''] ?? [error.message, 'Take another address.'];
  return new EnvironmentError(`The server cannot listen on ${where}`, { why, next, cause: error });
}

function isWithoutIpv6(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause as NodeJS.ErrnoException | undefined) : undefined;
  return cause?.code === 'EADDRNOTAVAIL' || cause?.code === 'EAFNOSUPPORT';
}

/** Removes a socket file that nobody listens on any more: a killed server leaves it. */
async function clearStaleSocket(path: string): Promise<void> {
  let isSocket: boolean;
  try {
    isSocket = lstatSync(path).isSocket();
  } catch {
    return;
  }
  if (!isSocket) {
    throw new EnvironmentError(`The server cannot listen on ${path}`, {
      why: 'There is a file that is not a socket.',
      next: 'Take another path, or move the file away.',
    });
  }
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
  if (alive) throw describeListenError(Object.assign(new Error('in use'), { code: 'EADDRINUSE' }), { path });
  unlinkSync(path);
}
