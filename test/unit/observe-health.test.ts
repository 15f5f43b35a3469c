import { describe, expect, test } from 'vitest';
import { describeHealth, describeReadiness, describeStatus } from '../../src/server/observe/health.ts';
import type { Backend, BackendState } from '../../src/server/types.ts';

const sinceMs = Date.parse('2026-03-01T00:00:00Z');
const up: BackendState = { state: 'up', since: sinceMs };
const starting: BackendState = { state: 'starting', since: sinceMs };
const down: BackendState = {
  state: 'down',
  since: sinceMs,
  retryAt: sinceMs + 4_000,
  reason: 'exited with 1; env had token=canary1',
  lastWords: ['Error: ENOENT', 'Authorization: Bearer canary2', 'key mcpd_canary3'],
};
const broken: BackendState = { ...down, state: 'broken', retryAt: Number.POSITIVE_INFINITY };

function backend(name: string, state: BackendState): Backend {
  return {
    name,
    state,
    capabilities: {},
    serverInfo: state.state === 'up' ? { name: 'real', version: '1.2.3' } : null,
    instructions: null,
    restarts: 3,
    inFlight: 2,
    start() {},
    stop: async () => {},
    forward: () => () => {},
    notify() {},
    endSession() {},
    onStateChange() {},
    onListChanged() {},
    onResourceUpdated() {},
  };
}

const calm = { draining: false, auditBlocked: false };

describe('readiness', () => {
  test.each<[string, BackendState[], boolean, number, string, boolean?]>([
    ['one up', [up], false, 200, 'ready'],
    ['one up, but audit lines cannot be written', [up], false, 503, 'audit-blocked', true],
    ['draining while audit lines cannot be written', [up], true, 503, 'draining', true],
    ['one of several up', [down, broken, up, starting], false, 200, 'ready'],
    ['all starting', [starting, starting], false, 503, 'starting'],
    ['one starting, one down', [down, starting], false, 503, 'starting'],
    ['the only one down', [down], false, 503, 'unavailable'],
    ['all broken', [broken, broken], false, 503, 'unavailable'],
    ['none at all', [], false, 503, 'unavailable'],
    ['draining with one up', [up], true, 503, 'draining'],
  ])('%s', (_case, states, draining, status, word, auditBlocked = false) => {
    const backends = states.map((state, index) => backend(`b${index}`, state));
    const answer = describeReadiness({ backends, draining, auditBlocked }, false);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toEqual({
      status: word,
      upstreams: states.map((state, index) => ({ name: `b${index}`, state: state.state })),
    });
  });

  test('why a backend is down is for those who may see details, and without secrets', () => {
    const open = describeReadiness({ ...calm, backends: [backend('files', down)] }, false).body;
    expect(open).not.toMatch(/reason|lastWords|ENOENT/);
    const detailed = describeReadiness({ ...calm, backends: [backend('files', down)] }, true).body;
    expect(JSON.parse(detailed)).toMatchObject({
      upstreams: [
        {
          name: 'files',
          state: 'down',
          reason: expect.stringContaining('exited with 1'),
          retryAt: '2026-03-01T00:00:04.000Z',
        },
      ],
    });
    expect(detailed).toContain('Error: ENOENT');
    expect(detailed).not.toContain('canary');
  });

  test('a backend given up for good has no time of the next try', () => {
    expect(JSON.parse(describeReadiness({ ...calm, backends: [backend('files', broken)] }, true).body)).toMatchObject({
      upstreams: [{ state: 'broken', retryAt: null }],
    });
  });
});

test('the checks of /health tell that audit lines cannot be written', () => {
  const input = { ...calm, backends: [backend('files', up)], startedAtMs: sinceMs, nowMs: sinceMs };
  expect(describeHealth('checks', input).status).toBe(200);
  const blocked = describeHealth('checks', { ...input, auditBlocked: true });
  expect(blocked.status).toBe(503);
  expect(JSON.parse(blocked.body)).toMatchObject({ status: 'error', checks: { server: 'audit-blocked', files: 'ok' } });
});

test('status tells version, uptime, memory, upstreams, sessions, streams and totals', () => {
  const { status, body } = describeStatus({
    version: '1.4.2',
    startedAtMs: sinceMs,
    nowMs: sinceMs + 90_400,
    ...calm,
    backends: [backend('files', up), backend('web', down)],
    sessions: 4,
    streams: 5,
    totals: { requests: 10, toolExecutions: 8, authFailures: 1, rateLimited: 2, errors: 3 },
    durations: { '0.001': 7, '0.0025': 3, more: 0 },
    certificate: { names: ['mcp.example.com'], notAfterSeconds: sinceMs / 1_000 + 30 * 86_400 },
    lastReload: { atMs: sinceMs, result: 'refused', problem: 'The file is torn' },
    memory: { rss: 1_000, heapUsed: 500 },
  });
  expect(status).toBe(200);
  expect(JSON.parse(body)).toMatchObject({
    status: 'ready',
    version: '1.4.2',
    startedAt: '2026-03-01T00:00:00.000Z',
    uptimeSeconds: 90,
    memory: { rssBytes: 1_000, heapUsedBytes: 500 },
    sessions: 4,
    streams: 5,
    upstreams: [
      { name: 'files', state: 'up', restarts: 3, inFlight: 2, serverInfo: { name: 'real', version: '1.2.3' } },
      { name: 'web', state: 'down', restarts: 3, inFlight: 2, reason: expect.any(String) },
    ],
    totals: { requests: 10, toolExecutions: 8, authFailures: 1, rateLimited: 2, errors: 3 },
    durations: { '0.001': 7, '0.0025': 3, more: 0 },
    // 30 days from the start, of which a minute and a half is gone.
    certificate: { names: ['mcp.example.com'], notAfter: '2026-03-31T00:00:00.000Z', daysLeft: 29 },
    lastReload: { at: '2026-03-01T00:00:00.000Z', result: 'refused', problem: 'The file is torn' },
  });
  expect(body).not.toContain('canary');
});
