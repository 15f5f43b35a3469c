import { describeNetworkFailure } from '../network-failure.ts';
import type { Observed, StreamSeen } from '../observations.ts';
import { openLegacySession } from './legacy-session.ts';
import { keyHeaders } from './look-with-client.ts';
import type { EndpointLook } from './probe-answers.ts';
import { modernRequest } from './rpc-request.ts';

/** What is slower is looked at once more before it is judged. */
const lateMs = 1_000;

export interface StreamSpec extends EndpointLook {
  readonly era: 'legacy' | 'modern';
  /** How long the headers may take. */
  readonly headersTimeoutMs: number;
  /** How long to look at what comes once the headers are there. */
  readonly watchMs: number;
}

/**
 * Opens the long stream that clients open on connecting and times its head
 * and its first byte: what a buffering proxy holds back. Then once more as
 * clients ask for it: fetch in Node and browsers takes compressed answers of
 * its own accord.
 */
export async function probeStream(spec: StreamSpec, signal: AbortSignal): Promise<Observed<StreamSeen>> {
  const plain = await watchAgainIfLate(spec, {}, signal);
  if (plain.status !== 'ok' || plain.opened === null) return plain;
  const second = await watchAgainIfLate(spec, { 'accept-encoding': 'gzip, deflate, br' }, signal);
  if (second.status !== 'ok' || second.opened === null) return plain;
  const { headersMs, watchedMs } = second.opened;
  return { ...plain, compressed: { encoding: second.encoding ?? null, headersMs, watchedMs } };
}

type Watched = Observed<StreamSeen & { readonly encoding?: string | null }>;

/** A busy machine is late once; what buffers is late every time. */
async function watchAgainIfLate(
  spec: StreamSpec,
  headers: Record<string, string>,
  signal: AbortSignal,
): Promise<Watched> {
  const first = await watchOnce(spec, headers, signal);
  if (first.status !== 'ok' || first.opened === null || !isLate(first.opened)) return first;
  const second = await watchOnce(spec, headers, signal);
  return second.status === 'ok' && second.opened !== null && !isLate(second.opened) ? second : first;
}

function isLate({ headersMs, firstByteMs }: NonNullable<StreamSeen['opened']>): boolean {
  return headersMs === null || headersMs > lateMs || (firstByteMs ?? 0) > lateMs;
}

/** In a session of its own: a second stream of one session may be refused until the first is known to be gone. */
async function watchOnce(spec: StreamSpec, headers: Record<string, string>, signal: AbortSignal): Promise<Watched> {
  if (spec.era === 'modern') {
    const listen = { notifications: { toolsListChanged: true } };
    const request = modernRequest('subscriptions/listen', listen, { ...keyHeaders(spec.key), ...headers });
    return watch('listen', spec, request, signal);
  }
  const session = await openLegacySession(spec, signal);
  if (typeof session === 'string') {
    return { status: 'failed', reason: 'no session could be opened for it', failure: null };
  }
  try {
    const all = { ...session.headers, accept: 'text/event-stream', ...headers };
    return await watch('get', spec, { method: 'GET', headers: all }, signal);
  } finally {
    await session.end();
  }
}

async function watch(
  kind: StreamSeen['kind'],
  spec: StreamSpec,
  request: RequestInit,
  signal: AbortSignal,
): Promise<Observed<StreamSeen & { readonly encoding?: string | null }>> {
  const startedAt = performance.now();
  const sinceStart = (): number => performance.now() - startedAt;
  const stop = new AbortController();
  const headersTimer = setTimeout(() => stop.abort(), spec.headersTimeoutMs);
  try {
    const response = await spec.http(spec.url, { ...request, signal: AbortSignal.any([signal, stop.signal]) });
    clearTimeout(headersTimer);
    const headersMs = sinceStart();
    if (response.status === 405 || response.status === 404 || response.status === 501) {
      return { status: 'ok', kind, opened: null };
    }
    if (response.status !== 200 || !(response.headers.get('content-type') ?? '').includes('text/event-stream')) {
      const contentType = response.headers.get('content-type') ?? 'no content type';
      await response.body?.cancel();
      // A server without subscriptions may say so in a JSON answer.
      if (kind === 'listen') return { status: 'ok', kind, opened: null };
      return { status: 'failed', reason: `it was answered with ${response.status}, ${contentType}`, failure: null };
    }
    const [firstByteMs = null, ...heardAtMs] = await arrivals(response, spec.watchMs, sinceStart);
    const encoding = response.headers.get('content-encoding');
    return { status: 'ok', kind, opened: { headersMs, firstByteMs, heardAtMs, watchedMs: sinceStart() }, encoding };
  } catch (error) {
    signal.throwIfAborted();
    if (stop.signal.aborted) {
      return { status: 'ok', kind, opened: { headersMs: null, firstByteMs: null, watchedMs: sinceStart() } };
    }
    const failure = describeNetworkFailure(error);
    return { status: 'failed', reason: failure.message, failure };
  } finally {
    clearTimeout(headersTimer);
  }
}

/** When something came, for so long; a stream that is as busy as this needs no longer look. */
const maxArrivals = 50;

async function arrivals(response: Response, watchMs: number, sinceStart: () => number): Promise<readonly number[]> {
  const heard: number[] = [];
  if (response.body === null) return heard;
  const reader = response.body.getReader();
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<{ done: true }>((resolve) => {
    timer = setTimeout(() => resolve({ done: true }), watchMs);
  });
  try {
    while (heard.length < maxArrivals && !(await Promise.race([reader.read(), over])).done) heard.push(sinceStart());
    return heard;
  } catch (error) {
    // One that is cut off later was there all the same.
    if (heard.length === 0) throw error;
    return heard;
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {});
  }
}
