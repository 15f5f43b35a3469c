import type { Socket } from 'node:net';

/** What was seen of a connection on which something waits. */
interface Waiting {
  /** Of what was written, how much has left, and how much the system still has of a write that is under way. */
  readonly left: number;
  readonly underWay: number;
  readonly sinceMs: number;
}

/**
 * Cuts clients that take nothing of what is on its way to them for `afterMs`, up to a quarter more: their memory and
 * their place are ours. Connections on which nothing waits are left alone, however slow the call.
 *
 * One look at all of them now and then. The time limit that node:http has for a connection is set anew at every read
 * and write of it, several times a call.
 */
export class StalledConnections {
  readonly #sockets: Iterable<Socket>;
  readonly #afterMs: number;
  readonly #timer: NodeJS.Timeout | undefined;
  #waiting = new Map<Socket, Waiting>();

  /** @param afterMs 0: nobody is cut */
  constructor(sockets: Iterable<Socket>, afterMs: number) {
    this.#sockets = sockets;
    this.#afterMs = afterMs;
    if (afterMs > 0) this.#timer = setInterval(() => this.#look(performance.now()), Math.max(20, afterMs / 4)).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#waiting.clear();
  }

  #look(nowMs: number): void {
    const waiting = new Map<Socket, Waiting>();
    for (const socket of this.#sockets) {
      if (socket.writableLength === 0) continue;
      const left = socket.bytesWritten - socket.writableLength;
      // One large write counts as waiting until all of it has left; the handle knows what it still has.
      const underWay = (socket as SocketWithHandle)._handle?.writeQueueSize ?? 0;
      const before = this.#waiting.get(socket);
      if (before?.left !== left || before.underWay !== underWay)
        waiting.set(socket, { left, underWay, sinceMs: nowMs });
      else if (nowMs - before.sinceMs >= this.#afterMs) socket.destroy();
      else waiting.set(socket, before);
    }
    this.#waiting = waiting;
  }
}

interface SocketWithHandle extends Socket {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}
