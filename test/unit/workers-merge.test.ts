import { describe, expect, test } from 'vitest';
import { metricCatalogue } from '../../src/server/observe/metric-catalogue.ts';
import { createMetrics } from '../../src/server/observe/metrics.ts';
import { mergeMetrics } from '../../src/server/observe/merge-metrics.ts';
import type { LimitDelta, LimitSharing } from '../../src/server/policy/limit-sharing.ts';
import { authSchema } from '../../src/deployment/auth-schema.ts';
import type { IssuerKeys } from '../../src/server/policy/issuer-keys.ts';
import { createTokenCheck } from '../../src/server/policy/token-check.ts';
import { createGuessBackoff } from '../../src/server/policy/guess-backoff.ts';
import { createRateLimiter } from '../../src/server/policy/rate-limiter.ts';
import { mergePages } from '../../src/server/workers/merge-pages.ts';
import { makeWorkerId, slotOfId } from '../../src/server/workers/worker-ids.ts';

function rendered(sessions: number, calls: number): string {
  const metrics = createMetrics({
    sessions: () => sessions,
    upstreams: () => [{ name: 'a', up: sessions > 1, restarts: 1, breaker: 'closed' }],
    certificateNotAfterSeconds: () => 1_000 + sessions,
  });
  for (let call = 0; call < calls; call++) metrics.request('tools/call', 'echo', 'ok', 0.002);
  metrics.close();
  return metrics.render();
}

describe('the metrics of several workers', () => {
  const merged = mergeMetrics([
    { text: rendered(1, 3), live: true },
    { text: rendered(2, 4), live: true },
    { text: rendered(9, 5), live: false },
  ]);
  test.each([
    ['counters are sums, of ended workers too', 'mcp_requests_total{method="tools/call",tool="echo",status="ok"} 12'],
    ['buckets are sums', 'mcp_request_duration_seconds_bucket{method="tools/call",status="ok",le="0.0025"} 12'],
    ['gauges are sums of those that live', 'mcp_active_sessions 3'],
    ['an upstream is up where it is up everywhere', 'mcp_upstream_up{upstream="a"} 0'],
    ['the first certificate to end counts', 'mcp_tls_certificate_not_after_seconds 1001'],
  ])('%s', (_title, line) => expect(merged.split('\n')).toContain(line));

  test('every family has its head once and in the order of the catalogue', () => {
    const heads = merged.split('\n').filter((line) => line.startsWith('# TYPE '));
    expect(heads.map((line) => line.split(' ')[2])).toEqual(metricCatalogue.map(({ name }) => name));
  });
});

describe('the health of several workers', () => {
  const pageOf = (body: unknown, slot = 0) => ({
    slot,
    pid: 1,
    restarts: 0,
    lastMetrics: '',
    answer: { status: 200 as const, body: JSON.stringify(body) },
  });
  const joined = (...bodies: unknown[]) => {
    const { status, body } = mergePages('health', bodies.map(pageOf), '');
    return [status, JSON.parse(body) as unknown];
  };

  test('names a breaker that is not closed at one of them, and open rather than half-open', () => {
    expect(joined({ status: 'ok' }, { status: 'ok', breakers: { a: 'open' } })).toEqual([
      200,
      { status: 'ok', breakers: { a: 'open' } },
    ]);
    const both = joined({ status: 'ok', breakers: { a: 'open' } }, { status: 'ok', breakers: { a: 'half-open' } });
    expect(both).toEqual([200, { status: 'ok', breakers: { a: 'open' } }]);
    expect(joined({ status: 'ok' }, { status: 'ok' })).toEqual([200, { status: 'ok' }]);
  });

  test('fails as checks when an upstream is down at one of them, not when one of them is being replaced', () => {
    const one = { status: 'ok', uptime: 5, memory: { rss: 2 }, checks: { server: 'ok', a: 'ok' } };
    const down = { ...one, status: 'error', checks: { server: 'ok', a: 'broken' } };
    const replaced = { ...one, status: 'error', uptime: 9, checks: { server: 'draining', a: 'ok' } };
    expect(joined(one, down)).toMatchObject([503, { status: 'error', checks: { server: 'ok', a: 'broken' } }]);
    expect(joined(replaced, one)).toMatchObject([
      200,
      { status: 'ok', uptime: 9, memory: { rss: 4 }, checks: { server: 'ok', a: 'ok' } },
    ]);
    expect(joined(replaced, replaced)).toMatchObject([503, { checks: { server: 'draining' } }]);
  });
});

