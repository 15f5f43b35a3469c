import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { firstKey, secondKey, startRig, type ServerRig } from '../helpers/server-rig.ts';

const echo = { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'echo', arguments: { message: 'x' } } };
const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };

let rig: ServerRig;
beforeAll(async () => {
  rig = await startRig({ limits: { bodyBytes: 8_192 } });
});
afterAll(() => rig.stop());

/** Sends bytes as they are and gives everything that comes back until the connection ends. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(rig.url).port), '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
}

describe('keys', () => {
  test.each([
    ['no key', {}, 'Bearer realm="mcp"'],
    ['a wrong key', { authorization: 'Bearer wrong-wrong-wrong-wrong' }, 'Bearer realm="mcp", error="invalid_token"'],
  ])(
    '%s is answered with 401, a challenge without resource_metadata, and an OAuth error',
    async (_title, headers, challenge) => {
      const answer = await rig.call({
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(headers as Record<string, string>) },
        body: JSON.stringify(list),
      });
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toBe(challenge);
      expect(JSON.parse(answer.body)).toMatchObject({ error: 'invalid_token', error_description: expect.any(String) });
    },
  );

  test.each([[{ authorization: `Bearer ${firstKey}` }], [{ 'x-api-key': secondKey }]])(
    'a key is taken as Bearer and as x-api-key',
    async (headers) => {
      const answer = await rig.call({
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(headers as unknown as Record<string, string>) },
        body: JSON.stringify(echo),
      });
      expect([answer.status, JSON.parse(answer.body).id]).toEqual([200, 7]);
    },
  );

  test('a key in the query is not a key', async () => {
    const answer = await rig.call({
      method: 'POST',
      path: `/mcp?key=${firstKey}`,
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(answer.status).toBe(401);
  });

  test.each([
    '/.well-known/oauth-protected-resource',
    '/.well-known/oauth-protected-resource/mcp',
    '/.well-known/oauth-authorization-server',
    '/.well-known/openid-configuration',
    '/register',
    '/nothing',
    '/mcp/deeper',
  ])('%s is a JSON 404', async (path) => {
    const answer = await rig.call({ path, headers: {} });
    expect([answer.status, answer.headers['content-type']]).toEqual([404, 'application/json']);
    expect(JSON.parse(answer.body)).toHaveProperty('error');
  });
});

describe('the endpoint', () => {
  test.each(['/mcp', '/mcp/', '/mcp?x=1'])('%s answers, and nothing is redirected', async (path) => {
    const answer = await rig.call({
      method: 'POST',
      path,
      headers: { authorization: `Bearer ${firstKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(echo),
    });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-length']).toBe(String(Buffer.byteLength(answer.body)));
  });

  test.each([
    ['an evil Origin', { origin: 'https://evil.example' }, 403],
    ['a null Origin', { origin: 'null' }, 403],
    ['a rebound Host', { host: 'evil.example' }, 403],
  ])('%s is refused', async (_title, headers, status) => {
    const answer = await rig.post(list, headers);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toHaveProperty('error_description');
  });

  test.each([
    ['another content type', { 'content-type': 'text/plain' }, JSON.stringify(list), 415, -32_000],
    ['an Accept that takes no JSON', { accept: 'text/html' }, JSON.stringify(list), 406, -32_000],
    ['an empty body', {}, '', 400, -32_700],
    ['broken JSON', {}, '{"jsonrpc":', 400, -32_700],
    ['a body over the limit', {}, JSON.stringify({ ...list, params: { x: 'y'.repeat(9_000) } }), 413, -32_000],
    [
      'a body nested too deeply',
      {},
      `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":${'['.repeat(1_000)}${']'.repeat(1_000)}}}`,
      400,
      -32_600,
    ],
    ['a body that is no object', {}, '42', 400, -32_600],
    ['no jsonrpc member', {}, '{"id":1,"method":"ping"}', 400, -32_600],
    ['a null id', {}, '{"jsonrpc":"2.0","id":null,"method":"ping"}', 400, -32_600],
    ['neither request nor response', {}, '{"jsonrpc":"2.0","id":1}', 400, -32_600],
    ['an unknown legacy version', { 'mcp-protocol-version': '1999-01-01' }, JSON.stringify(list), 400, -32_000],
  ])('%s is refused in JSON', async (_title, headers, body, status, code) => {
    const answer = await rig.post(body, headers);
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([status, code]);
  });

  test('a body at the limit passes and chunks without end are cut at it', async () => {
    const empty = JSON.stringify({ ...list, params: { x: '' } });
    const full = JSON.stringify({ ...list, params: { x: 'y'.repeat(8_192 - empty.length) } });
    expect((await rig.post(full)).status).toBe(200);
    const head = `POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${firstKey}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`;
    const answer = await raw(head + `1000\r\n${'z'.repeat(4_096)}\r\n`.repeat(4));
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('a head over 16 kB is answered with 431 in JSON', async () => {
    const answer = await raw(`GET /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nx-large: ${'a'.repeat(20_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain('"status":431');
  });

  test('bytes that are not HTTP are answered with 400 in JSON', async () => {
    expect(await raw('hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [\s\S]*"status":400/);
  });

  test('keys named like parts of the prototype do no harm', async () => {
    const answer = await rig.post(
      '{"jsonrpc":"2.0","id":1,"method":"__proto__","params":{"__proto__":{"polluted":1},"constructor":{"prototype":{}}}}',
    );
    expect(JSON.parse(answer.body).error.code).toBe(-32_601);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test.each(['PUT', 'PATCH', 'HEAD', 'TRACE'])('%s is not allowed and says what is', async (method) => {
    const answer = await rig.call({ method });
    expect([answer.status, answer.headers.allow]).toEqual([405, 'GET, POST, DELETE, OPTIONS']);
  });

  test.each(['GET', 'DELETE'])('%s without a session is 405 with Allow: POST', async (method) => {
    const answer = await rig.call({ method });
    expect([answer.status, answer.headers.allow]).toEqual([405, 'POST']);
  });

  test('OPTIONS without an origin says which methods there are', async () => {
    const answer = await rig.call({ method: 'OPTIONS', headers: {} });
    expect([answer.status, answer.headers.allow]).toEqual([204, 'GET, POST, DELETE, OPTIONS']);
  });
});

describe('batches', () => {
  const batch = [
    { jsonrpc: '2.0', id: 1, method: 'ping' },
    { jsonrpc: '2.0', method: 'notifications/initialized' },
    { ...echo, id: 'two' },
  ];

  test('are answered for 2025-03-26, in which they existed', async () => {
    const session = await rig.initialize({ version: '2025-03-26' });
    const answer = await rig.post(batch, { 'mcp-session-id': session });
    const parts = JSON.parse(answer.body) as { id: unknown }[];
    expect(parts.map(({ id }) => id).toSorted()).toEqual([1, 'two']);
  });

  test('are refused for every other revision', async () => {
    const session = await rig.initialize({ version: '2025-06-18' });
    const answer = await rig.post(batch, { 'mcp-session-id': session });
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([400, -32_600]);
  });

  test.each([
    ['empty', []],
    ['with a number in it', [1]],
    ['with initialize in it', [{ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} }]],
    ['too long', Array.from({ length: 101 }, (_, id) => ({ jsonrpc: '2.0', id, method: 'ping' }))],
  ])('%s are refused', async (_title, body) => {
    const answer = await rig.post(body);
    expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([400, -32_600]);
  });

  test('of notifications only are accepted without an answer', async () => {
    const answer = await rig.post([{ jsonrpc: '2.0', method: 'notifications/initialized' }]);
    expect([answer.status, answer.body]).toEqual([202, '']);
  });
});

describe('pages', () => {
  test.each([
    ['/livez', 200, 'ok'],
    ['/health', 200, 'ok'],
    ['/readyz', 200, 'ready'],
    ['/status', 200, 'ready'],
  ])('%s answers from this machine without a key', async (path, status, word) => {
    const answer = await rig.call({ path, headers: {} });
    expect([answer.status, JSON.parse(answer.body).status]).toEqual([status, word]);
  });

  test('/metrics is given to this machine and not through a proxy', async () => {
    const own = await rig.call({ path: '/metrics', headers: {} });
    expect(own.body).toContain('mcp_requests_total');
    const forwarded = await rig.call({ path: '/metrics', headers: { 'x-forwarded-for': '10.0.0.1' } });
    expect(forwarded.status).toBe(403);
  });

  test('/status through a proxy needs a key', async () => {
    const headers = { 'x-forwarded-for': '10.0.0.1' };
    expect((await rig.call({ path: '/status', headers })).status).toBe(401);
    expect((await rig.call({ path: '/status', headers: { ...headers, 'x-api-key': firstKey } })).status).toBe(200);
  });

  test('/status and /metrics are not given to a page with a name of its own', async () => {
    expect((await rig.call({ path: '/status', headers: { host: 'evil.example' } })).status).toBe(403);
    expect((await rig.call({ path: '/metrics', headers: { origin: 'https://evil.example' } })).status).toBe(403);
  });
});

test('an allowed origin may read the answers and make preflights', async () => {
  const browser = await startRig({ server: { allowedOrigins: ['https://app.example'] } });
  try {
    const preflight = await browser.call({ method: 'OPTIONS', headers: { origin: 'https://app.example' } });
    expect(preflight.headers['access-control-allow-headers']).toContain('mcp-session-id');
    const answer = await browser.post(list, { origin: 'https://app.example' });
    expect(answer.headers['access-control-allow-origin']).toBe('https://app.example');
    expect(answer.headers['access-control-expose-headers']).toContain('mcp-session-id');
  } finally {
    await browser.stop();
  }
});

test('a client that is slow with its head or its body is timed out in JSON', async () => {
  const slow = await startRig({ timeouts: { headersTimeout: 300, requestTimeout: 600 } });
  const port = Number(new URL(slow.url).port);
  const wait = (bytes: string) =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString();
      });
      socket.on('close', () => resolve(text));
      socket.on('error', reject);
    });
  try {
    expect(await wait('POST /mcp HTTP/1.1\r\nhost: 127')).toMatch(/^HTTP\/1\.1 408 [\s\S]*"status":408/);
    const head = `POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: ${firstKey}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`;
    expect(await wait(head)).toMatch(/^HTTP\/1\.1 408 /);
  } finally {
    await slow.stop();
  }
});

describe('limits', () => {
  test('a used-up key gets 429 with the fields of the draft, another key does not, and lists stay free', async () => {
    const limited = await startRig({ limits: { perKey: { requests: 60, windowSeconds: 60, burst: 2 } } });
    try {
      expect((await limited.post(echo)).status).toBe(200);
      expect((await limited.post(echo)).status).toBe(200);
      const refused = await limited.post({ ...echo, params: { name: 'no such tool' } });
      expect(refused.status).toBe(429);
      expect(refused.headers['content-type']).toBe('application/problem+json');
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
      expect(refused.headers['ratelimit-policy']).toBe('"key";q=60;w=60');
      expect(refused.headers['ratelimit']).toMatch(/^"key";r=0;t=\d+$/);
      expect(JSON.parse(refused.body)).toMatchObject({ status: 429, detail: expect.any(String) });
      expect((await limited.post(echo, { authorization: `Bearer ${secondKey}` })).status).toBe(200);
      expect((await limited.post(list)).status).toBe(200);
      expect(await limited.initialize()).toMatch(/^[0-9a-f-]{36}$/);
      expect((await limited.call({ path: '/metrics', headers: {} })).body).toContain(
        'mcp_rate_limited_total{scope="key"} 1',
      );
    } finally {
      await limited.stop();
    }
  });
});
