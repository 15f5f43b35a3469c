import { randomUUID } from 'node:crypto';
import type { Answer, LimitsSeen, Observed } from '../observations.ts';
import { askOnce } from './ask-once.ts';
import { openLegacySession } from './legacy-session.ts';
import { keyHeaders } from './look-with-client.ts';
import type { EndpointLook } from './probe-answers.ts';
import { legacyRequest, modernRequest } from './rpc-request.ts';

export interface LimitsSpec extends EndpointLook {
  readonly era: 'legacy' | 'modern';
  readonly maxRequests: number;
  readonly onProgress: (sent: number) => void;
}

/** Requests under way at once; so many more than needed are sent at most. */
const parallel = 8;

/**
 * Calls a tool that does not exist until the first 429, at most
 * `maxRequests` times: it counts like a call and does nothing.
 */
export async function probeLimits(spec: LimitsSpec, signal: AbortSignal): Promise<Observed<LimitsSeen>> {
  const session = spec.era === 'legacy' ? await openLegacySession(spec, signal) : null;
  if (typeof session === 'string') {
    return { status: 'failed', reason: 'no session could be opened for it', failure: null };
  }
  const tool = { name: `no-such-tool-${randomUUID()}`, arguments: {} };
  const request =
    session === null
      ? modernRequest('tools/call', tool, keyHeaders(spec.key))
      : legacyRequest('tools/call', tool, session.headers);
  try {
    return await burst(spec, request, signal);
  } finally {
    await session?.end();
  }
}

async function burst(
  spec: LimitsSpec,
  request: ReturnType<typeof modernRequest>,
  signal: AbortSignal,
): Promise<Observed<LimitsSeen>> {
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
      const answer = await askOnce(
        { http: spec.http, url: spec.url, request, timeoutMs: spec.timeoutMs, secret: spec.key },
        signal,
      );
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
