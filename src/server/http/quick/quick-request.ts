import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpRequest } from '../http-message.ts';
import type { QuickHead } from './quick-head.ts';

/** A request that is here as a whole. */
export class QuickRequest implements HttpRequest {
  readonly method = 'POST';
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly socket: Socket;
  readonly text: string;
  readonly bodyBytes: number;

  constructor(socket: Socket, { url, headers, bodyBytes }: QuickHead, text: string) {
    this.socket = socket;
    this.url = url;
    this.headers = headers;
    this.bodyBytes = bodyBytes;
    this.text = text;
  }

  get rawHeaders(): string[] {
    return Object.entries(this.headers).flat() as string[];
  }

  once(event: 'close', listener: () => void): this {
    this.socket.once(event, listener);
    return this;
  }

  /** All of it is here. */
  resume(): this {
    return this;
  }

  destroy(): this {
    this.socket.destroy();
    return this;
  }
}
