import { Chalk } from 'chalk';
import { describe, expect, test } from 'vitest';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';
import { describeStatus, describeStatusLine } from '../../src/cli/output/status-text.ts';
import type { StatusSnapshot } from '../../src/cli/status-snapshot.ts';
import { judgeTraffic, parseTraffic } from '../../src/cli/traffic.ts';

function metrics(requests: number, errors: number, buckets: readonly (readonly [string, number])[]): string {
  return [
    '# TYPE mcp_requests_total counter',
    `mcp_requests_total{method="tools/call",tool="a\\"b} 9",status="ok"} ${requests - 1}`,
    'mcp_requests_total{method="tools/list",tool="",status="ok"} 1',
    ...buckets.map(([le, count]) => `mcp_request_duration_seconds_bucket{method="tools/call",le="${le}"} ${count}`),
    `mcp_errors_total{kind="internal"} ${errors}`,
    'process_cpu_seconds_total NaN',
    'garbage',
  ].join('\n');
}

describe('traffic', () => {
  const first = parseTraffic(
    metrics(100, 1, [
      ['0.001', 0],
      ['0.01', 100],
      ['+Inf', 100],
    ]),
    1_000,
  );
  const second = parseTraffic(
    metrics(300, 1, [
      ['0.001', 200],
      ['0.01', 300],
      ['+Inf', 300],
    ]),
    5_000,
  );

  test('since the start there is no rate', () => {
    expect(judgeTraffic(first, null)).toMatchObject({ requests: 100, errors: 1, callsPerSecond: null });
    expect(judgeTraffic(first, null).p95Seconds).toBeCloseTo(0.00955, 5);
  });

  test('between two looks only what happened in between counts', () => {
    expect(judgeTraffic(second, first)).toMatchObject({ requests: 200, errors: 0, callsPerSecond: 50 });
    expect(judgeTraffic(second, first).p95Seconds).toBeCloseTo(0.00095, 5);
    expect(judgeTraffic(second, second).p95Seconds).toBeNull();
  });

  test('a restart in between counts from its start, and a call beyond the last bound is not invented', () => {
    expect(judgeTraffic({ ...first, atMs: 9_000 }, second)).toMatchObject({ requests: 100, callsPerSecond: 25 });
    const slow = parseTraffic(
      metrics(1, 0, [
        ['60', 0],
        ['+Inf', 1],
      ]),
      0,
    );
    expect(judgeTraffic(slow, null).p95Seconds).toBe(Number.POSITIVE_INFINITY);
    expect(judgeTraffic(parseTraffic('', 0), null)).toEqual({
      requests: 0,
      errors: 0,
      callsPerSecond: null,
      p95Seconds: null,
    });
  });
});

const parsed = parseDeployment('version: 1\nname: notes\n', { file: 'mcp-deploy.yaml' });
if (!parsed.ok) throw new Error('the deployment is wrong');
const healthy: StatusSnapshot = {
  deployment: parsed.deployment,
  url: 'https://localhost:8443/mcp',
  server: { state: 'running', pid: 4711 },
  live: {
    version: '1.2.3',
    uptimeSeconds: 7_300,
    status: 'ready',
    sessions: 2,
    streams: 1,
    upstreams: [{ name: 'main', state: 'up' }],
  },
  traffic: null,
  certificate: { daysLeft: 300, names: ['localhost'], notAfter: '2027-01-01T00:00:00Z' },
  keys: [
    { id: 'k1', label: 'laptop', createdAt: '2026-01-01T00:00:00Z', state: 'active', ageDays: 12, rotationDue: false },
  ],
  audit: { file: '/srv/audit.jsonl', bytes: 123_456 },
  backup: { createdAt: '2026-01-12T02:00:00.000Z', ageSeconds: 36_000, overdue: false },
  unfinished: null,
};
const show = { style: new Chalk({ level: 0 }), path: (path: string) => path, stateDir: '/srv/.mcp-deploy' };
const traffic = { requests: 1_204, errors: 0, callsPerSecond: 12.34, p95Seconds: 0.0042 };

test('a healthy deployment is one glance', () => {
  expect(describeStatus(healthy, traffic, show).join('\n')).toBe(`  Endpoint      https://localhost:8443/mcp
  Server        ✓ running, pid 4711, 1.2.3, up 2 h
  Upstream      ✓ main up
  Sessions      2 open, 1 streams
  Calls         ✓ 12.3/s, 0 errors, p95 4.2 ms
  Certificate   ✓ 300 days left, localhost
  Keys          ✓ 1 working: laptop (12 d)
  Audit         ✓ /srv/audit.jsonl, 123 kB
  Backup        ✓ 10 h old, 2026-01-12 02:00 UTC
  Files         /srv/.mcp-deploy

  Next   mcp-deploy doctor        check everything; mcp-deploy status --watch follows it`);
});

test.each<[string, Partial<StatusSnapshot>, RegExp, RegExp]>([
  ['stopped', { server: { state: 'stopped' }, live: null }, /✗ stopped/, /Next {3}mcp-deploy start/],
  ['not answering', { live: null }, /✗ it does not answer/, /Next {3}mcp-deploy doctor$/],
  [
    'a certificate at its end',
    { certificate: { daysLeft: 9, names: ['a'], notAfter: '' } },
    /! 9 days left/,
    /cert renew/,
  ],
  ['no backup', { backup: null }, /Backup +! none yet: mcp-deploy backup create/, /Next/],
  [
    'an old backup',
    { backup: { createdAt: '2026-01-12T02:00:00.000Z', ageSeconds: 900_000, overdue: true } },
    /! 10 d old, 2026-01-12 02:00 UTC: mcp-deploy backup create/,
    /Next/,
  ],
  ['a damaged key file', { keys: new EnvironmentError('keys.json is broken') }, /✗ keys.json is broken/, /up/],
  [
    'an old key',
    { keys: [{ id: 'k', label: 'ci', createdAt: '', state: 'active', ageDays: 95, rotationDue: true }] },
    /! "ci" is 95 days old: mcp-deploy keys rotate ci/,
    /Next/,
  ],
  [
    'a breaker',
    {
      live: {
        upstreams: [
          {
            name: 'main',
            state: 'up',
            restarts: 2,
            breakers: { main: { state: 'open', retryAt: '2026-01-01T10:20:30.000Z' } },
          },
        ],
      },
    },
    /! main up, 2 restarts, breaker open, tried again 10:20:30Z/,
    /Next/,
  ],
  [
    'an upstream that is down',
    { live: { upstreams: [{ name: 'files', state: 'down', reason: 'exited with 1' }] } },
    /✗ files down: exited with 1/,
    /Next {3}mcp-deploy doctor$/,
  ],
])('%s is shown with what to do', (_, change, words, next) => {
  const text = describeStatus({ ...healthy, ...change }, traffic, show).join('\n');
  expect(text).toMatch(words);
  expect(text.split('\n').at(-1)).toMatch(next.source === 'Next' || next.source === 'up' ? /Next/ : next);
});

test('a log gets one line each time', () => {
  expect(describeStatusLine(healthy, traffic, '10:00:00')).toBe(
    '10:00:00  ready, 2 sessions, 12.3/s, 0 errors, p95 4.2 ms',
  );
  expect(describeStatusLine({ ...healthy, server: { state: 'stopped' } }, null, '10:00:00')).toBe('10:00:00  stopped');
});
