import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import type { LookupFunction } from 'node:net';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

export interface HttpsFetchOptions {
  /** Only this authority is trusted; null means those that Node trusts (and NODE_EXTRA_CA_CERTS). */
  readonly caPem: string | null;
  /** Turns names into addresses in place of the system. */
  readonly lookup?: LookupFunction | undefined;
  /** Until the response headers are there, milliseconds. The body is bounded by the caller's signal. */
  readonly timeoutMs: number;
  /** Ends every exchange; clients do not pass their callers' signals down everywhere. */
  readonly signal?: AbortSignal;
  /** A longer body fails with ERR_RESPONSE_TOO_LARGE. */
  readonly maxBodyBytes?: number;
  /** Called once for every exchange, when its headers are there or when it failed. */
  readonly onExchange?: (exchange: Exchange) => void;
}

/** What went over the wire, as seen under an MCP client, which keeps most of it to itself. */
export interface Exchange {
  readonly method: string;
  readonly url: string;
  /** `method` of the JSON-RPC message that was sent, when there was one. */
  readonly rpcMethod: string | null;
  /** Status and headers, or the error that came instead. */
  readonly answer:
    | { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly headersMs: number }
    | { readonly error: Error };
}

export interface HttpsFetch {
  (input: string | URL, init?: RequestInit): Promise<Response>;
  /** Ends the kept connections. Without it they end by themselves and do not hold the process. */
  close(): void;
}

const defaultMaxBodyBytes = 16 * 1_048_576;

/**
 * A fetch over node:https that trusts the given authority and nothing else,
 * since the global fetch cannot be told. Redirects are returned, never
 * followed. Rejects like fetch does: a TypeError whose cause is Node's error.
 */
export function createFetch(options: HttpsFetchOptions): HttpsFetch {
  const agents = {
    http: new HttpAgent({ keepAlive: true }),
    https: new HttpsAgent({ keepAlive: true, ...(options.caPem === null ? {} : { ca: options.caPem }) }),
  };
  const send = (input: string | URL, init?: RequestInit): Promise<Response> =>
    exchange(new URL(input), init ?? {}, options, agents);
  return Object.assign(send, {
    close: () => {
      agents.http.destroy();
      agents.https.destroy();
    },
  });
}

function exchange(
  url: URL,
  init: RequestInit,
  options: HttpsFetchOptions,
  agents: { http: HttpAgent; https: HttpsAgent },
): Promise<Response> {
  const method = init.method ?? 'GET';
  const signals = [init.signal, options.signal].filter((given) => given !== undefined && given !== null);
  const signal = signals.length > 1 ? AbortSignal.any(signals) : signals[0];
  const rpcMethod = rpcMethodOf(init.body);
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      options.onExchange?.({ method, url: url.href, rpcMethod, answer: { error } });
      reject(new TypeError('fetch failed', { cause: error }));
    };
    if (signal?.aborted) {
      fail(asError(signal.reason));
      return;
    }
    const body = bodyBytes(init.body);
    const headers = Object.fromEntries(new Headers(init.headers));
    // Compressed answers would only hide sizes and times; nothing here decompresses.
    headers['accept-encoding'] ??= 'identity';
    if (body !== null) headers['content-length'] = String(body.byteLength);

    const { lookup } = options;
    const settings = { method, headers, ...(lookup === undefined ? {} : { lookup }) };
    const request: ClientRequest =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...settings, agent: agents.https })
        : httpRequest(url, { ...settings, agent: agents.http });

    const timer = setTimeout(() => {
      request.destroy(
        Object.assign(new Error(`no answer within ${options.timeoutMs} ms`), {
          code: 'ETIMEDOUT',
          name: 'TimeoutError',
        }),
      );
    }, options.timeoutMs);
    const onAbort = (): void => {
      request.destroy(asError(signal?.reason));
    };
    signal?.addEventListener('abort', onAbort, { once: true });

    request.once('error', (error) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      fail(error);
    });
    request.once('response', (message) => {
      clearTimeout(timer);
      message.once('close', () => signal?.removeEventListener('abort', onAbort));
      const responseHeaders = flatHeaders(message);
      options.onExchange?.({
        method,
        url: url.href,
        rpcMethod,
        answer: {
          status: message.statusCode ?? 0,
          headers: responseHeaders,
          headersMs: performance.now() - startedAt,
        },
      });
      resolve(responseOf(message, responseHeaders, options.maxBodyBytes ?? defaultMaxBodyBytes, signal));
    });
    request.end(body ?? undefined);
  });
}

/** Statuses whose response has no body; the Response constructor refuses one. */
const bodiless = new Set([204, 205, 304]);

function responseOf(
  message: IncomingMessage,
  headers: Readonly<Record<string, string>>,
  maxBodyBytes: number,
  signal: AbortSignal | undefined,
): Response {
  const status = message.statusCode ?? 0;
  if (bodiless.has(status)) {
    message.resume();
    return new Response(null, { status, headers: { ...headers } });
  }
  return new Response(streamOf(message, maxBodyBytes, signal), {
    status,
    statusText: message.statusMessage ?? '',
    headers: { ...headers },
  });
}

function streamOf(
  message: IncomingMessage,
  maxBodyBytes: number,
  signal: AbortSignal | undefined,
): ReadableStream<Uint8Array> {
  let received = 0;
  let ended = false;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const fail = (error: Error): void => {
        if (ended) return;
        ended = true;
        controller.error(error);
      };
      message.on('data', (chunk: Buffer) => {
        if (ended) return;
        received += chunk.byteLength;
        if (received > maxBodyBytes) {
          fail(
            Object.assign(new Error(`the body is larger than ${maxBodyBytes} bytes`), {
              code: 'ERR_RESPONSE_TOO_LARGE',
            }),
          );
          message.destroy();
          return;
        }
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) message.pause();
      });
      message.once('end', () => {
        if (ended) return;
        ended = true;
        controller.close();
      });
      message.once('error', (error) => fail(signal?.aborted ? asError(signal.reason) : error));
      message.once('close', () => fail(new Error('the connection was closed before the body was complete')));
      message.pause();
    },
    pull() {
      message.resume();
    },
    cancel() {
      ended = true;
      message.destroy();
    },
  });
}

function flatHeaders(message: IncomingMessage): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(', ') : value;
  }
  return flat;
}

function bodyBytes(body: RequestInit['body']): Buffer | null {
  if (body === undefined || body === null) return null;
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof Uint8Array) return Buffer.from(body);
  if (body instanceof URLSearchParams) return Buffer.from(body.toString());
  throw new TypeError('this fetch sends strings, bytes and form parameters only');
}

function rpcMethodOf(body: RequestInit['body']): string | null {
  if (typeof body !== 'string' || !body.startsWith('{')) return null;
  try {
    const { method } = JSON.parse(body) as { method?: unknown };
    return typeof method === 'string' ? method : null;
  } catch {
    return null;
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(typeof reason === 'string' ? reason : 'aborted');
}
