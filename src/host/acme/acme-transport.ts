import { request as requestHttps } from 'node:https';
import { rootCertificates } from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import { EnvironmentError } from '../../deployment/errors.ts';
import { AcmeRefusal, parseAcmeProblem, parseRetryAfter } from './acme-failure.ts';

/** As the acme-client library takes a response. */
export interface AcmeResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Parsed when it is JSON, else the text. */
  readonly data: unknown;
}

export interface TransportOptions {
  readonly directoryUrl: string;
  /** Trusted beside the public authorities; null: those alone. */
  readonly caPem: string | null;
  readonly userAgent: string;
  readonly signal: AbortSignal;
  /** Longest time for one answer. */
  readonly requestTimeoutMs?: number;
}

export interface AcmeTransport {
  /** @throws AcmeRefusal, EnvironmentError (nothing answers), AbortError */
  request(url: string, method: string, body?: unknown): Promise<AcmeResponse>;
}

const largestAnswerBytes = 1_048_576;
/** A server in trouble (5xx, a lost connection) is asked this often in all. */
const mostTries = 3;

/**
 * HTTP for the acme-client library, whose own one waits for as long as a CA says without a word, knows no time limit
 * and throws away what kind of problem it was. Refusals are thrown as AcmeRefusal, but for a bad nonce, which the
 * library answers itself with a new one.
 */
export function createAcmeTransport(options: TransportOptions): AcmeTransport {
  return {
    async request(url: string, method: string, body?: unknown): Promise<AcmeResponse> {
      for (let tried = 1; ; tried += 1) {
        options.signal.throwIfAborted();
        let failure: unknown;
        try {
          const response = await requestOnce(url, method, body, options);
          if (response.status < 500) return passOrThrow(response);
          failure = refusalOf(response);
        } catch (error) {
          if (error instanceof AcmeRefusal || options.signal.aborted) throw error;
          failure = unreachable(error, url);
        }
        if (tried === mostTries) throw failure;
        await delay(500 * tried, undefined, { signal: options.signal });
      }
    },
  };
}

function passOrThrow(response: AcmeResponse): AcmeResponse {
  if (response.status < 400) return response;
  const refusal = refusalOf(response);
  if (refusal.problem.type === 'badNonce') return response;
  throw refusal;
}

function refusalOf({ data, status, headers }: AcmeResponse): AcmeRefusal {
  return new AcmeRefusal(parseAcmeProblem(data, status), status, parseRetryAfter(headers['retry-after'], new Date()));
}

function requestOnce(url: string, method: string, body: unknown, options: TransportOptions): Promise<AcmeResponse> {
  if (!url.startsWith('https:')) throw new Error(`the directory names an address that is not https: ${url}`);
  return new Promise((resolve, reject) => {
    const content = body === undefined ? null : Buffer.from(JSON.stringify(body));
    const request = requestHttps(url, {
      method: method.toUpperCase(),
      agent: false,
      signal: options.signal,
      ...(options.caPem === null ? {} : { ca: [...rootCertificates, options.caPem] }),
      headers: {
        'user-agent': options.userAgent,
        'accept-language': 'en',
        ...(content === null
          ? {}
          : { 'content-type': 'application/jose+json', 'content-length': String(content.length) }),
      },
    });
    const timeoutMs = options.requestTimeoutMs ?? 30_000;
    const deadline = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)), timeoutMs);
    request.on('close', () => clearTimeout(deadline));
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > largestAnswerBytes) request.destroy(new Error('the answer is larger than a megabyte'));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const headers = Object.fromEntries(
          Object.entries(response.headers).map(([name, value]) => [
            name,
            Array.isArray(value) ? value.join(', ') : value,
          ]),
        );
        resolve({ status: response.statusCode ?? 0, headers, data: parseBody(text, headers['content-type']) });
      });
    });
    request.end(content ?? undefined);
  });
}

function parseBody(text: string, contentType: string | undefined): unknown {
  if (contentType === undefined || !/\bjson\b/.test(contentType)) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function unreachable(error: unknown, url: string): EnvironmentError {
  const { code } = error as NodeJS.ErrnoException;
  const message = error instanceof Error ? error.message : String(error);
  const { host } = new URL(url);
  const untrusted = code !== undefined && /CERT|SELF_SIGNED|ISSUER|UNABLE_TO/.test(code);
  return new EnvironmentError(`The certificate authority at ${host} cannot be reached.`, {
    why: untrusted ? `Its own certificate is not trusted here: ${message}.` : `${message}.`,
    next: untrusted
      ? 'Name the CA of the directory with tls.caFile (or --ca FILE).'
      : `See that this machine may go out to it: curl -sS https://${host}/`,
    cause: error,
  });
}
