import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createFakeBackend, echoBackend } from '../helpers/fake-backend.ts';
import { firstKey, modernRequest, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

let folder: string;
let file: string;
let rig: ServerRig | null = null;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-audit-'));
  file = join(folder, 'audit.jsonl');
});
afterEach(async () => {
  await rig?.stop();
  rig = null;
  rmSync(folder, { recursive: true, force: true });
});

type Line = Record<string, unknown>;
const readLines = (from = file): Line[] =>
  existsSync(from)
    ? readFileSync(from, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Line)
    : [];

async function lines(count: number, from = file): Promise<Line[]> {
  await waitUntil(() => readLines(from).length >= count, 5_000, `${count} audit lines`);
  return readLines(from);
}

async function start(options: RigOptions = {}): Promise<ServerRig> {
  rig = await startRig({ backends: [echoBackend()], ...options, audit: file });
  return rig;
}

const toolCall = (id: number, name = 'echo', args: unknown = {}) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args },
});

describe('the audit file', () => {
  test('has one line for a call, with who, what, how long and how much, and nothing of what was said', async () => {
    const { post, initialize } = await start();
    const session = await initialize();
    const answer = await post(toolCall(7, 'echo', { secret: 'my-argument' }), { 'mcp-session-id': session });
    const [line] = await lines(1);
    expect(line).toMatchObject({
      request: answer.headers['x-request-id'],
      id: 7,
      method: 'tools/call',
      status: 'ok',
      tool: 'echo',
      key: 'first',
      address: '127.0.0.1',
      era: 'legacy',
      session,
      upstream: 'fake',
      error: null,
    });
    expect(line?.['bytes_in']).toBe(JSON.stringify(toolCall(7, 'echo', { secret: 'my-argument' })).length);
    expect(line?.['bytes_out']).toBeGreaterThan(10);
    expect(line?.['duration_seconds']).toBeGreaterThan(0);
    const text = readFileSync(file, 'utf8');
    expect(text).not.toContain('my-argument');
    expect(text).not.toContain(firstKey);
  });

  test('has a line for reads and prompts of both eras, none for lists and handshakes', async () => {
    const { post, initialize } = await start();
    await initialize();
    for (const [method, params] of [
      ['tools/list', {}],
      ['resources/list', {}],
      ['resources/read', { uri: 'a://b' }],
      ['prompts/get', { name: 'p' }],
    ] as const) {
      await post({ jsonrpc: '2.0', id: 1, method, params });
    }
    const { message, headers } = modernRequest('m', 'tools/call', { name: 'echo', arguments: {} });
    expect((await post(message, headers)).status).toBe(200);
    const found = await lines(3);
    expect(found.map(({ method, era }) => `${String(method)} ${String(era)}`)).toEqual([
      'resources/read legacy',
      'prompts/get legacy',
      'tools/call modern',
    ]);
  });

  test('says what failed, and that the outcome of a call that was taken back is unknown', async () => {
    const backend = createFakeBackend(({ method }) => (method === 'tools/list' ? '{"tools":[]}' : null));
    const { post, initialize } = await start({ backends: [backend] });
    const session = await initialize();
    const headers = { 'mcp-session-id': session };
    const failing = post(toolCall(1), headers);
    await waitUntil(() => backend.open.length === 1, 5_000);
    backend.open[0]?.onError({
      code: -31_004,
      message: 'The upstream "x" ended during this call; outcome unknown: it may have run.',
    });
    await failing;
    const reported = post(toolCall(2), headers);
    await waitUntil(() => backend.open.length === 2, 5_000);
    backend.open[1]?.onResult('{"content":[],"isError":true}');
    await reported;
    const cancelled = post(toolCall(3), headers);
    await waitUntil(() => backend.open.length === 3, 5_000);
    await post({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 3 } }, headers);
    await cancelled;
    const found = await lines(3);
    expect(found.map(({ status }) => status)).toEqual(['error', 'error', 'cancelled']);
    expect(found[0]?.['error']).toContain('outcome unknown');
    expect(found[1]?.['error']).toBe('the tool reported an error');
    expect(found[2]?.['error']).toContain('outcome unknown');
  });

  test('has a line for every refused request: no key, wrong key, foreign page, used-up limit', async () => {
    const { post, call } = await start({ limits: { perKey: { requests: 1, windowSeconds: 60, burst: 1 } } });
    await call({ method: 'POST', headers: {}, body: '{}' });
    await call({ method: 'POST', headers: { authorization: 'Bearer wrong-0123456789abcdef' }, body: '{}' });
    await call({ method: 'POST', headers: { origin: 'https://evil.example' }, body: '{}' });
    await post(toolCall(1));
    const refused = await post(toolCall(2));
    expect(refused.status).toBe(429);
    const found = await lines(5);
    expect(found.map(({ status, error }) => [status, String(error).split(' ').slice(0, 2).join(' ')])).toEqual([
      ['refused', 'key missing'],
      ['refused', 'key invalid'],
      ['refused', 'Pages of'],
      ['ok', 'null'],
      ['refused', 'rate limit'],
    ]);
    expect(found[4]).toMatchObject({
      request: refused.headers['x-request-id'],
      id: 2,
      tool: 'echo',
      key: 'first',
      era: 'legacy',
    });
    expect((await call({ path: '/metrics' })).body).toContain('tool="echo",status="refused"} 1');
  });

  test('goes on in a new file after a rotation and a reload', async () => {
    const { post, server } = await start();
    await post(toolCall(1));
    await lines(1);
    renameSync(file, `${file}.1`);
    await server.reload();
    await waitUntil(() => existsSync(file), 5_000, 'the new file');
    await post(toolCall(2));
    expect((await lines(1)).map(({ id }) => id)).toEqual([2]);
    expect(readLines(`${file}.1`).map(({ id }) => id)).toEqual([1]);
  });

  test('has every line when the server has drained', async () => {
    const { post, server } = await start();
    await Promise.all(Array.from({ length: 50 }, (_, id) => post(toolCall(id))));
    await server.drain();
    expect(readLines()).toHaveLength(50);
  });

  test('that cannot be opened stops the start, and nothing keeps running', async () => {
    file = join(folder, 'missing/audit.jsonl');
    await expect(start()).rejects.toThrow(/audit file .* cannot be written/);
  });
});

