import { Agent as HttpAgent, request as requestPlain, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, request as requestTls } from 'node:https';
import type { MessageTemplate } from './rpc-texts.ts';

/** An endpoint that is asked over connections that stay open. */
export interface LoadTarget {
  readonly url: URL;
  readonly key: string | null;
  readonly caPem: string | null;
  /** How long one answer may take. */
  readonly timeoutMs: number;
}

export interface PostedAnswer {
  readonly status: number;
  readonly type: string;
  readonly sessionId: string | null;
  /** Seconds of Retry-After; 0 without. */
  readonly retryAfterSeconds: number;
  readonly body: string;
}

/** One connection: a request at a time, kept open between them. */
export interface LoadConnection {
  /** @throws Error of node:http, or one with code ESOCKETTIMEDOUT, ERR_RESPONSE_TOO_LARGE or ABORT_ERR. */
  post(message: MessageTemplate, id: number | null, signal: AbortSignal): Promise<PostedAnswer>;
  /** Ends a session; what comes of it does not matter. */
  endSession(sessionId: string): Promise<void>;
  close(): void;
}

const maxBodyBytes = 16 * 1_048_576;

export function openConnection(target: LoadTarget): LoadConnection {
  const { url, key, caPem, timeoutMs } = target;
  const isTls = url.protocol === 'https:';
  const kept = { keepAlive: true, maxSockets: 1, noDelay: true };
  const agent = isTls ? new HttpsAgent({ ...kept, ...(caPem === null ? {} : { ca: caPem }) }) : new HttpAgent(kept);
  const request = isTls ? requestTls : requestPlain;
  const authorization = key === null ? {} : { authorization: `Bearer ${key}` };
  const fixed: RequestOptions = {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? (isTls ? 443 : 80) : url.port,
    path: url.pathname + url.search,
    agent,
  };

  function send(
    method: string,
    headers: Readonly<Record<string, string>>,
    body: string,
    signal: AbortSignal,
    waitMs: number,
  ): Promise<PostedAnswer> {
    return new Promise((resolve, reject) => {
      const length = method === 'POST' ? { 'content-length': String(Buffer.byteLength(body)) } : {};
      const asked = request({ ...fixed, method, headers: { ...headers, ...authorization, ...length } });
      const end = (code: string, text: string): void => void asked.destroy(Object.assign(new Error(text), { code }));
      const deadline = setTimeout(() => end('ESOCKETTIMEDOUT', 'no answer in time'), waitMs);
      const onAbort = (): void => end('ABORT_ERR', 'given up');
      const settle = (): void => {
        clearTimeout(deadline);
        signal.removeEventListener('abort', onAbort);
      };
      signal.addEventListener('abort', onAbort);
      asked.on('error', (error) => {
        settle();
        reject(error);
      });
      asked.on('response', (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > maxBodyBytes) end('ERR_RESPONSE_TOO_LARGE', 'the answer is larger than 16 MiB');
        });
        response.on('error', (error) => {
          settle();
          reject(error);
        });
        response.on('end', () => {
          settle();
          const { 'content-type': type = '', 'mcp-session-id': session, 'retry-after': retry } = response.headers;
          resolve({
            status: response.statusCode ?? 0,
            type,
            sessionId: typeof session === 'string' ? session : null,
            retryAfterSeconds: retry !== undefined && /^\d{1,6}$/.test(retry) ? Number(retry) : 0,
            body: Buffer.concat(chunks).toString('utf8'),
          });
        });
      });
      if (signal.aborted) onAbort();
      asked.end(body);
    });
  }

  return {
    // A notification has no number: its template is whole.
    post: ({ parts, headers }, id, signal) => send('POST', headers, parts.join(String(id)), signal, timeoutMs),
    async endSession(sessionId) {
      const headers = { 'mcp-session-id': sessionId, 'mcp-protocol-version': '2025-11-25' };
      await send('DELETE', headers, '', AbortSignal.timeout(2_000), 2_000).catch(() => null);
    },
    close: () => agent.destroy(),
  };
}
