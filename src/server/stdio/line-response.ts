import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { RpcId } from '../types.ts';

/** Code outside the ranges that JSON-RPC and MCP reserve: the HTTP status that the refusal would have had. */
type RefusalCode = 429 | 500 | 503;

/**
 * What the protocol needs of an HTTP response, turned into lines: a JSON answer is a line, and so is every event of an
 * event stream. Problem details become a JSON-RPC error of the request.
 */
export class LineResponse extends EventEmitter {
  headersSent = false;
  destroyed = false;
  /** Session that the answer opened. */
  sessionId: string | null = null;
  readonly #id: RpcId | null;
  readonly #writeLine: (line: string) => void;
  readonly #unsentBytes: () => number;
  #contentType = '';

  /**
   * @param id of the request that is answered; null for a stream that answers none
   * @param unsentBytes what waits in front of a reader that is slow
   */
  constructor(id: RpcId | null, writeLine: (line: string) => void, unsentBytes: () => number) {
    super();
    this.#id = id;
    this.#writeLine = writeLine;
    this.#unsentBytes = unsentBytes;
  }

  /** As the type that the HTTP side knows; nothing else of it is used there. */
  get asResponse(): ServerResponse {
    return this as unknown as ServerResponse;
  }

  get writableLength(): number {
    return this.#unsentBytes();
  }

  writeHead(_status: number, head: readonly string[]): this {
    this.headersSent = true;
    for (let at = 0; at + 1 < head.length; at += 2) {
      if (head[at] === 'Content-Type') this.#contentType = head[at + 1] ?? '';
      else if (head[at] === 'Mcp-Session-Id') this.sessionId = head[at + 1] ?? null;
    }
    return this;
  }

  write(text: string): boolean {
    if (this.#contentType === 'text/event-stream') {
      for (const line of text.split('\n')) if (line.startsWith('data: ') && line.length > 6) this.#give(line.slice(6));
    }
    return true;
  }

  end(body = ''): this {
    if (this.destroyed) return this;
    if (this.#contentType === 'application/json' && body !== '') this.#give(body);
    else if (this.#contentType === 'application/problem+json' && this.#id !== null) this.#give(this.#asError(body));
    this.destroyed = true;
    queueMicrotask(() => this.emit('close'));
    return this;
  }

  /** The answer is not wanted any more: what works on it hears that the client is gone. */
  destroy(): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    queueMicrotask(() => this.emit('close'));
    return this;
  }

  #give(json: string): void {
    // A line break between JSON tokens would end the line; inside of JSON strings there are none.
    this.#writeLine(/[\r\n]/.test(json) ? json.replaceAll(/[\r\n]+/g, ' ') : json);
  }

  #asError(body: string): string {
    const { status, detail } = JSON.parse(body) as { status: RefusalCode; detail: string };
    return JSON.stringify({ jsonrpc: '2.0', id: this.#id, error: { code: status, message: detail } });
  }
}
