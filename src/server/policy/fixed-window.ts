import type { RateLimit } from '../../deployment/schema.ts';
import { createUnshared, type LimitSharing } from './limit-sharing.ts';
import { mostBuckets, windowMsOf, type RateLimiter } from './rate-limiter.ts';

interface Window {
  used: number;
  endMs: number;
}

/** A window per name that starts with its first call: `requests` until it ends, however close together. */
export function createFixedWindow(
  limit: RateLimit,
  policyName: string,
  now: () => number,
  sharing: LimitSharing | null,
  topic: string,
): RateLimiter {
  const { requests } = limit;
  const windowMs = windowMsOf(limit);
  const unshared = sharing === null ? null : createUnshared(topic, sharing);
  const urgentFrom = Math.max(1, requests / 8);

  // A window that nobody touched for its whole length is over, and goes with its generation.
  let young = new Map<string, Window>();
  let old = new Map<string, Window>();
  let generationEndMs = now() + windowMs;

  const decision = {
    allowed: true,
    policy: policyName,
    limit: requests,
    windowSeconds: windowMs / 1_000,
    remaining: 0,
    resetSeconds: 0,
    retryAfterSeconds: 0,
  };

  /** The window that runs now. */
  function windowOf(name: string, nowMs: number): Window {
    if (nowMs >= generationEndMs || young.size >= mostBuckets) {
      old = nowMs >= generationEndMs + windowMs ? new Map() : young;
      young = new Map();
      generationEndMs = nowMs + windowMs;
    }
    let window = young.get(name);
    if (window === undefined) {
      window = old.get(name) ?? { used: 0, endMs: nowMs + windowMs };
      old.delete(name);
      young.set(name, window);
    }
    if (nowMs >= window.endMs) {
      window.used = 0;
      window.endMs = nowMs + windowMs;
    }
    return window;
  }

  sharing?.onRemote(topic, (deltas) => {
    for (const [name, amount] of deltas) windowOf(name, now()).used += amount;
  });
  sharing?.onTotal?.(topic, { kind: 'window', windowMs }, (name, used, leftMs) => {
    const nowMs = now();
    const window = windowOf(name, nowMs);
    window.used = used + (unshared?.amountOf(name) ?? 0);
    window.endMs = nowMs + leftMs;
  });

  return {
    take(name) {
      const nowMs = now();
      const window = windowOf(name, nowMs);
      decision.allowed = window.used < requests;
      if (decision.allowed) {
        window.used += 1;
        unshared?.add(name, 1, urgentFrom);
      }
      decision.remaining = Math.max(0, requests - window.used);
      decision.resetSeconds = Math.max(0, Math.ceil((window.endMs - nowMs) / 1_000 - 1e-6));
      decision.retryAfterSeconds = decision.allowed ? 0 : Math.max(1, decision.resetSeconds);
      return decision;
    },
    giveBack(name) {
      const window = windowOf(name, now());
      window.used = Math.max(0, window.used - 1);
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
