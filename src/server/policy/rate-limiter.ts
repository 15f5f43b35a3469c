import type { RateLimit } from '../../deployment/schema.ts';
import type { LimitDecision } from '../types.ts';
import { createFixedWindow } from './fixed-window.ts';
import type { LimitSharing } from './limit-sharing.ts';
import { createTokenBucket } from './token-bucket.ts';

export interface RateLimiter {
  /**
   * Takes one token. The returned object is reused by the next call: read it at once, or copy it.
   * Allocates nothing for a bucket that exists.
   */
  take(bucket: string): LimitDecision;
  /** Puts a token back that was just taken: another limit refused the call. */
  giveBack(bucket: string): void;
  /** Drops a bucket: its key was revoked, its session ended. */
  forget(bucket: string): void;
  /** Buckets in memory. */
  readonly size: number;
}

/** Buckets in one generation; two generations exist at once. */
export const mostBuckets = 100_000;

/**
 * A limiter of the form that the deployment names: a token bucket, or a window that starts with its first call.
 * With `sharing` other processes count along: what they let through is taken off here within about 50 ms, if need be
 * below nothing, so that a burst which hits all of them at once is paid back and the average holds.
 * @param policyName what clients are told
 * @param now milliseconds of a clock that never goes back; the process's own by default.
 * @param topic names the limiter among processes; the name of the policy by default
 */
export function createRateLimiter(
  limit: RateLimit,
  policyName: string,
  now: () => number = () => performance.now(),
  sharing: LimitSharing | null = null,
  topic: string = policyName,
): RateLimiter {
  const create = limit.form === 'fixed-window' ? createFixedWindow : createTokenBucket;
  return create(limit, policyName, now, sharing, topic);
}

/** Length of the window in milliseconds. */
export function windowMsOf({ windowMs, windowSeconds }: RateLimit): number {
  return windowMs ?? windowSeconds * 1_000;
}

/**
 * The headers of an answer to a limited request, and Retry-After (seconds) when it was refused.
 * Source: draft-ietf-httpapi-ratelimit-headers, structured fields with `q`, `w`, `r` and `t`.
 */
export function limitHeaders(decision: LimitDecision): readonly (readonly [name: string, value: string])[] {
  const policy = quoteForHeader(decision.policy);
  const headers: [string, string][] = [
    ['RateLimit-Policy', `${policy};q=${decision.limit};w=${Math.max(1, Math.round(decision.windowSeconds))}`],
    ['RateLimit', `${policy};r=${decision.remaining};t=${decision.resetSeconds}`],
  ];
  if (!decision.allowed) headers.push(['Retry-After', String(decision.retryAfterSeconds)]);
  return headers;
}

/** RFC 9651 string: printable ASCII, quote and backslash escaped. */
function quoteForHeader(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
}
