import { describeNetworkFailure } from '../network-failure.ts';
import { printable } from '../printable.ts';
import type { Answer } from '../observations.ts';
import { deadlineSignal } from './deadline-signal.ts';
import type { HttpsFetch } from './https-fetch.ts';
import type { RpcRequest } from './rpc-request.ts';

/** Enough for every JSON answer that is judged; a page or a stream is cut. */
const maxReadBytes = 65_536;
const maxShownCharacters = 2_000;

export interface AskSpec {
  readonly http: HttpsFetch;
  readonly url: string;
  readonly request:
    | RpcRequest
    | { readonly method: 'GET' | 'DELETE' | 'OPTIONS'; readonly headers: Record<string, string> };
  readonly timeoutMs: number;
  /** Is cut out of what came back: a server may repeat what it was sent. */
  readonly secret: string | null;
}

/** One exchange, bounded in time and size. A network failure is an observation, not an error. */
export async function askOnce(spec: AskSpec, signal: AbortSignal): Promise<Answer> {
  const startedAt = performance.now();
  const to = describeRequest(spec);
  const deadline = deadlineSignal(signal, spec.timeoutMs);
  let head: { status: number; contentType: string } | null = null;
  try {
    const response = await spec.http(spec.url, {
      method: spec.request.method,
      headers: spec.request.headers,
      ...('body' in spec.request ? { body: spec.request.body } : {}),
      signal: deadline.signal,
    });
    const receivedAt = new Date().toISOString();
    const contentType = response.headers.get('content-type') ?? '';
    head = { status: response.status, contentType };
    const body = await readStart(response, contentType.includes('text/event-stream'));
    const hide = (text: string): string => (spec.secret === null ? text : text.replaceAll(spec.secret, '[secret]'));
    return {
      kind: 'answered',
      to,
      status: response.status,
      headers: Object.fromEntries([...response.headers].map(([name, value]) => [name, hide(value)])),
      bodyStart: printable(hide(body.text)).slice(0, maxShownCharacters),
      json: parseJson(contentType, hide(body.text), body.complete),
      durationMs: performance.now() - startedAt,
      receivedAt,
    };
  } catch (error) {
    signal.throwIfAborted();
    return { kind: 'failed', to, failure: describeNetworkFailure(error), head };
  } finally {
    deadline.release();
  }
}

function describeRequest({ request, url }: AskSpec): string {
  if (!('rpcMethod' in request)) return `${request.method} ${new URL(url).pathname}`;
  return `${request.method} ${request.rpcMethod}`;
}

async function readStart(response: Response, isStream: boolean): Promise<{ text: string; complete: boolean }> {
  if (response.body === null) return { text: '', complete: true };
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return { text, complete: true };
    bytes += value.byteLength;
    text += decoder.decode(value, { stream: true });
    // One message is all that is asked of a stream, which may stay open.
    if (bytes > maxReadBytes || (isStream && firstMessage(text) !== null)) {
      await reader.cancel();
      return { text, complete: false };
    }
  }
}

function parseJson(contentType: string, text: string, complete: boolean): unknown {
  const source = contentType.includes('text/event-stream')
    ? firstMessage(text)
    : /[/+]json\b/.test(contentType) && complete
      ? text
      : null;
  if (source === null) return undefined;
  try {
    return JSON.parse(source) as unknown;
  } catch {
    return undefined;
  }
}

/** The data of the first complete event that has any (comments and empty events keep a stream alive). */
function firstMessage(text: string): string | null {
  const events = text.split(/\r?\n\r?\n/).slice(0, -1);
  for (const event of events) {
    const data = event
      .split(/\r?\n/)
      .filter((line) => line.startsWith('data:'))
      .map((line) => line.slice(5).trimStart())
      .join('\n');
    if (data !== '') return data;
  }
  return null;
}
