import { describe, expect, test } from 'vitest';
import { limitsSchema, type Limits } from '../../src/deployment/limits-schema.ts';
import { createCallLimits, type CallLimits } from '../../src/server/call-limits.ts';
import { createRateLimiter } from '../../src/server/policy/rate-limiter.ts';
import type { Caller } from '../../src/server/types.ts';
import type { z } from 'zod';

const alone = { processes: 1, sharing: null, holdings: null, refusesCalls: () => false };

function open(
  given: z.input<typeof limitsSchema>,
  inFlight = { size: 0, countOf: () => 0 },
  shared: typeof alone = alone,
): { readonly limits: CallLimits; readonly refusals: string[] } {
  const refusals: string[] = [];
  const settings: Limits = limitsSchema.parse(given);
  const metrics = { rateLimited: (scope: string) => void refusals.push(scope) };
  return { limits: createCallLimits(settings, metrics, inFlight, { countOf: () => 0 }, shared), refusals };
}

const caller = (keyId: string, address = '192.0.2.1', tier: string | null = null): Caller => ({
  keyId,
  label: keyId,
  address,
  tier,
});

const few = (requests: number) => ({ requests, windowMs: 60_000, form: 'fixed-window' as const });
const passes = (limits: CallLimits, count: number, who: Caller, tool: string | null = null): number =>
  Array.from({ length: count }, () => limits.judge(who, 'call', tool)).filter((refusal) => refusal === null).length;

describe('what is counted', () => {
  test('one address with many keys is one address, and a /64 of IPv6 too', () => {
    const { limits, refusals } = open({ perAddress: few(3) });
    expect(passes(limits, 2, caller('a')) + passes(limits, 2, caller('b'))).toBe(3);
    expect(passes(limits, 1, caller('a', '192.0.2.2'))).toBe(1);
    expect(passes(limits, 2, caller('a', '2001:db8::1')) + passes(limits, 2, caller('a', '2001:db8::ffff:1'))).toBe(3);
    expect(passes(limits, 1, caller('a', '2001:db8:0:1::1'))).toBe(1);
    expect(new Set(refusals)).toEqual(new Set(['address']));
  });

  test('a key of a tier has the limits of its tier and those that the tier leaves out', () => {
    const { limits } = open({
      perKey: few(2),
      streamsPerKey: 7,
      tiers: { gold: { perKey: few(5), streamsPerKey: 9 }, plain: { concurrencyPerKey: 1 }, free: { perKey: 'off' } },
    });
    expect(passes(limits, 10, caller('a'))).toBe(2);
    expect(passes(limits, 10, caller('b', '', 'gold'))).toBe(5);
    expect(passes(limits, 10, caller('c', '', 'plain'))).toBe(2);
    expect(passes(limits, 10, caller('d', '', 'free'))).toBe(10);
    expect(passes(limits, 10, caller('e', '', 'unknown'))).toBe(2);
    expect([limits.streamsOf(caller('a')), limits.streamsOf(caller('b', '', 'gold'))]).toEqual([7, 9]);
  });

  test('a tool is limited by its name before a pattern, for each key or for all', () => {
    const { limits } = open({
      perTool: { 'search*': { rate: few(2) }, search_web: { rate: few(1), of: 'all' } },
    });
    expect(passes(limits, 5, caller('a'), 'search_files')).toBe(2);
    // The tools of a pattern have one budget together.
    expect(passes(limits, 5, caller('a'), 'search_mail')).toBe(0);
    expect(passes(limits, 5, caller('b'), 'search_mail')).toBe(2);
    expect(passes(limits, 5, caller('a'), 'search_web') + passes(limits, 5, caller('b'), 'search_web')).toBe(1);
    expect(passes(limits, 5, caller('a'), 'echo')).toBe(5);
  });

  test('calls in flight are bounded by tool and by all together', () => {
    const counts = { size: 0, countOf: () => 0 };
    const { limits, refusals } = open({ concurrency: 3, perTool: { slow: { concurrency: 1 } } }, counts);
    const count = limits.countTool?.('slow');
    expect(limits.countTool?.('echo')).toBeNull();
    expect(passes(limits, 1, caller('a'), 'slow')).toBe(1);
    if (count) count.inFlight = 1;
    expect(limits.judge(caller('b'), 'call', 'slow')).toMatchObject({ status: 429, policy: 'tool-concurrency' });
    expect(passes(limits, 1, caller('a'), 'echo')).toBe(1);
    counts.size = 3;
    expect(limits.judge(caller('b'), 'list', null)).toMatchObject({ policy: 'global-concurrency' });
    expect(limits.judge(caller('b'), 'free', null)).toBeNull();
    expect(refusals).toEqual(['tool-concurrency', 'global-concurrency']);
  });

  test('several processes share what may be in flight', () => {
    const counts = { size: 2, countOf: () => 0 };
    const { limits } = open({ concurrency: 4 }, counts, { ...alone, processes: 2 });
    expect(limits.judge(caller('a'), 'call', null)?.policy).toBe('global-concurrency');
  });
});

