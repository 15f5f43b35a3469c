import type { HttpRequest } from './http-message.ts';
import type { Socket } from 'node:net';

const unixSockets = new WeakSet<Socket>();
/** Addresses that a trusted proxy named in its PROXY header, by connection. */
const named = new WeakMap<Socket, string>();
/** The same by peer and port, until the TLS socket on the connection exists. */
const namedByPeer = new Map<string, string>();
let areNamed = false;
const workerSockets = new WeakSet<Socket>();

/** The peer's address and the request id as the worker saw them that took the request; read on its socket only. */
export const workerHeaders = { peer: 'x-mcp-worker-peer', requestId: 'x-mcp-worker-request' } as const;

/** Remembers that a connection came over a Unix socket, which has no address of its own. */
export function markUnixSocket(socket: Socket): void {
  unixSockets.add(socket);
}

/** Remembers that a connection comes from another worker of this server. */
export function markWorkerSocket(socket: Socket): void {
  workerSockets.add(socket);
}

/** Whether another worker took this request and passed it on. */
export function cameFromWorker({ socket }: HttpRequest): boolean {
  return workerSockets.has(socket);
}

/** Remembers whom a connection speaks for, as the proxy said at its beginning. */
export function rememberAddress(socket: Socket, address: string): void {
  areNamed = true;
  named.set(socket, address);
  // A Unix socket has no port, and no TLS on it.
  if (socket.remotePort === undefined) return;
  const key = peerKey(socket);
  namedByPeer.set(key, address);
  socket.once('close', () => namedByPeer.delete(key));
}

/** Hands the address of a connection on to the TLS socket on it. */
export function inheritAddress(tlsSocket: Socket): void {
  if (!areNamed) return;
  const address = namedByPeer.get(peerKey(tlsSocket));
  if (address !== undefined) named.set(tlsSocket, address);
}

/**
 * Address of the peer as the address reader wants it: `unix` for a Unix socket. A TCP connection that was reset has
 * no address any more either; it must not pass for a Unix socket, whose peers may be trusted.
 */
export function peerAddress(req: HttpRequest): string | undefined {
  return socketAddress(req.socket) ?? (cameFromWorker(req) ? givenAddress(req) : undefined);
}

function givenAddress({ headers }: HttpRequest): string | undefined {
  const given = headers[workerHeaders.peer];
  return typeof given === 'string' && given !== '' ? given : undefined;
}

/** The same, where there is no request yet. */
export function socketAddress(socket: Socket): string | undefined {
  if (areNamed) {
    const address = named.get(socket);
    if (address !== undefined) return address;
  }
  return socket.remoteAddress ?? (unixSockets.has(socket) ? 'unix' : undefined);
}

function peerKey(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localPort}`;
}
