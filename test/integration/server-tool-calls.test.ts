import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFakeBackend } from '../helpers/fake-backend.ts';
import { firstKey, secondKey, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/** Tools called by a plain POST, without JSON-RPC: `server.toolPath`. */
const json = { 'content-type': 'application/json' };
const asFirst = { ...json, 'x-api-key': firstKey };
const app = 'https://app.example';

describe('a server with toolPath', () => {
  let rig: ServerRig;
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-tool-calls-'));
  beforeAll(async () => {
    rig = await startRig({
      server: {
        toolPath: '/tools',
        builtinTools: 'on',
        allowedOrigins: [app],
        tools: {
          greet: {
            description: 'greets',
            inputSchema: {
              type: 'object',
              properties: { name: { type: 'string', maxLength: 5 } },
              required: ['name'],
              additionalProperties: false,
            },
            command: { command: 'echo', args: ['hello', '{{name}}'] },
          },
        },
      },
      audit: join(folder, 'audit.jsonl'),
      limits: { bodyBytes: 2_048 },
    });
  });
  afterAll(async () => {
    await rig.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const post = (path: string, body: unknown, headers: Record<string, string> = asFirst) =>
    rig.call({ method: 'POST', path, headers, body: typeof body === 'string' ? body : JSON.stringify(body) });
  const audited = () =>
    readFileSync(join(folder, 'audit.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  test('answers with the result alone, whether path or body names the tool', async () => {
    const whole = { content: [{ type: 'text', text: 'hello Ada\n' }] };
    for (const [path, body] of [
      ['/tools/tools__greet', { name: 'Ada' }],
      ['/tools/tools__greet?trace=1', { name: 'Ada' }],
      ['/tools', { name: 'tools__greet', arguments: { name: 'Ada' } }],
      ['/tools/', { name: 'tools__greet', arguments: { name: 'Ada' } }],
    ] as const) {
      const answer = await post(path, body);
      expect(answer.status, path).toBe(200);
      expect(answer.headers['content-type']).toBe('application/json');
      expect(JSON.parse(answer.body)).toMatchObject(whole);
      expect(JSON.parse(answer.body)).not.toHaveProperty('jsonrpc');
    }
  });

  test('takes no body as no arguments where the path names the tool', async () => {
    const answer = await post('/tools/builtin__server_info', '');
    expect([answer.status, answer.body]).toEqual([200, expect.stringContaining('content')]);
  });

  test('lists what may be called', async () => {
    const answer = await rig.call({ path: '/tools', headers: { 'x-api-key': firstKey } });
    const { tools } = JSON.parse(answer.body) as { tools: { name: string }[] };
    expect(tools.map(({ name }) => name)).toContain('tools__greet');
  });

  test('arguments are judged by the schema of the tool: 422 with the result that names the mistake', async () => {
    const answer = await post('/tools/tools__greet', { name: 'Nebuchadnezzar', more: 1 });
    expect(answer.status).toBe(422);
    expect(JSON.parse(answer.body)).toMatchObject({ isError: true });
    expect(answer.body).toMatch(/name.*more|more.*name/);
  });

  test.each<[number, string, string, unknown, Record<string, string>]>([
    [404, 'an unknown tool', '/tools/nothing', {}, asFirst],
    [404, 'a name that is no text', '/tools/%ff', {}, asFirst],
    [400, 'a body that is a list', '/tools/tools__greet', [], asFirst],
    [400, 'a body that is no JSON', '/tools/tools__greet', '{', asFirst],
    [400, 'a body nested too deeply', '/tools/tools__greet', `${'['.repeat(200)}${']'.repeat(200)}`, asFirst],
    [400, 'no name', '/tools', {}, asFirst],
    [400, 'no body and no name', '/tools', '', asFirst],
    [400, 'arguments that are a text', '/tools', { name: 'tools__greet', arguments: 'x' }, asFirst],
    [413, 'a body over the cap', '/tools/tools__greet', { name: 'x'.repeat(3_000) }, asFirst],
    [415, 'another type', '/tools/tools__greet', {}, { ...asFirst, 'content-type': 'text/plain' }],
  ])('%i as problem details: %s', async (status, _title, path, body, headers) => {
    const answer = await post(path, body, headers);
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(answer.headers['x-request-id']).toEqual(expect.any(String));
    expect(JSON.parse(answer.body)).toMatchObject({
      status,
      title: expect.any(String),
      detail: expect.stringMatching(/\.$|: nothing$/),
    });
  });

  test('keys, pages of other origins and methods are refused as at the endpoint', async () => {
    const none = await post('/tools/tools__greet', {}, json);
    expect([none.status, none.headers['www-authenticate']]).toEqual([401, 'Bearer realm="mcp"']);
    expect((await post('/tools/tools__greet', {}, { ...json, authorization: 'Bearer no' })).status).toBe(401);
    expect((await post('/tools/tools__greet', {}, { ...asFirst, origin: 'https://evil.example' })).status).toBe(403);
    expect((await post('/tools/tools__greet', {}, { ...asFirst, host: 'evil.example' })).status).toBe(403);
    const put = await rig.call({ method: 'PUT', path: '/tools', headers: asFirst });
    expect([put.status, put.headers['allow']]).toEqual([405, 'GET, POST, OPTIONS']);
    const get = await rig.call({ path: '/tools/tools__greet', headers: asFirst });
    expect([get.status, get.headers['allow']]).toEqual([405, 'POST, OPTIONS']);
    const preflight = await rig.call({
      method: 'OPTIONS',
      path: '/tools/tools__greet',
      headers: { origin: app, 'access-control-request-method': 'POST' },
    });
    expect([preflight.status, preflight.headers['access-control-allow-origin']]).toEqual([204, app]);
    const allowed = await post('/tools/tools__greet', { name: 'Ada' }, { ...asFirst, origin: app });
    expect(allowed.headers['access-control-allow-origin']).toBe(app);
  });

  test('a call stands in the audit file and in the metrics like every other', async () => {
    const answer = await post('/tools/tools__greet', { name: 'Bob' });
    const id = answer.headers['x-request-id'];
    await waitUntil(() => audited().some(({ request }) => request === id), 10_000, 'the audit line');
    expect(audited().find(({ request }) => request === id)).toMatchObject({
      method: 'tools/call',
      tool: 'tools__greet',
      status: 'ok',
      key: 'first',
      upstream: 'tools',
      bytes_in: 14,
      error: null,
    });
    const large = await post('/tools/tools__greet', { name: 'x'.repeat(3_000) });
    const refused = large.headers['x-request-id'];
    await waitUntil(() => audited().some(({ request }) => request === refused), 10_000, 'the refusal');
    expect(audited().find(({ request }) => request === refused)).toMatchObject({ status: 'refused', key: 'first' });
    const metrics = (await rig.call({ path: '/metrics' })).body;
    expect(metrics).toMatch(/mcp_requests_total\{method="tools\/call",tool="tools__greet",status="ok"\} [1-9]/);
  });

  test('what is near the path is not it', async () => {
    expect((await post('/toolsx', {})).status).toBe(404);
  });
});

describe('limits', () => {
  let rig: ServerRig;
  beforeAll(async () => {
    rig = await startRig({
      server: { toolPath: '/call', builtinTools: 'on' },
      limits: { perKey: { requests: 2, windowSeconds: 3_600, burst: 2 } },
    });
  });
  afterAll(() => rig.stop());

  test('are one with those of the endpoint, for each key, and lists are not charged like calls', async () => {
    const call = (key: string) =>
      rig.call({ method: 'POST', path: '/call/echo', headers: { ...json, 'x-api-key': key }, body: '{"message":"x"}' });
    expect((await call(firstKey)).status).toBe(200);
    const params = { name: 'echo', arguments: { message: 'x' } };
    expect((await rig.post({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })).status).toBe(200);
    const refused = await call(firstKey);
    expect([refused.status, refused.headers['content-type']]).toEqual([429, 'application/problem+json']);
    expect(refused.headers).toMatchObject({ 'retry-after': expect.any(String), ratelimit: expect.any(String) });
    expect((await rig.call({ path: '/call', headers: { 'x-api-key': firstKey } })).status).toBe(200);
    expect((await call(secondKey)).status).toBe(200);
  });
});

describe('what an upstream does', () => {
  test.each([
    [503, { code: -31_006, message: 'It is left alone.', data: { retryAfterSeconds: 12.5 } }, '13'],
    [503, { code: -31_002, message: 'It is busy.' }, '2'],
    [503, { code: -31_001, message: 'It is not running.' }, undefined],
    [504, { code: -31_003, message: 'It is late.' }, undefined],
    [502, { code: -31_004, message: 'It ended.' }, undefined],
    [500, { code: -32_603, message: 'It failed.' }, undefined],
  ])('is told as %i', async (status, error, retryAfter) => {
    const backend = createFakeBackend(({ method }) => (method === 'tools/list' ? '{"tools":[]}' : null));
    const rig = await startRig({ server: { toolPath: '/tools' }, backends: [backend] });
    try {
      const asked = rig.call({ method: 'POST', path: '/tools/x', headers: asFirst, body: '{}' });
      await waitUntil(() => backend.open.length > 0, 10_000, 'the call');
      backend.open[0]?.onError(error);
      const answer = await asked;
      expect([answer.status, answer.headers['retry-after']]).toEqual([status, retryAfter]);
      expect(JSON.parse(answer.body)).toMatchObject({ status, detail: error.message, code: error.code });
    } finally {
      await rig.stop();
    }
  });

  test('a client that goes takes its call back', async () => {
    const backend = createFakeBackend(({ method }) => (method === 'tools/list' ? '{"tools":[]}' : null));
    const rig = await startRig({ server: { toolPath: '/tools' }, backends: [backend] });
    try {
      const gone = new AbortController();
      const asked = fetch(`${rig.origin}/tools/x`, {
        method: 'POST',
        headers: asFirst,
        body: '{}',
        signal: gone.signal,
      }).catch(() => null);
      await waitUntil(() => backend.open.length > 0, 10_000, 'the call');
      gone.abort();
      await asked;
      await waitUntil(() => backend.cancelled.length > 0, 10_000, 'the cancellation');
      expect(backend.cancelled).toEqual(['the client is gone']);
    } finally {
      await rig.stop();
    }
  });
});

test('without the setting there is no such path', async () => {
  const rig = await startRig({ server: { builtinTools: 'on' } });
  try {
    expect((await rig.call({ method: 'POST', path: '/tools/echo', headers: asFirst, body: '{}' })).status).toBe(404);
  } finally {
    await rig.stop();
  }
});
