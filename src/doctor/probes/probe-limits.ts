import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Answer, LimitsSeen, Observed } from '../observations.ts';
import { retryAfterSeconds } from '../retry-after.ts';
import { askOnce } from './ask-once.ts';
import { openLegacySession } from './legacy-session.ts';
import { keyHeaders } from './look-with-client.ts';
import type { EndpointLook } from './probe-answers.ts';
import { legacyRequest, modernRequest } from './rpc-request.ts';

export interface LimitsSpec extends EndpointLook {
  /** Another good key of the same server; null when none is known. */
  readonly otherKey: string | null;
  readonly era: 'legacy' | 'modern';
  readonly maxRequests: number;
  readonly onProgress: (sent: number) => void;
}

/** Requests under way at once; so many more than needed are sent at most. */
const parallel = 8;
/** A longer Retry-After is not waited for: all that doctor looks at has 5 s. */
const longestWaitSeconds = 3;
/** What may be sent besides the burst: a session opened and ended, the other key in one of its own, two calls afterwards. */
const reserved = { legacySession: 3, recovery: 2 };

/**
 * Calls a tool that does not exist until the first 429: it counts like a call
 * and does nothing. Then one call with another key, and one when the time of
 * Retry-After is over. All of it together at most `maxRequests`.
 */
export async function probeLimits(spec: LimitsSpec, signal: AbortSignal): Promise<Observed<LimitsSeen>> {
  const first = await openCaller(spec, spec.key, signal);
  if (first === null) return { status: 'failed', reason: 'no session could be opened for it', failure: null };
  const otherKey = spec.key === null ? null : spec.otherKey;
  const perCaller = spec.era === 'legacy' ? reserved.legacySession : 0;
  const besides = perCaller + reserved.recovery + (otherKey === null ? 0 : perCaller + 1);
  // Opened before the burst: an initialize may be what the limit refuses.
  const other = otherKey === null ? null : await openCaller(spec, otherKey, signal);
  try {
    const seen = await burst({ ...spec, maxRequests: spec.maxRequests - besides }, first);
    if (seen.status !== 'ok' || seen.refusal?.kind !== 'answered') return seen;
    const asOther = other === null ? null : await other.call();
    return { ...seen, otherKey: asOther, recovery: await recover(seen.refusal, first, signal) };
  } finally {
    await Promise.all([first.end(), other?.end()]);
  }
}

/** Calls with one key, in a session of its own where the era has them. */
interface Caller {
  call(): Promise<Answer>;
  end(): Promise<void>;
}

async function openCaller(spec: LimitsSpec, key: string | null, signal: AbortSignal): Promise<Caller | null> {
  const session = spec.era === 'legacy' ? await openLegacySession({ ...spec, key }, signal) : null;
  if (typeof session === 'string') return null;
  const tool = { name: `no-such-tool-${randomUUID()}`, arguments: {} };
  const request =
    session === null
      ? modernRequest('tools/call', tool, keyHeaders(key))
      : legacyRequest('tools/call', tool, session.headers);
  const { http, url, timeoutMs } = spec;
  return {
    call: () => askOnce({ http, url, request, timeoutMs, secret: key }, signal),
    end: async () => session?.end(),
  };
}

/** Calls again when Retry-After says so, and once more when that is refused as well. */
async function recover(refusal: Answer, caller: Caller, signal: AbortSignal): Promise<LimitsSeen['recovery']> {
  const startedAt = performance.now();
  let last = refusal;
  for (let calls = 0; calls < reserved.recovery; calls += 1) {
    if (last.kind === 'failed' || last.status !== 429) break;
    const header = last.headers['retry-after'];
    const seconds = header === undefined ? null : retryAfterSeconds(header, last.receivedAt);
    const tooLong = seconds !== null && seconds > longestWaitSeconds;
    if (seconds === null || tooLong) {
      if (calls > 0) break;
      return tooLong ? `not tried: Retry-After is ${Math.ceil(seconds)} s` : 'not tried: nothing says when';
    }
    await setTimeout(Math.max(0, seconds) * 1_000, undefined, { signal }).catch(() => signal.throwIfAborted());
    last = await caller.call();
  }
  return { waitedMs: performance.now() - startedAt, answer: last };
}

async function burst(spec: LimitsSpec, caller: Caller): Promise<Observed<LimitsSeen>> {
  const startedAt = performance.now();
  const statuses = new Map<number, number>();
  const answered: { atMs: number; status: number }[] = [];
  let sent = 0;
  let refusal: Answer | null = null;
  let broken: Answer | null = null;
  let declared: LimitsSeen['declared'] = null;

  const worker = async (): Promise<void> => {
    while (sent < spec.maxRequests && refusal === null && broken === null) {
      sent += 1;
      if (sent % 50 === 0) spec.onProgress(sent);
      const answer = await caller.call();
      if (answer.kind === 'failed') broken ??= answer;
      else {
        answered.push({ atMs: performance.now() - startedAt, status: answer.status });
        declared = largerPolicy(declared, answer.headers['ratelimit-policy']);
        if (answer.status === 429) refusal ??= answer;
        else statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      }
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));

  // TypeScript does not see the assignments inside the workers.
  const seen = { refusal: refusal as Answer | null, broken: broken as Answer | null };
  if (seen.refusal === null && seen.broken?.kind === 'failed') {
    return { status: 'failed', reason: seen.broken.failure.message, failure: seen.broken.failure };
  }
  const [usual] = [...statuses].toSorted((a, b) => b[1] - a[1]);
  return {
    status: 'ok',
    sent,
    durationMs: performance.now() - startedAt,
    refusal: seen.refusal,
    otherKey: null,
    recovery: null,
    declared,
    usualStatus: usual?.[0] ?? 429,
    answered,
  };
}

/** `"default";q=100;w=60, "burst";q=20;w=1` (draft-ietf-httpapi-ratelimit-headers): the policy with the largest quota. */
function largerPolicy(known: LimitsSeen['declared'], header: string | undefined): LimitsSeen['declared'] {
  let largest = known;
  for (const item of (header ?? '').split(',')) {
    const quota = /;\s*q=(\d{1,15})/.exec(item)?.[1];
    if (quota === undefined || Number(quota) <= (largest?.quota ?? 0)) continue;
    const window = /;\s*w=(\d{1,15})/.exec(item)?.[1];
    largest = { quota: Number(quota), windowSeconds: window === undefined ? null : Number(window) };
  }
  return largest;
}