test('on a full disk calls go on and lost lines are counted', async ({ skip }) => {
  if (!existsSync('/dev/full')) skip();
  file = '/dev/full';
  const { post, call } = await start();
  expect((await post(toolCall(1))).status).toBe(200);
  await waitUntil(
    async () => (await call({ path: '/metrics' })).body.includes('mcp_audit_dropped_total 1'),
    5_000,
    'the count of lost lines',
  );
});

describe('the request id', () => {
  test('is in every answer of the endpoint, each another', async () => {
    const { post, call } = await start();
    const answers = [
      await post(toolCall(1)),
      await post('no json'),
      await call({ method: 'POST', headers: {}, body: '{}' }),
      await call({ method: 'PATCH' }),
      await call({ method: 'POST', headers: { host: 'evil.example' } }),
    ];
    const ids = answers.map(({ headers }) => headers['x-request-id']);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{12}-[0-9a-z]+$/);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('of a trusted proxy is kept when it is sane; that of anybody else is not', async () => {
    const trusting = await start({ server: { listen: '127.0.0.1:0', trustedProxies: ['loopback'] } });
    const idOf = async (given: string) =>
      (await trusting.post(toolCall(1), { 'x-request-id': given })).headers['x-request-id'];
    expect(await idOf('proxy-42')).toBe('proxy-42');
    expect(await idOf('a"b')).not.toBe('a"b');
    expect(await idOf('x'.repeat(129))).not.toContain('xxx');
    expect((await lines(1))[0]?.['request']).toBe('proxy-42');
    await trusting.stop();
    const careful = await start();
    expect((await careful.post(toolCall(1), { 'x-request-id': 'mine' })).headers['x-request-id']).not.toBe('mine');
  });
});

test('a caller on a Unix socket is known as unix, and its word is believed only where it is trusted', async () => {
  const addressSeen = async (trustedProxies: string[]): Promise<unknown> => {
    const socketPath = join(folder, `${trustedProxies.length}.sock`);
    const { stop } = await start({ server: { listen: ['127.0.0.1:0', `unix:${socketPath}`], trustedProxies } });
    await new Promise((resolve, reject) => {
      const headers = {
        host: 'localhost',
        authorization: `Bearer ${firstKey}`,
        'content-type': 'application/json',
        'x-forwarded-for': '192.0.2.77',
      };
      request({ socketPath, path: '/mcp', method: 'POST', headers }, (response) => {
        response.resume().on('end', resolve);
      })
        .on('error', reject)
        .end(JSON.stringify(toolCall(1)));
    });
    const address = (await lines(1)).at(-1)?.['address'];
    await stop();
    rmSync(file);
    return address;
  };
  expect(await addressSeen([])).toBe('unix');
  expect(await addressSeen(['unix'])).toBe('192.0.2.77');
});

test('names of tools that nobody has do not fill the places of real ones in the metrics', async () => {
  const backend = createFakeBackend(({ method, params }) => {
    if (method === 'tools/list') return '{"tools":[{"name":"broken"}]}';
    return params?.['name'] === 'works' ? '{"content":[]}' : '{"content":[],"isError":true}';
  });
  const { post, call } = await start({ backends: [backend], limits: { perKey: 'off' } });
  for (let at = 0; at < 300; at++) await post(toolCall(at, `invented-${at}`));
  await post(toolCall(1, 'broken'));
  await post(toolCall(1, 'works'));
  const { body } = await call({ path: '/metrics' });
  expect(body).not.toContain('invented');
  expect(body).toContain('mcp_tool_executions_total{tool="broken",status="error"} 1');
  expect(body).toContain('mcp_tool_executions_total{tool="works",status="ok"} 1');
  expect(body).toContain('mcp_tool_executions_total{tool="other",status="error"} 300');
});

test('a child killed in mid-call: audit says "outcome unknown", and the call is not sent to the next child', async () => {
  const pids = join(folder, 'pids');
  const fixture = fileURLToPath(new URL('../fixtures/upstreams/server.mjs', import.meta.url));
  const child = { command: process.execPath, args: [fixture], env: { FIXTURE_PID_FILE: pids } };
  const own = await startRig({ audit: file, server: { upstreams: { child } } });
  try {
    await waitUntil(() => own.server.registry.ready(), 10_000, 'the child serves');
    const session = await own.initialize();
    const call = (name: string) =>
      own.post(
        { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: { message: 'x' } } },
        { 'mcp-session-id': session },
      );
    expect((await call('die')).body).toContain('outcome unknown');
    expect((await call('echo')).status).toBe(200);
    // Were the call repeated, it would have killed the second child too.
    expect(readFileSync(pids, 'utf8').trim().split('\n')).toHaveLength(2);
  } finally {
    await own.stop();
  }
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const died = lines.filter((line) => line.includes('"die"'));
  expect(died).toHaveLength(1);
  expect(died[0]).toContain('outcome unknown: it may have run');
});
