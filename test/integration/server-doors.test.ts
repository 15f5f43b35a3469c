import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { echoBackend } from '../helpers/fake-backend.ts';
import { firstKey, modernRequest, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const app = 'https://app.example';
const key = { authorization: `Bearer ${firstKey}` };

describe('a page of an allowed origin', () => {
  let rig: ServerRig;
  beforeAll(async () => {
    rig = await startRig({
      backends: [echoBackend()],
      server: { allowedOrigins: [app], cors: { allowHeaders: ['X-Session-ID'], maxAgeSeconds: 600 } },
      limits: { perKey: { requests: 1, windowSeconds: 3_600, burst: 1 } },
    });
  });
  afterAll(() => rig.stop());

  const call = modernRequest(1, 'tools/call', { name: 'echo', arguments: { message: 'x' } });
  const post = (headers: Record<string, string>, body: unknown = call.message) =>
    rig.post(body, { ...call.headers, ...headers });

  test.each<[number, string, () => ReturnType<ServerRig['call']>]>([
    [200, 'a call', () => post({ origin: app })],
    [429, 'a call over the limit', () => post({ origin: app })],
    [401, 'a wrong key', () => post({ origin: app, authorization: 'Bearer wrong' })],
    [403, 'a foreign Host', () => post({ origin: app, host: 'evil.example' })],
    [415, 'a wrong type', () => post({ origin: app, 'content-type': 'text/plain' })],
    [400, 'no JSON', () => post({ origin: app }, '{')],
    [
      404,
      'an unknown session',
      () => rig.post({ jsonrpc: '2.0', id: 1, method: 'ping' }, { origin: app, 'mcp-session-id': 'x' }),
    ],
    [405, 'a GET without a session', () => rig.call({ headers: { ...key, origin: app } })],
    [
      404,
      'no OAuth here',
      () => rig.call({ path: '/.well-known/oauth-authorization-server', headers: { origin: app } }),
    ],
    [404, 'an unknown path', () => rig.call({ path: '/nothing', headers: { origin: app } })],
    [200, 'health', () => rig.call({ path: '/health', headers: { origin: app } })],
  ])('reads the status %i: %s', async (status, _title, ask) => {
    const answer = await ask();
    expect(answer.status).toBe(status);
    expect(answer.headers['access-control-allow-origin']).toBe(app);
    expect(answer.headers['access-control-expose-headers']).toContain('retry-after');
    expect(answer.headers['vary']).toBe('Origin');
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined();
  });

  test('is told what it may send, at the endpoint and at the paths beside it', async () => {
    for (const path of ['/mcp', '/.well-known/oauth-protected-resource']) {
      const answer = await rig.call({
        method: 'OPTIONS',
        path,
        headers: { origin: app, 'access-control-request-method': 'POST' },
      });
      expect(answer.status).toBe(204);
      expect(answer.body).toBe('');
      expect(answer.headers['access-control-allow-headers']).toMatch(/mcp-session-id.*x-session-id/);
      expect(answer.headers['access-control-max-age']).toBe('600');
      expect(answer.headers['vary']).toBe('Origin, Access-Control-Request-Headers');
    }
  });

  test('and answers to callers that are no page say that they differ by origin', async () => {
    expect((await rig.call({ path: '/mcp' })).headers['vary']).toBe('Origin');
    const foreign = await rig.call({ headers: { ...key, origin: 'https://evil.example' } });
    expect(foreign.status).toBe(403);
    expect(foreign.headers['access-control-allow-origin']).toBeUndefined();
    expect(foreign.headers['vary']).toBe('Origin');
  });
});

describe('addresses', () => {
  let rig: ServerRig;
  beforeAll(async () => {
    rig = await startRig({
      backends: [echoBackend()],
      server: {
        trustedProxies: ['loopback'],
        allowFrom: ['10.0.0.0/8', '2001:db8::/32', 'loopback'],
        denyFrom: ['10.6.6.6'],
      },
    });
  });
  afterAll(() => rig.stop());
  const from = (address: string, path = '/mcp') =>
    rig.call({ path, headers: { ...key, 'x-forwarded-for': address, host: '127.0.0.1' } });

  test.each([
    ['10.1.1.1', 405],
    ['::ffff:10.1.1.1', 405],
    ['2001:db8::7', 405],
    ['127.0.0.1', 405],
    ['192.0.2.1', 403],
    ['10.6.6.6', 403],
    ['::ffff:10.6.6.6', 403],
    ['2001:db9::7', 403],
  ])('behind the trusted proxy %s gets %i', async (address, status) => {
    expect((await from(address)).status).toBe(status);
  });

  test('who stays out is told in JSON, before a key is looked at and before a body is read', async () => {
    const answer = await rig.call({
      method: 'POST',
      headers: { 'x-forwarded-for': '192.0.2.1', authorization: 'Bearer wrong', 'content-length': '4000000' },
    });
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'access_denied' });
    expect(answer.headers).toMatchObject({ connection: 'close', 'x-request-id': expect.any(String) });
    expect(answer.headers['www-authenticate']).toBeUndefined();
  });

  test.each([
    ['/health', 200],
    ['/livez', 200],
    ['/readyz?x=1', 200],
    ['/status', 403],
    ['/metrics', 403],
    ['/nothing', 403],
  ])('%s of one that stays out gives %i', async (path, status) => {
    expect((await from('192.0.2.1', path)).status).toBe(status);
  });

  test('what is refused is in log, metrics and, within a bound, in the audit file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mcpd-doors-'));
    const audit = join(folder, 'audit.jsonl');
    const audited = await startRig({ server: { allowFrom: ['10.0.0.1'] }, audit });
    try {
      for (let n = 0; n < 300; n++) await audited.call({ path: '/mcp' });
      const lines = () =>
        readFileSync(audit, 'utf8')
          .split('\n')
          .filter((line) => line.includes('address is not allowed'));
      await waitUntil(() => lines().length > 0, 5_000, 'the audit line');
      expect(JSON.parse(lines()[0] ?? '')).toMatchObject({ status: 'refused', address: '127.0.0.1', key: '' });
      expect(lines().length).toBeLessThan(300);
      expect(audited.log.filter((line) => line.includes('"reason":"address"')).length).toBeLessThan(30);
    } finally {
      await audited.stop();
      rmSync(folder, { recursive: true });
    }
  });
});

