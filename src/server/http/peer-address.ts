import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

const unixSockets = new WeakSet<Socket>();
/** Addresses that a trusted proxy named in its PROXY header, by connection. */
const named = new WeakMap<Socket, string>();
/** The same by peer and port, until the TLS socket on the connection exists. */
const namedByPeer = new Map<string, string>();
let areNamed = false;

/** Remembers that a connection came over a Unix socket, which has no address of its own. */
export function markUnixSocket(socket: Socket): void {
  unixSockets.add(socket);
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
export function peerAddress({ socket }: IncomingMessage): string | undefined {
  return socketAddress(socket);
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
