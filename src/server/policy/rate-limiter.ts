import type { RateLimit } from '../../deployment/schema.ts';
import type { LimitDecision } from '../types.ts';
import { createUnshared, type LimitSharing } from './limit-sharing.ts';

/** Buckets in one generation; two generations exist at once. */
const MOST_BUCKETS = 100_000;

export interface RateLimiter {
  /**
   * Takes one token. The returned object is reused by the next call: read it at once, or copy it.
   * Allocates nothing for a bucket that exists.
   */
  take(bucket: string): LimitDecision;
  /** Drops a bucket: its key was revoked, its session ended. */
  forget(bucket: string): void;
  /** Buckets in memory. */
  readonly size: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/**
 * A token bucket per name: `burst` at once, `requests` per window on average. Without `burst` a tenth of
 * `requests`, at least 20, and never more than `requests`.
 * With `sharing` other processes count along: what they let through is taken off here within about 50 ms, if need be
 * below nothing, so that a burst which hits all of them at once is paid back and the average holds.
 * @param now milliseconds of a clock that never goes back; the process's own by default.
 */
export function createRateLimiter(
  limit: RateLimit,
  policyName: string,
  now: () => number = () => performance.now(),
  sharing: LimitSharing | null = null,
): RateLimiter {
  const capacity = limit.burst ?? Math.min(limit.requests, Math.max(20, Math.ceil(limit.requests / 10)));
  const tokensPerMs = limit.requests / (limit.windowSeconds * 1_000);
  // With others a bucket can be below nothing by a burst of each: it takes as many fill times until it is full.
  const fillsRemembered = sharing === null ? 1 : 16;
  const generationMs = Math.max(1_000, (fillsRemembered * capacity) / tokensPerMs);
  const unshared = sharing === null ? null : createUnshared(policyName, sharing);
  // The others should hear of a bucket that is being emptied before it is empty.
  const urgentFrom = Math.max(1, capacity / 8);

  // Two generations instead of a sweep: a bucket that nobody touched for a whole fill time is full again, so it
  // is the same as one that does not exist and goes with its generation.
  let young = new Map<string, Bucket>();
  let old = new Map<string, Bucket>();
  let generationEndMs = now() + generationMs;

  const decision = {
    allowed: true,
    policy: policyName,
    limit: limit.requests,
    windowSeconds: limit.windowSeconds,
    remaining: 0,
    resetSeconds: 0,
    retryAfterSeconds: 0,
  };

  function bucketOf(name: string, nowMs: number): Bucket {
    const known = young.get(name);
    if (known !== undefined) return known;
    const bucket = old.get(name) ?? { tokens: capacity, atMs: nowMs };
    old.delete(name);
    young.set(name, bucket);
    return bucket;
  }

  /** The bucket as it is now, with what has flowed in. */
  function filledBucket(name: string): Bucket {
    const nowMs = now();
    if (nowMs >= generationEndMs || young.size >= MOST_BUCKETS) {
      old = nowMs >= generationEndMs + generationMs ? new Map() : young;
      young = new Map();
      generationEndMs = nowMs + generationMs;
    }
    const bucket = bucketOf(name, nowMs);
    if (nowMs > bucket.atMs) {
      bucket.tokens = Math.min(capacity, bucket.tokens + (nowMs - bucket.atMs) * tokensPerMs);
      bucket.atMs = nowMs;
    }
    return bucket;
  }

  sharing?.onRemote(policyName, (deltas) => {
    for (const [name, amount] of deltas) filledBucket(name).tokens -= amount;
  });

  return {
    take(name) {
      const bucket = filledBucket(name);
      // A hair's breadth for sums of fractions: three thirds of a token are a token.
      decision.allowed = bucket.tokens >= 1 - 1e-9;
      if (decision.allowed) {
        bucket.tokens = Math.max(0, bucket.tokens - 1);
        unshared?.add(name, 1, urgentFrom);
      }
      decision.remaining = Math.max(0, Math.floor(bucket.tokens + 1e-9));
      decision.resetSeconds = Math.ceil((capacity - bucket.tokens) / tokensPerMs / 1_000 - 1e-6);
      decision.retryAfterSeconds = decision.allowed
        ? 0
        : Math.max(1, Math.ceil((1 - bucket.tokens) / tokensPerMs / 1_000 - 1e-6));
      return decision;
    },
    forget(name) {
      young.delete(name);
      old.delete(name);
    },
    get size() {
      return young.size + old.size;
    },
  };
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

/** Body of a 429, `application/problem+json` (RFC 9457) with the problem type of the rate limit draft. */
export function problemJson(decision: LimitDecision): string {
  const wait = decision.retryAfterSeconds === 1 ? '1 second' : `${decision.retryAfterSeconds} seconds`;
  const window = decision.windowSeconds === 1 ? 'second' : `${decision.windowSeconds} seconds`;
  return JSON.stringify({
    type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
    title: 'Too Many Requests',
    status: 429,
    detail: `Too many calls: ${decision.limit} per ${window} are allowed here. Try again in ${wait}.`,
    'violated-policies': [decision.policy],
  });
}

/** RFC 9651 string: printable ASCII, quote and backslash escaped. */
function quoteForHeader(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
}
