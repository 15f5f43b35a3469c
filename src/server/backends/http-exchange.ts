import { request as requestPlain, type Agent, type ClientRequest, type IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import { describeNetworkFailure, HttpRefusal } from './http-failure.ts';
import { SseReader } from './sse-reader.ts';

/** Where the requests of one upstream go. */
export interface HttpTarget {
  readonly url: URL;
  /** Of the deployment: credentials. */
  readonly headers: Readonly<Record<string, string>>;
  /** Keeps connections; holds the authority of a private certificate. */
  readonly agent: Agent;
  readonly connectMs: number;
  /** Largest JSON body or event. */
  readonly maxMessageBytes: number;
}

export interface ExchangeRequest {
  readonly method: 'POST' | 'GET' | 'DELETE';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

export type ExchangeEnd =
  /** Read to its end, or a stream that the server ended. */
  | { readonly kind: 'complete'; readonly lastEventId: string | null; readonly retryMs: number | null }
  /** Another answer than a message: a status that is no success, or a content type that is not understood. */
  | { readonly kind: 'refused'; readonly refusal: HttpRefusal }
  /** No answer came. `sent`: the server may have got the request. `stale`: a kept connection was closed meanwhile. */
  | { readonly kind: 'failed'; readonly sent: boolean; readonly stale: boolean; readonly reason: string }
  /** The answer broke off. */
  | {
      readonly kind: 'cut';
      readonly reason: string;
      readonly lastEventId: string | null;
      readonly retryMs: number | null;
    }
  | { readonly kind: 'too-large' };

export interface ExchangeEvents {
  /** A success: the head has come. */
  onHead?(answer: IncomingMessage): void;
  /** A JSON body, or the data of one event. */
  onMessage(text: string): void;
  /** Once, and nothing after it; not after `abort`. */
  onEnd(end: ExchangeEnd): void;
}

/** One request and its answer. */
export interface Exchange {
  /** Closes the connection under it. Nothing is told any more. */
  abort(): void;
  /** The answer has been seen: nothing is told any more, and the connection is kept if the rest comes soon. */
  release(): void;
}

const releaseMs = 2_000;

/** Bodies of refusals are looked at for a JSON-RPC error and a hint; that is enough of them. */
const maxRefusalBytes = 65_536;

export function startExchange(
  target: HttpTarget,
  { method, headers, body }: ExchangeRequest,
  events: ExchangeEvents,
): Exchange {
  const send = target.url.protocol === 'https:' ? requestTls : requestPlain;
  let over = false;
  let connected = false;
  let timer: NodeJS.Timeout | null = null;
  let answered: Answer | null = null;
  let incoming: IncomingMessage | null = null;

  function end(how: ExchangeEnd): void {
    if (over) return;
    over = true;
    if (timer !== null) clearTimeout(timer);
    events.onEnd(how);
  }

  const bytes = body === null ? null : Buffer.from(body);
  const request: ClientRequest = send(target.url, {
    method,
    agent: target.agent,
    headers: {
      ...target.headers,
      ...headers,
      'accept-encoding': 'identity',
      ...(bytes === null ? {} : { 'content-type': 'application/json', 'content-length': bytes.length }),
    },
  });
  request.on('socket', (socket) => {
    if (!socket.connecting) {
      connected = true;
      return;
    }
    socket.once(target.url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
      connected = true;
      if (timer !== null) clearTimeout(timer);
    });
    timer = setTimeout(() => {
      request.destroy(Object.assign(new Error('no connection'), { code: 'ETIMEDOUT' }));
    }, target.connectMs);
  });
  request.on('error', (error: NodeJS.ErrnoException) => {
    const reason = describeNetworkFailure(error, target.url);
    if (answered === null) {
      const stale = request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      end({ kind: 'failed', sent: connected, stale, reason });
    } else {
      end({ kind: 'cut', reason, ...answered.position() });
    }
  });
  request.on('response', (response) => {
    if (over) return;
    incoming = response;
    answered = readAnswer(response, target.maxMessageBytes, {
      ...(events.onHead === undefined ? {} : { onHead: (answer) => events.onHead?.(answer) }),
      onMessage: (text) => {
        if (!over) events.onMessage(text);
      },
      onEnd: (how) => {
        end(how);
        // What is left of an answer that nobody reads must not keep the connection.
        if (!response.complete) request.destroy();
      },
    });
  });
  request.end(bytes ?? undefined);

  return {
    release() {
      over = true;
      if (timer !== null) clearTimeout(timer);
      if (incoming?.complete === true) return;
      const rest = setTimeout(() => request.destroy(), releaseMs);
      rest.unref();
      request.once('close', () => clearTimeout(rest));
    },
    abort() {
      over = true;
      if (timer !== null) clearTimeout(timer);
      request.destroy();
    },
  };
}

interface Answer {
  position(): { readonly lastEventId: string | null; readonly retryMs: number | null };
}

function readAnswer(response: IncomingMessage, maxBytes: number, events: ExchangeEvents): Answer {
  const status = response.statusCode ?? 0;
  const type = (response.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  const isEncoded = !['', 'identity'].includes(response.headers['content-encoding'] ?? '');
  const isSuccess = status >= 200 && status < 300 && !isEncoded;
  const position = (): ReturnType<Answer['position']> => ({
    lastEventId: reader?.lastEventId ?? null,
    retryMs: reader?.retryMs ?? null,
  });
  const broken = (): void => events.onEnd({ kind: 'cut', reason: 'its answer broke off', ...position() });
  let reader: SseReader | null = null;

  if (isSuccess && type === 'text/event-stream') {
    reader = new SseReader({
      maxEventBytes: maxBytes,
      onEvent: (data) => events.onMessage(data),
      onOversized: () => events.onEnd({ kind: 'too-large' }),
    });
    events.onHead?.(response);
    response.on('data', (chunk: Buffer) => reader?.push(chunk));
    response.on('end', () => events.onEnd({ kind: 'complete', ...position() }));
  } else {
    const isJson = isSuccess && (type === 'application/json' || type.endsWith('+json'));
    const isNothing = isSuccess && (status === 202 || status === 204);
    const limit = isJson ? maxBytes : maxRefusalBytes;
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = (): void => {
      const text = Buffer.concat(chunks).toString('utf8');
      if (isNothing || (isJson && text.trim() === '')) events.onEnd({ kind: 'complete', ...position() });
      else if (isJson) {
        events.onMessage(text);
        events.onEnd({ kind: 'complete', ...position() });
      } else events.onEnd({ kind: 'refused', refusal: new HttpRefusal(status, response.headers, text) });
    };
    if (isSuccess) events.onHead?.(response);
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limit) chunks.push(chunk);
      else if (isJson) events.onEnd({ kind: 'too-large' });
      else finish();
    });
    response.on('end', finish);
  }
  response.on('aborted', broken);
  response.on('error', broken);
  return { position };
}
