import type { Server, Socket } from 'node:net';
import type { HttpRequest, HttpResponse } from '../http-message.ts';
import type { UnreadBytes } from '../unread-bytes.ts';
import { parseQuickHead, type QuickHead } from './quick-head.ts';
import { QuickRequest } from './quick-request.ts';
import { QuickResponse, type AnsweringConnection } from './quick-response.ts';

/** What connections are treated with. */
export interface QuickOptions {
  readonly handler: (req: HttpRequest, res: HttpResponse) => void;
  readonly unread: UnreadBytes | undefined;
  /** How long a connection without requests is kept, in ms; 0 for as long as its client wants. */
  readonly keepAliveMs: number;
  /** How often all connections are looked at. */
  readonly lookEveryMs: number;
}

/** A head that is longer is for node:http, which has a bound for it. */
const mostHeadBytes = 8_192;
/** What a client sends on while its call is being answered is kept up to this; then it has to wait. */
const mostWaitingBytes = 131_072;
/** A body that comes in more pieces than this is for node:http. */
const mostPieces = 16;

const headEnd = Buffer.from('\r\n\r\n');

/**
 * Answers plain POSTs (see parseQuickHead) without node:http, whose parser, streams and events cost more than all that
 * the server does with a call. Whatever is not plain is given to node:http with its connection, from its first byte on, and
 * stays there: there is one judge of what is odd, and of clients that are slow.
 */
export class QuickConnections {
  /** Every connection ends with its next answer. */
  ending = false;
  readonly options: QuickOptions;
  readonly keepAlive: string;
  readonly #open = new Set<QuickConnection>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: QuickOptions) {
    this.options = options;
    const seconds = Math.floor(options.keepAliveMs / 1_000);
    this.keepAlive = `Connection: keep-alive\r\n${options.keepAliveMs > 0 ? `Keep-Alive: timeout=${seconds}\r\n` : ''}`;
    this.#timer = setInterval(() => {
      const nowMs = performance.now();
      for (const connection of this.#open) connection.look(nowMs);
    }, options.lookEveryMs).unref();
  }

  /** Comes before node:http: `event` is that with which a server of it takes connections. */
  putBefore(server: Server, event: 'connection' | 'secureConnection'): void {
    const [accept] = server.listeners(event) as ((socket: Socket) => void)[];
    if (accept === undefined) throw new Error(`node:http does not listen to ${event}`);
    server.off(event, accept);
    server.prependListener(event, (socket: Socket) => {
      this.#open.add(new QuickConnection(this, socket, (given) => accept.call(server, given)));
    });
  }

  forget(connection: QuickConnection): void {
    this.#open.delete(connection);
  }

  /** Ends what no call is on. */
  closeIdle(): void {
    for (const connection of this.#open) connection.closeIfIdle();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

class QuickConnection implements AnsweringConnection {
  readonly onWritten: () => void;
  readonly #all: QuickConnections;
  readonly #socket: Socket;
  readonly #toNodeHttp: (socket: Socket) => void;
  readonly #onData = (chunk: Buffer): void => this.#take(chunk);
  readonly #onEnd = (): void => this.#ended();
  readonly #onDrain = (): void => void this.#response?.emit('drain');
  readonly #onClose = (): void => this.#gone();
  /** The one that is being answered. */
  #response: QuickResponse | null = null;
  /** Has come and was not read yet. */
  #waiting: Buffer | null = null;
  #pieces = 0;
  /** Of the request whose body is not complete. */
  #head: QuickHead | null = null;
  #bodyAt = 0;
  #hasServed = false;
  /** The client sends no more; what it sent before is still answered. */
  #isLastOfClient = false;
  #idleSinceMs = 0;

  constructor(all: QuickConnections, socket: Socket, toNodeHttp: (socket: Socket) => void) {
    this.#all = all;
    this.#socket = socket;
    this.#toNodeHttp = toNodeHttp;
    this.onWritten = () => this.#answered();
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    socket.on('error', ignore);
    socket.on('close', this.#onClose);
  }

  get ending(): boolean {
    return this.#all.ending;
  }

  get keepAlive(): string {
    return this.#all.keepAlive;
  }

  get unread(): UnreadBytes | undefined {
    return this.#all.options.unread;
  }

  closeIfIdle(): void {
    if (this.#response === null && this.#waiting === null) this.#socket.destroy();
  }

  /** Once in a while: what is not complete since the last look is for node:http, which has time limits; what is idle for long ends. */
  look(nowMs: number): void {
    if (this.#response !== null) return;
    if (this.#idleSinceMs === 0) {
      this.#idleSinceMs = nowMs;
      return;
    }
    const { keepAliveMs } = this.#all.options;
    if (this.#waiting !== null || !this.#hasServed) this.#handOver();
    else if (keepAliveMs > 0 && nowMs - this.#idleSinceMs >= keepAliveMs) this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#idleSinceMs = 0;
    if (this.#waiting === null) this.#waiting = chunk;
    else {
      this.#waiting = Buffer.concat([this.#waiting, chunk]);
      this.#pieces++;
    }
    if (this.#response === null) this.#read(this.#waiting);
    else if (this.#waiting.length > mostWaitingBytes) this.#socket.pause();
  }

  #read(bytes: Buffer): void {
    if (this.#head === null) {
      const end = bytes.indexOf(headEnd);
      const head = end === -1 || end > mostHeadBytes ? null : parseQuickHead(bytes.toString('latin1', 0, end + 2));
      if (head === null) {
        this.#handOver();
        return;
      }
      this.#head = head;
      this.#bodyAt = end + 4;
    }
    const head = this.#head;
    const end = this.#bodyAt + head.bodyBytes;
    if (bytes.length < end) {
      if (this.#pieces > mostPieces) this.#handOver();
      return;
    }
    this.#waiting = bytes.length === end ? null : bytes.subarray(end);
    this.#head = null;
    this.#pieces = 0;
    this.#hasServed = true;
    const request = new QuickRequest(this.#socket, head, bytes.toString('utf8', this.#bodyAt, end));
    this.#response = new QuickResponse(this, request);
    this.#all.options.handler(request, this.#response);
  }

  #answered(): void {
    const response = this.#response;
    if (response === null || this.#socket.destroyed) return;
    this.#response = null;
    response.writableFinished = true;
    response.emit('finish');
    response.closed();
    if (response.isLast) {
      this.#socket.destroySoon();
      return;
    }
    if (this.#socket.isPaused()) this.#socket.resume();
    if (this.#waiting !== null) this.#read(this.#waiting);
    else if (this.#isLastOfClient) this.#socket.end();
  }

  #ended(): void {
    this.#isLastOfClient = true;
    // A call whose client has closed its side is taken back, as node:http does it.
    if (this.#waiting === null || this.#response === null) this.#socket.end();
  }

  #gone(): void {
    this.#all.forget(this);
    this.#response?.closed();
  }

  #handOver(): void {
    const socket = this.#socket;
    socket
      .off('data', this.#onData)
      .off('end', this.#onEnd)
      .off('drain', this.#onDrain)
      .off('error', ignore)
      .off('close', this.#onClose);
    this.#all.forget(this);
    socket.pause();
    if (this.#waiting !== null) socket.unshift(this.#waiting);
    this.#waiting = null;
    this.#toNodeHttp(socket);
    socket.resume();
  }
}

function ignore(): void {}
