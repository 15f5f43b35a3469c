import type { IncomingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';

/** What the server needs to know of a request. Those of node:http have it, and so have those that were read without it. */
export interface HttpRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn. */
  readonly rawHeaders: string[];
  readonly socket: Socket;
  once(event: 'close', listener: () => void): unknown;
  /** Throws away what is still to come of the body. */
  resume(): unknown;
  destroy(): unknown;
}

/** What the server needs of the response to it. */
export interface HttpResponse {
  readonly req: HttpRequest;
  readonly socket: Socket | null;
  readonly headersSent: boolean;
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  readonly writableFinished: boolean;
  /** Bytes that wait to be taken. */
  readonly writableLength: number;
  /** @param head names and values in turn */
  writeHead(status: number, head: string[]): unknown;
  setHeader(name: string, value: string): unknown;
  /** False when the client takes less than it is given: more should wait for `drain`. */
  write(chunk: string | Uint8Array): boolean;
  end(chunk?: string | Uint8Array): unknown;
  destroy(): unknown;
  on(event: ResponseEvent, listener: () => void): unknown;
  once(event: ResponseEvent, listener: () => void): unknown;
  off(event: ResponseEvent, listener: () => void): unknown;
}

/** `finish`: all was handed over. `close`: nothing more comes of it, whether it was complete or not. */
export type ResponseEvent = 'drain' | 'finish' | 'close';

/** Answers requests. */
export type HttpHandler = (req: HttpRequest, res: HttpResponse) => void;