describe('a plain GET of the endpoint', () => {
  let rig: ServerRig;
  beforeAll(async () => {
    rig = await startRig({ backends: [echoBackend()], server: { info: true, aliases: ['/message'] } });
  });
  afterAll(() => rig.stop());

  test.each([
    ['without a key', {}, null],
    ['with a key', key, true],
    ['with a wrong key', { authorization: 'Bearer wrong' }, false],
    ['of a browser', { accept: 'text/html,*/*;q=0.8' }, null],
  ])('%s tells name, version, paths and whether a key is needed', async (_title, headers, authenticated) => {
    const answer = await rig.call({ headers });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({
      name: 'mcp',
      version: '9.9.9',
      protocolVersions: ['2026-07-28', '2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'],
      endpoints: {
        mcp: '/mcp',
        aliases: ['/message'],
        health: '/health',
        ready: '/readyz',
        status: '/status',
        metrics: '/metrics',
      },
      auth: { required: true, schemes: ['Bearer', 'x-api-key'], authenticated },
    });
  });

  test.each<[string, Record<string, string>, number]>([
    ['that takes an event stream, without a session', { ...key, accept: 'text/event-stream' }, 405],
    ['that takes an event stream, without a key', { accept: 'application/json, text/event-stream' }, 401],
    ['that names a session', { ...key, 'mcp-session-id': 'none' }, 404],
    ['of a foreign page', { origin: 'https://evil.example' }, 403],
  ])('one %s is answered as the specification wants', async (_title, headers, status) => {
    expect((await rig.call({ headers })).status).toBe(status);
  });

  test('as it comes there is no such page', async () => {
    const plain = await startRig({ backends: [echoBackend()] });
    try {
      expect((await plain.call({ headers: {} })).status).toBe(401);
      const answer = await plain.call({ headers: key });
      expect([answer.status, answer.headers['allow']]).toEqual([405, 'POST']);
      const session = await plain.initialize();
      const noStream = { ...key, 'mcp-session-id': session, accept: 'application/json' };
      expect((await plain.call({ headers: noStream })).status).toBe(406);
    } finally {
      await plain.stop();
    }
  });
});
