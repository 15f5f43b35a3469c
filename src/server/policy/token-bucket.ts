import type { RateLimit } from '../../deployment/schema.ts';
import { createUnshared, type LimitSharing } from './limit-sharing.ts';
import { mostBuckets, windowMsOf, type RateLimiter } from './rate-limiter.ts';

interface Bucket {
  tokens: number;
  atMs: number;
}

/**
 * A token bucket per name: `burst` at once, `requests` per window on average. Without `burst` a tenth of
 * `requests`, at least 20, and never more than `requests`.
 */
export function createTokenBucket(
  limit: RateLimit,
  policyName: string,
  now: () => number,
  sharing: LimitSharing | null,
  topic: string,
): RateLimiter {
  const capacity = limit.burst ?? Math.min(limit.requests, Math.max(20, Math.ceil(limit.requests / 10)));
  const windowMs = windowMsOf(limit);
  const tokensPerMs = limit.requests / windowMs;
  // With others a bucket can be below nothing by a burst of each: it takes as many fill times until it is full.
  const fillsRemembered = sharing === null ? 1 : 16;
  const generationMs = Math.max(1_000, (fillsRemembered * capacity) / tokensPerMs);
  const unshared = sharing === null ? null : createUnshared(topic, sharing);
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
    windowSeconds: windowMs / 1_000,
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
    if (nowMs >= generationEndMs || young.size >= mostBuckets) {
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

  sharing?.onRemote(topic, (deltas) => {
    for (const [name, amount] of deltas) filledBucket(name).tokens -= amount;
  });
  sharing?.onTotal?.(topic, { kind: 'bucket', capacity, tokensPerMs }, (name, used) => {
    filledBucket(name).tokens = capacity - used - (unshared?.amountOf(name) ?? 0);
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
    giveBack(name) {
      const bucket = filledBucket(name);
      bucket.tokens = Math.min(capacity, bucket.tokens + 1);
      unshared?.add(name, -1, urgentFrom);
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
