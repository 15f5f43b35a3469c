import { request as requestPlain, type IncomingHttpHeaders } from 'node:http';
import { request as requestTls } from 'node:https';

export interface HttpCall {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly ca?: string;
  /** Connect to this address in place of the one of the URL. */
  readonly connectTo?: string;
  /** Connect from this address. */
  readonly connectFrom?: string;
  /** Certificate and key that the client shows. */
  readonly shows?: { readonly cert: string; readonly key: string };
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Every header as it came, also repeated ones: [name, value, name, value …]. */
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

/** One request on a connection of its own; follows nothing. */
export function callHttp(call: HttpCall): Promise<HttpAnswer> {
  const url = new URL(call.url);
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? requestTls : requestPlain)(
      {
        host: call.connectTo ?? url.hostname.replace(/^\[|\]$/g, ''),
        port: url.port,
        path: url.pathname + url.search,
        method: call.method ?? 'GET',
        headers: { host: url.host, ...call.headers },
        servername: url.hostname,
        agent: false,
        ...(call.connectFrom === undefined ? {} : { localAddress: call.connectFrom }),
        ...call.shows,
        ...(call.ca === undefined ? {} : { ca: call.ca }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            rawHeaders: response.rawHeaders,
            body: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      },
    );
    request.on('error', reject);
    request.end(call.body);
  });
}

export interface TimedStream {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Resolves with the first bytes of the body. */
  readonly first: Promise<string>;
  /** All that has come so far. */
  received(): string;
  /** Resolves when the body ends or the connection is lost. */
  readonly ended: Promise<void>;
  close(): void;
}

/** Opens a request and gives back as soon as the headers are there. */
export function openStream(call: HttpCall): Promise<TimedStream> {
  const url = new URL(call.url);
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? requestTls : requestPlain)(
      {
        host: call.connectTo ?? url.hostname,
        port: url.port,
        path: url.pathname + url.search,
        method: call.method ?? 'GET',
        headers: { host: url.host, ...call.headers },
        servername: url.hostname,
        agent: false,
        ...(call.ca === undefined ? {} : { ca: call.ca }),
      },
      (response) => {
        let received = '';
        response.on('data', (chunk: Buffer) => (received += chunk.toString()));
        const first = new Promise<string>((done) => response.once('data', (chunk: Buffer) => done(chunk.toString())));
        const ended = new Promise<void>((done) => {
          response.once('close', done);
          response.on('error', () => done());
        });
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          first,
          received: () => received,
          ended,
          close: () => request.destroy(),
        });
      },
    );
    request.on('error', reject);
    request.end(call.body);
  });
}
