import type { HttpResponse } from './http-message.ts';
import type { Socket } from 'node:net';

/** How often what is held is looked at while little is written; when much is, it is looked at at once. */
const lookEveryMs = 1_000;

/** What a budget tells the outside. */
export interface UnreadEvents {
  /** A connection was cut for what it left unread, bytes. */
  readerCut(unreadBytes: number): void;
}

/** A response and what is kept to be handed over to it later. */
interface HeldResponse extends HttpResponse {
  readonly restBytes: number;
}

interface Connection {
  readonly socket: Socket;
  /**
   * Answers to requests that came before the answer in front of them was out, and long ones of which a rest is held;
   * most connections never have one.
   */
  queued: Set<HeldResponse> | null;
  /** Bytes that had left at the last look. */
  takenBytes: number;
  /** Since when something waits and nothing has left; 0 while nothing waits. */
  stuckSinceMs: number;
}

/**
 * What is written and not yet taken by its readers, over all connections together: event streams of every kind, JSON
 * answers, pages. Writing only adds to a sum; the connections are measured when that sum could pass the bound, so a
 * call pays for an addition, and what is held never passes the bound by more than the write that led to it. Then the
 * readers that hold the most for the longest are cut until a quarter is free. Those that take what they get hold nothing.
 */
export class UnreadBytes {
  #most: number;
  readonly #events: UnreadEvents;
  readonly #connections = new Map<Socket, Connection>();
  readonly #timer: NodeJS.Timeout;
  /** At the last look. */
  #measured = 0;
  #writtenSince = 0;

  constructor(mostBytes: number, events: UnreadEvents) {
    this.#most = mostBytes;
    this.#events = events;
    this.#timer = setInterval(() => {
      if (this.#measured + this.#writtenSince > this.#most / 4) this.#look();
    }, lookEveryMs);
    this.#timer.unref();
  }

  /** Another bound from now on. */
  useBound(mostBytes: number): void {
    this.#most = mostBytes;
  }

  /** Bytes that wait now. */
  get heldBytes(): number {
    this.#look();
    return this.#measured;
  }

  /** Counts a connection until it closes. For TLS that is the socket inside, which holds what is unsent. */
  watch(socket: Socket): void {
    this.#connections.set(socket, { socket, queued: null, takenBytes: 0, stuckSinceMs: 0 });
    socket.once('close', () => this.#connections.delete(socket));
  }

  /** `bytes` were handed to a response. */
  wrote(bytes: number): void {
    this.#writtenSince += bytes;
    if (this.#measured + this.#writtenSince > this.#most) this.#look();
  }

  /** A response that waits for the one before it on its connection: what it holds is in no socket yet. */
  queue(response: HeldResponse, socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    const queued = (connection.queued ??= new Set());
    queued.add(response);
    response.once('close', () => queued.delete(response));
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const nowMs = performance.now();
    const holding: { readonly connection: Connection; readonly bytes: number; readonly weight: number }[] = [];
    let total = 0;
    for (const connection of this.#connections.values()) {
      const bytes = unreadOn(connection);
      if (bytes === 0) {
        connection.stuckSinceMs = 0;
        continue;
      }
      total += bytes;
      const taken = connection.socket.bytesWritten - connection.socket.writableLength;
      if (connection.stuckSinceMs === 0 || taken > connection.takenBytes) connection.stuckSinceMs = nowMs;
      connection.takenBytes = taken;
      // One that has just been written to may be about to take it: a small weight, not none.
      holding.push({ connection, bytes, weight: bytes * (nowMs - connection.stuckSinceMs + 10) });
    }
    this.#writtenSince = 0;
    if (total > 0.75 * this.#most) {
      holding.sort((a, b) => b.weight - a.weight);
      for (const { connection, bytes } of holding) {
        if (total <= 0.75 * this.#most) break;
        total -= bytes;
        this.#connections.delete(connection.socket);
        connection.socket.destroy();
        this.#events.readerCut(bytes);
      }
    }
    this.#measured = total;
  }
}

function unreadOn({ socket, queued }: Connection): number {
  let bytes = socket.writableLength;
  if (queued === null) return bytes;
  for (const response of queued) {
    bytes += response.restBytes;
    if (response.socket === null) bytes += response.writableLength;
  }
  return bytes;
}
