import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

const unixSockets = new WeakSet<Socket>();

/** Remembers that a connection came over a Unix socket, which has no address of its own. */
export function markUnixSocket(socket: Socket): void {
  unixSockets.add(socket);
}

/**
 * Address of the peer as the address reader wants it: `unix` for a Unix socket. A TCP connection that was reset has
 * no address any more either; it must not pass for a Unix socket, whose peers may be trusted.
 */
export function peerAddress({ socket }: IncomingMessage): string | undefined {
  return socket.remoteAddress ?? (unixSockets.has(socket) ? 'unix' : undefined);
}
