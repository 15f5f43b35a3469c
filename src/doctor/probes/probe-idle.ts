import { describeNetworkFailure } from '../network-failure.ts';
import type { IdleSeen, Observed } from '../observations.ts';
import { deadlineSignal } from './deadline-signal.ts';
import { openLegacySession } from './legacy-session.ts';
import { keyHeaders } from './look-with-client.ts';
import type { EndpointLook } from './probe-answers.ts';
import { modernRequest } from './rpc-request.ts';

export interface IdleSpec extends EndpointLook {
  readonly era: 'legacy' | 'modern';
  readonly watchMs: number;
}

/** More is not drawn. */
const maxHeard = 64;

/** Keeps a stream open, asks nothing of it and notes how long it is silent and whether it is cut. */
export async function probeIdle(spec: IdleSpec, signal: AbortSignal): Promise<Observed<IdleSeen>> {
  if (spec.era === 'modern') {
    const listen = { notifications: { toolsListChanged: true } };
    return watch(spec, modernRequest('subscriptions/listen', listen, keyHeaders(spec.key)), signal);
  }
  const session = await openLegacySession(spec, signal);
  if (typeof session === 'string')
    return { status: 'failed', reason: 'no session could be opened for it', failure: null };
  try {
    return await watch(spec, { method: 'GET', headers: { ...session.headers, accept: 'text/event-stream' } }, signal);
  } finally {
    await session.end();
  }
}

async function watch(spec: IdleSpec, request: RequestInit, signal: AbortSignal): Promise<Observed<IdleSeen>> {
  const startedAt = performance.now();
  const sinceStart = (): number => performance.now() - startedAt;
  const over = deadlineSignal(signal, spec.watchMs);
  let lastAt = 0;
  let longestSilenceMs = 0;
  const heardAtMs: number[] = [];
  let opened = false;
  const heard = (): void => {
    longestSilenceMs = Math.max(longestSilenceMs, sinceStart() - lastAt);
    lastAt = sinceStart();
  };
  try {
    const response = await spec.http(spec.url, { ...request, signal: over.signal });
    if (response.status !== 200 || !(response.headers.get('content-type') ?? '').includes('text/event-stream')) {
      await response.body?.cancel();
      return { status: 'skipped', reason: `the server offers no such stream (${response.status})` };
    }
    opened = true;
    const reader = response.body?.getReader();
    for (;;) {
      const part = await reader?.read();
      heard();
      if (part === undefined || part.done) break;
      if (heardAtMs.length < maxHeard) heardAtMs.push(lastAt);
    }
  } catch (error) {
    signal.throwIfAborted();
    heard();
    if (over.signal.aborted)
      return { status: 'ok', watchedMs: sinceStart(), endedAfterMs: null, longestSilenceMs, heardAtMs };
    const failure = describeNetworkFailure(error);
    if (!opened) return { status: 'failed', reason: failure.message, failure };
  } finally {
    over.release();
  }
  return { status: 'ok', watchedMs: sinceStart(), endedAfterMs: sinceStart(), longestSilenceMs, heardAtMs };
}
