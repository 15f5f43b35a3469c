import { describe, expect, test } from 'vitest';
import { createRateLimiter, limitHeaders } from '../../src/server/policy/rate-limiter.ts';
import type { LimitDecision } from '../../src/server/types.ts';

function startClock() {
  let nowMs = 0;
  return {
    now: () => nowMs,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

function allowedOf(limiter: { take(bucket: string): LimitDecision }, bucket: string, tries: number): number {
  let allowed = 0;
  for (let index = 0; index < tries; index += 1) if (limiter.take(bucket).allowed) allowed += 1;
  return allowed;
}

describe('the bucket', () => {
  test.each([
    { requests: 1_200, windowSeconds: 60, atOnce: 120 },
    { requests: 100, windowSeconds: 60, atOnce: 20 },
    { requests: 5, windowSeconds: 60, atOnce: 5 },
    { requests: 1, windowSeconds: 1, atOnce: 1 },
    { requests: 100, windowSeconds: 60, burst: 7, atOnce: 7 },
    { requests: 10, windowSeconds: 60, burst: 50, atOnce: 50 },
  ])('$requests per $windowSeconds s, burst $burst, lets $atOnce through at once', ({ atOnce, ...limit }) => {
    const limiter = createRateLimiter(limit, 'default', startClock().now);
    expect(allowedOf(limiter, 'k', atOnce + 10)).toBe(atOnce);
  });

  test('over ten windows it lets through what the limit says, whatever the rhythm', () => {
    for (const stepMs of [1, 7, 130, 499]) {
      const clock = startClock();
      const limiter = createRateLimiter({ requests: 100, windowSeconds: 10, burst: 10 }, 'default', clock.now);
      allowedOf(limiter, 'k', 50);
      let allowed = 0;
      for (let passed = 0; passed < 100_000; passed += stepMs) {
        clock.pass(stepMs);
        allowed += allowedOf(limiter, 'k', 12);
      }
      expect(allowed).toBeGreaterThanOrEqual(999);
      expect(allowed).toBeLessThanOrEqual(1_011);
    }
  });

  test('waiting Retry-After is enough, a second less is not', () => {
    const clock = startClock();
    const limiter = createRateLimiter({ requests: 6, windowSeconds: 60, burst: 1 }, 'default', clock.now);
    expect(limiter.take('k').allowed).toBe(true);
    expect(limiter.take('k')).toMatchObject({ allowed: false, retryAfterSeconds: 10, remaining: 0, resetSeconds: 10 });
    clock.pass(9_000);
    expect(limiter.take('k')).toMatchObject({ allowed: false, retryAfterSeconds: 1 });
    clock.pass(1_000);
    expect(limiter.take('k').allowed).toBe(true);
  });

  test('a bucket never saves up more than its burst', () => {
    const clock = startClock();
    const limiter = createRateLimiter({ requests: 60, windowSeconds: 60, burst: 10 }, 'default', clock.now);
    allowedOf(limiter, 'k', 5);
    clock.pass(9_900);
    expect(allowedOf(limiter, 'k', 50)).toBe(10);
  });

  test('a refused call costs no token', () => {
    const clock = startClock();
    const limiter = createRateLimiter({ requests: 60, windowSeconds: 60, burst: 1 }, 'default', clock.now);
    expect(allowedOf(limiter, 'k', 1_000)).toBe(1);
    clock.pass(1_000);
    expect(allowedOf(limiter, 'k', 1_000)).toBe(1);
  });

  test('an exhausted name leaves the others alone, names of Object.prototype included', () => {
    const limiter = createRateLimiter({ requests: 10, windowSeconds: 60, burst: 2 }, 'default', startClock().now);
    for (const bucket of ['a', '__proto__', 'constructor', '']) expect(allowedOf(limiter, bucket, 5)).toBe(2);
  });

  test('a clock that goes back gives nothing and takes nothing', () => {
    const clock = startClock();
    const limiter = createRateLimiter({ requests: 60, windowSeconds: 60, burst: 3 }, 'default', clock.now);
    allowedOf(limiter, 'k', 2);
    clock.pass(-3_600_000);
    expect(allowedOf(limiter, 'k', 5)).toBe(1);
  });

  test('the decision object is the same one every time', () => {
    const limiter = createRateLimiter({ requests: 10, windowSeconds: 60 }, 'default', startClock().now);
    expect(limiter.take('a')).toBe(limiter.take('b'));
  });
});

describe('memory', () => {
  test('a bucket idle for its fill time is gone, one in use keeps its count across generations', () => {
    const clock = startClock();
    const limiter = createRateLimiter({ requests: 60, windowSeconds: 60, burst: 10 }, 'default', clock.now);
    for (let index = 0; index < 500; index += 1) limiter.take(`idle-${index}`);
    expect(allowedOf(limiter, 'busy', 50)).toBe(10);
    for (let second = 0; second < 60; second += 1) {
      clock.pass(1_000);
      expect(allowedOf(limiter, 'busy', 50)).toBe(1);
    }
    expect(limiter.size).toBe(1);
  });

  test('a flood of names stays bounded', () => {
    const limiter = createRateLimiter({ requests: 60, windowSeconds: 60 }, 'default', startClock().now);
    for (let index = 0; index < 350_000; index += 1) limiter.take(`n${index}`);
    expect(limiter.size).toBeLessThanOrEqual(200_000);
  });

  test('a forgotten bucket starts anew', () => {
    const limiter = createRateLimiter({ requests: 60, windowSeconds: 60, burst: 1 }, 'default', startClock().now);
    limiter.take('k');
    expect(limiter.take('k').allowed).toBe(false);
    limiter.forget('k');
    expect(limiter.size).toBe(0);
    expect(limiter.take('k').allowed).toBe(true);
  });
});

describe('what the client is told', () => {
  const refused: LimitDecision = {
    allowed: false,
    policy: 'default',
    limit: 100,
    windowSeconds: 60,
    remaining: 0,
    resetSeconds: 12,
    retryAfterSeconds: 3,
  };

  test('headers of an allowed call have no Retry-After', () => {
    expect(limitHeaders({ ...refused, allowed: true, remaining: 50, resetSeconds: 30 })).toEqual([
      ['RateLimit-Policy', '"default";q=100;w=60'],
      ['RateLimit', '"default";r=50;t=30'],
    ]);
  });

  test('headers of a refused call say when to come back', () => {
    expect(limitHeaders(refused)).toEqual([
      ['RateLimit-Policy', '"default";q=100;w=60'],
      ['RateLimit', '"default";r=0;t=12'],
      ['Retry-After', '3'],
    ]);
  });

  test('a policy name cannot break the header, and parts of a second are not sent', () => {
    expect(limitHeaders({ ...refused, policy: 'a"b\\c\r\nX: 1', windowSeconds: 0.25 })[0]).toEqual([
      'RateLimit-Policy',
      '"a\\"b\\\\c??X: 1";q=100;w=1',
    ]);
  });
});
