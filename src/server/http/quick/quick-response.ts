import { EventEmitter } from 'node:events';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpResponse } from '../http-message.ts';
import type { UnreadBytes } from '../unread-bytes.ts';
import type { QuickRequest } from './quick-request.ts';

/** What a response needs of the connection that it goes out on. */
export interface AnsweringConnection {
  /** The connection ends with this answer. */
  readonly ending: boolean;
  /** Value of the Keep-Alive header; empty for none. */
  readonly keepAlive: string;
  readonly unread: UnreadBytes | undefined;
  /** Given to the last write of an answer. */
  readonly onWritten: () => void;
}

/** The answer to a request that was read without node:http, with the same bytes as node:http would give it. */
export class QuickResponse extends EventEmitter implements HttpResponse {
  readonly req: QuickRequest;
  headersSent = false;
  destroyed = false;
  writableEnded = false;
  writableFinished = false;
  /** The connection is not used again after this answer. */
  isLast = false;
  /** A long body is handed over as the client takes it: this much is still to come. */
  restBytes = 0;

  readonly #connection: AnsweringConnection;
  readonly #socket: Socket;
  #status = 200;
  /** Until the first piece of the body goes out with it. */
  #head: string[] | null = null;
  #early: string[] | null = null;
  #isChunked = false;
  #isCorked = false;

  constructor(connection: AnsweringConnection, req: QuickRequest) {
    super();
    this.#connection = connection;
    this.#socket = req.socket;
    this.req = req;
  }

  get socket(): Socket | null {
    return this.destroyed ? null : this.#socket;
  }

  get writableLength(): number {
    return this.#socket.writableLength;
  }

  setHeader(name: string, value: string): this {
    this.#early = [...(this.#early ?? []), name, value];
    return this;
  }

  writeHead(status: number, head: string[]): this {
    if (this.headersSent) throw new Error('the head has been given already');
    this.headersSent = true;
    this.#status = status;
    this.#head = this.#early === null ? head : mergeHeads(this.#early, head);
    return this;
  }

  write(chunk: string | Uint8Array): boolean {
    if (this.writableEnded || !this.#socket.writable) return false;
    this.#connection.unread?.wrote(chunk.length);
    this.#cork();
    const head = this.#takeHead();
    if (!this.#isChunked) return this.#give(head, chunk, '');
    const bytes = Buffer.byteLength(chunk);
    // A piece without bytes would be the end of the answer.
    if (bytes === 0) return this.#give(head, '', '');
    return this.#give(`${head}${bytes.toString(16)}\r\n`, chunk, '\r\n');
  }

  end(chunk: string | Uint8Array = ''): this {
    if (this.writableEnded || !this.#socket.writable) return this;
    const isText = typeof chunk === 'string';
    if (!isText || (this.#isChunked && chunk !== '')) this.write(chunk);
    else this.#connection.unread?.wrote(chunk.length);
    const head = this.#takeHead();
    this.writableEnded = true;
    this.restBytes = 0;
    const rest = this.#isChunked ? '0\r\n\r\n' : isText ? chunk : '';
    this.#socket.write(head + rest, 'utf8', this.#connection.onWritten);
    return this;
  }

  destroy(): this {
    this.#socket.destroy();
    return this;
  }

  /** A long body is not handed over yet; it counts with what its reader leaves unread. */
  holdRest(bytes: number): void {
    const { unread } = this.#connection;
    if (this.restBytes === 0 && bytes > 0) unread?.queue(this, this.#socket);
    const isMore = bytes > this.restBytes;
    this.restBytes = bytes;
    if (isMore) unread?.wrote(bytes);
  }

  /** Nothing more comes of it. */
  closed(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }

  /** False when the client takes less than it is given. */
  #give(before: string, chunk: string | Uint8Array, after: string): boolean {
    if (typeof chunk === 'string') return this.#socket.write(before + chunk + after);
    this.#socket.write(before);
    const goesOn = this.#socket.write(chunk);
    return after === '' ? goesOn : this.#socket.write(after);
  }

  /** Pieces of one turn leave together. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#socket.cork();
    process.nextTick(uncork, this);
  }

  uncork(): void {
    this.#isCorked = false;
    this.#socket.uncork();
  }

  #takeHead(): string {
    if (!this.headersSent) this.writeHead(200, []);
    const head = this.#head;
    if (head === null) return '';
    this.#head = null;
    const { ending, keepAlive } = this.#connection;
    let text = statusLine(this.#status);
    let hasLength = this.#status === 204 || this.#status === 304;
    let isLast = ending;
    let namesConnection = false;
    let namesDate = false;
    for (let at = 0; at + 1 < head.length; at += 2) {
      const name = head[at] ?? '';
      const value = head[at + 1] ?? '';
      // What no header may hold would end it, and begin what the caller did not mean.
      if (notInValue.test(value)) throw new Error(`the header ${name} holds what no header may`);
      text += `${name}: ${value}\r\n`;
      if (name === 'Content-Length') hasLength = true;
      else if (name === 'Date') namesDate = true;
      else if (name === 'Connection') {
        namesConnection = true;
        isLast ||= value === 'close';
      }
    }
    if (!namesDate) text += `Date: ${dateNow()}\r\n`;
    if (!namesConnection) text += isLast ? 'Connection: close\r\n' : keepAlive;
    this.isLast = isLast;
    if (hasLength) return `${text}\r\n`;
    this.#isChunked = true;
    return `${text}Transfer-Encoding: chunked\r\n\r\n`;
  }
}

function uncork(response: QuickResponse): void {
  response.uncork();
}

const notInValue = /[^\t\x20-\x7e\x80-\xff]/;

/** What was set before, in its place, with what is given now in place of the same name. */
function mergeHeads(early: readonly string[], head: readonly string[]): string[] {
  const merged = new Map<string, readonly [string, string]>();
  for (const lines of [early, head]) {
    for (let at = 0; at + 1 < lines.length; at += 2) {
      const name = lines[at] ?? '';
      merged.set(name.toLowerCase(), [name, lines[at + 1] ?? '']);
    }
  }
  return [...merged.values()].flat();
}

const statusLines = new Map<number, string>();

function statusLine(status: number): string {
  let line = statusLines.get(status);
  if (line === undefined) {
    line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n`;
    statusLines.set(status, line);
  }
  return line;
}

let date: string | null = null;

/** RFC 9110 6.6.1; made once a second. */
function dateNow(): string {
  if (date === null) {
    const now = new Date();
    date = now.toUTCString();
    setTimeout(() => (date = null), 1_000 - now.getMilliseconds()).unref();
  }
  return date;
}