/** Processes that hear of each other when the test says so. */
function createProcesses(count: number): { readonly sharing: LimitSharing[]; readonly deliver: () => Promise<void> } {
  const listeners = Array.from({ length: count }, () => new Map<string, (deltas: readonly LimitDelta[]) => void>());
  const sent: { from: number; topic: string; deltas: readonly LimitDelta[] }[] = [];
  return {
    sharing: listeners.map((own, from) => ({
      publish: (topic, deltas) => void sent.push({ from, topic, deltas }),
      onRemote: (topic, listener) => void own.set(topic, listener),
    })),
    async deliver() {
      await new Promise((resolve) => setTimeout(resolve, 80));
      for (const { from, topic, deltas } of sent.splice(0)) {
        listeners.forEach((each, to) => {
          if (to !== from) each.get(topic)?.(deltas);
        });
      }
    },
  };
}

describe('limiters of several processes', () => {
  test('what all let through before they knew of each other is paid back, and the average holds', async () => {
    let nowMs = 0;
    const { sharing, deliver } = createProcesses(3);
    const limit = { requests: 10, windowSeconds: 1, burst: 10 };
    const limiters = sharing.map((each) => createRateLimiter(limit, 'key', () => nowMs, each));
    const takeAll = (): number =>
      limiters.reduce((sum, limiter) => {
        let allowed = 0;
        while (limiter.take('k').allowed) allowed++;
        return sum + allowed;
      }, 0);
    expect(takeAll()).toBe(30);
    await deliver();
    nowMs = 2_000;
    // Two seconds gave 20 tokens; 20 were owed.
    expect(takeAll()).toBe(0);
    nowMs = 2_100;
    expect(takeAll()).toBe(3);
    await deliver();
    nowMs = 2_200;
    expect(takeAll()).toBe(0);
  });

  test('wrong keys at one process slow down the next guess at another', async () => {
    const { sharing, deliver } = createProcesses(2);
    const [one, two] = sharing.map((each) => createGuessBackoff(() => 0, each));
    for (let tries = 0; tries < 10; tries++) expect(one?.failed('192.0.2.1')).toBe(0);
    await deliver();
    expect(two?.failed('192.0.2.1')).toBe(1);
    expect(two?.failed('192.0.2.2')).toBe(0);
  });

  test('wrong tokens at one process slow down the next one at another, and are no wrong keys', async () => {
    const { sharing, deliver } = createProcesses(2);
    const keys = sharing.map((each) => createGuessBackoff(() => 0, each));
    const noKeys = { onChanged: () => {}, close: () => {} } as unknown as IssuerKeys;
    const { oauth } = authSchema.parse({ oauth: { issuer: 'https://issuer.example' } });
    if (oauth === undefined) throw new Error('no settings');
    const [one, two] = sharing.map((each) => {
      const backoff = createGuessBackoff(() => 0, each, 'wrong-tokens');
      return createTokenCheck(oauth, ['https://mcp.example'], noKeys, () => 0, backoff);
    });
    for (let tries = 0; tries < 10; tries++) await one?.verify('Bearer a.b.c', '192.0.2.1');
    await deliver();
    expect(await two?.verify('Bearer a.b.c', '192.0.2.1')).toMatchObject({ allowed: false, reason: 'backed-off' });
    expect(await two?.verify('Bearer a.b.c', '192.0.2.2')).toMatchObject({ allowed: false, reason: 'invalid' });
    expect(keys[1]?.failed('192.0.2.1')).toBe(0);
  });
});

test('an id tells its worker, and no other text does', () => {
  expect(slotOfId(makeWorkerId(12))).toBe(12);
  for (const text of ['', 'w', 'w-', 'w1', 'w1x-a', 'x1-a', 'w1234-a', ' w1-a', '9b2c'])
    expect(slotOfId(text)).toBeNull();
});