describe('answers', () => {
  test('a refused call uses up nothing of the other limits', () => {
    const { limits } = open({ perKey: few(10), global: few(3), perTool: { echo: { rate: few(5) } } });
    expect(passes(limits, 50, caller('a'), 'echo')).toBe(3);
    const { limits: again } = open({ perKey: few(10), perTool: { echo: { rate: few(3) } } });
    expect(passes(again, 50, caller('a'), 'echo')).toBe(3);
    expect(passes(again, 50, caller('a'), 'other')).toBe(7);
  });

  test('of several limits that refuse, the one with the longest wait is told', () => {
    const { limits } = open({
      perKey: { ...few(1), windowMs: 5_000 },
      perAddress: { ...few(1), windowMs: 900_000 },
    });
    expect(limits.judge(caller('a'), 'call', null)).toBeNull();
    const refusal = limits.judge(caller('a'), 'call', null);
    expect(refusal).toMatchObject({ status: 429, policy: 'address', retryAfterSeconds: 900 });
    expect(refusal?.headers).toEqual([
      'RateLimit-Policy',
      '"address";q=1;w=900',
      'RateLimit',
      '"address";r=0;t=900',
      'Retry-After',
      '900',
    ]);
  });

  test('an answer tells of the tightest limit, in the fields that were asked for, and without a setting of none', () => {
    const ask = (headers: Limits['headers']): readonly string[] => {
      const { limits } = open({ perKey: few(100), perAddress: few(4), headers });
      limits.judge(caller('a'), 'call', null);
      return limits.headers();
    };
    expect(ask('refusals')).toEqual([]);
    expect(ask('standard')).toEqual(['RateLimit-Policy', '"address";q=4;w=60', 'RateLimit', '"address";r=3;t=60']);
    expect(ask('separate').slice(4)).toEqual([
      'RateLimit-Limit',
      '4',
      'RateLimit-Remaining',
      '3',
      'RateLimit-Reset',
      '60',
    ]);
    const legacy = ask('legacy').slice(4);
    expect(legacy.slice(0, 5)).toEqual(['X-RateLimit-Limit', '4', 'X-RateLimit-Remaining', '3', 'X-RateLimit-Reset']);
    expect(Number(legacy[5])).toBeGreaterThan(1_700_000_000);
  });

  test('discovery is charged apart, and is told nothing of the limit of calls', () => {
    const { limits } = open({ perKey: few(1), headers: 'standard' });
    expect(passes(limits, 3, caller('a'))).toBe(1);
    expect(limits.judge(caller('a'), 'free', null)).toBeNull();
    expect(limits.judge(caller('a'), 'list', null)).toBeNull();
    expect(limits.headers()).toEqual([]);
  });

  test('without the shared counts calls are refused where the deployment says so, discovery is not', () => {
    const { limits } = open({}, undefined, { ...alone, refusesCalls: () => true });
    expect(limits.judge(caller('a'), 'call', null)).toMatchObject({ status: 503, headers: ['Retry-After', '5'] });
    expect(limits.judge(caller('a'), 'list', null)).toBeNull();
  });
});

describe('a fixed window', () => {
  const start = (): { now: () => number; pass: (ms: number) => void } => {
    let nowMs = 1_000;
    return { now: () => nowMs, pass: (ms) => void (nowMs += ms) };
  };

  test('lets its requests through at once and none until it ends', () => {
    const clock = start();
    const limiter = createRateLimiter({ ...few(100), windowMs: 900_000, windowSeconds: 60 }, 'address', clock.now);
    for (let count = 0; count < 100; count++) expect(limiter.take('a').allowed).toBe(true);
    expect(limiter.take('a')).toMatchObject({ allowed: false, remaining: 0, retryAfterSeconds: 900 });
    clock.pass(899_999);
    expect(limiter.take('a')).toMatchObject({ allowed: false, retryAfterSeconds: 1 });
    clock.pass(1);
    expect(limiter.take('a')).toMatchObject({ allowed: true, remaining: 99, resetSeconds: 900 });
  });

  test('starts with the first call of each name', () => {
    const clock = start();
    const limiter = createRateLimiter({ ...few(1), windowSeconds: 60 }, 'address', clock.now);
    limiter.take('a');
    clock.pass(30_000);
    expect(limiter.take('b').resetSeconds).toBe(60);
    expect(limiter.take('a').retryAfterSeconds).toBe(30);
  });
});

test.each(['token-bucket', 'fixed-window'] as const)(
  'a million addresses fill a table of bounded size, and one that keeps calling is not forgotten: %s',
  (form) => {
    const limiter = createRateLimiter({ form, requests: 5, windowSeconds: 3_600 }, 'address', () => 0);
    for (let address = 0; address < 1_000_000; address++) {
      limiter.take(`10.${address >> 16}.${(address >> 8) & 255}.${address & 255}`);
      if (address % 1_000 === 0) limiter.take('busy');
    }
    expect(limiter.size).toBeLessThanOrEqual(200_001);
    expect(limiter.take('busy').allowed).toBe(false);
  },
);
