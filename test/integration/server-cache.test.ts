import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { chooseCoding } from '../../src/server/http/compress-answers.ts';
import { fixture } from '../fixtures/upstreams/backend-calls.ts';
import { startHttpFixture } from '../fixtures/upstreams/http-servers.ts';
import { createFakeBackend } from '../helpers/fake-backend.ts';
import {
  firstKey,
  modernRequest,
  secondKey,
  startRig,
  type RigOptions,
  type ServerRig,
} from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const run = promisify(execFile);
const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

async function rigOf(options: RigOptions): Promise<ServerRig> {
  const rig = await startRig(options);
  opened.push(() => rig.stop());
  return rig;
}

async function call(rig: ServerRig, name: string, args: unknown = {}, key = firstKey): Promise<string> {
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } };
  const answer = await rig.post(message, { authorization: `Bearer ${key}`, accept: 'application/json' });
  const { result } = JSON.parse(answer.body) as { result?: { content: { text: string }[] } };
  return result?.content[0]?.text ?? answer.body;
}

describe('kept answers', () => {
  test('of 100 equal calls at once one reaches an HTTP upstream, and each key has answers of its own', async () => {
    let calls = 0;
    const far = await startHttpFixture((message, response, body) => {
      const { id, method } = JSON.parse(body === '' ? '{}' : body) as { id?: number; method?: string };
      if (message.method !== 'POST') return void response.writeHead(405).end();
      if (id === undefined) return void response.writeHead(202).end();
      const serverInfo = { name: 'far', version: '1' };
      const result =
        method === 'initialize'
          ? { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo }
          : { content: [{ type: 'text', text: `answer ${method === 'tools/call' ? ++calls : 0}` }] };
      const answer = (): void =>
        void response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ jsonrpc: '2.0', id, result }));
      if (method === 'tools/call') setTimeout(answer, 300);
      else answer();
    });
    opened.push(() => far.stop());
    const rig = await rigOf({
      server: { upstreams: { far: { url: far.url } }, cache: { tools: { work: { ttlSeconds: 60 } } } },
    });
    const answers = await Promise.all(Array.from({ length: 100 }, () => call(rig, 'work', { q: 1 })));
    expect(new Set(answers)).toEqual(new Set(['answer 1']));
    expect(calls).toBe(1);
    expect(await call(rig, 'work', { q: 1 }, secondKey)).toBe('answer 2');
    expect(await call(rig, 'work', { q: 1 })).toBe('answer 1');
    expect(await call(rig, 'work', { q: 2 })).toBe('answer 3');
    const metrics = (await rig.call({ path: '/metrics' })).body;
    expect(metrics).toContain('mcp_cache_hits_total{upstream="far"} 100');
    expect(metrics).toContain('mcp_cache_misses_total{upstream="far"} 3');
  });

  test('are forgotten when a stdio upstream starts anew, and a legacy and a modern client both get well-formed ones', async () => {
    const rig = await rigOf({
      server: {
        upstreams: { main: { command: process.execPath, args: [fixture('server.mjs')] } },
        cache: { tools: { pid: { ttlSeconds: 60, public: true } } },
      },
    });
    const pid = await call(rig, 'pid');
    expect(await call(rig, 'pid', {}, secondKey)).toBe(pid);
    const { message, headers } = modernRequest(1, 'tools/call', { name: 'pid', arguments: {} });
    for (let count = 0; count < 2; count++) {
      const { body } = await rig.post(message, headers);
      expect(JSON.parse(body)).toMatchObject({ result: { resultType: 'complete', content: [{ text: pid }] } });
    }
    await call(rig, 'die');
    await waitUntil(async () => (await call(rig, 'pid')) !== pid, 10_000, 'another process');
  });

  test('do not exist for what every session has a process of its own for', async () => {
    const rig = await rigOf({
      server: {
        upstreams: { main: { command: process.execPath, args: [fixture('server.mjs')], instances: 'per-session' } },
        cache: { tools: { '*': { ttlSeconds: 60, public: true }, pid: { ttlSeconds: 60, public: true } } },
      },
    });
    const pids: string[] = [];
    for (let count = 0; count < 2; count++) {
      const client = await rig.legacyClient();
      const { content } = (await client.callTool({ name: 'pid' })) as { content: { text: string }[] };
      pids.push(content[0]?.text ?? '');
    }
    expect(pids[0]).not.toBe(pids[1]);
  });
});

describe('compressed answers', () => {
  const long = JSON.stringify({ content: [{ type: 'text', text: 'word '.repeat(2_000) }] });
  const short = JSON.stringify({ content: [{ type: 'text', text: 'word' }] });
  const backend = () =>
    createFakeBackend((given) => {
      const name = given.params?.['name'];
      if (name === 'streamed') given.onNotification('notifications/message', '{"level":"info","data":"first"}');
      return name === 'short' ? short : long;
    });
  const bodyOf = (name: string) => JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } });
  const headers = {
    authorization: `Bearer ${firstKey}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };

  test.each(['gzip', 'br'])('in %s are read by Node’s fetch, and say that they vary', async (coding) => {
    const rig = await rigOf({ backends: [backend()], server: { compression: 'auto' } });
    const answer = await fetch(rig.url, {
      method: 'POST',
      headers: { ...headers, 'accept-encoding': coding },
      body: bodyOf('long'),
    });
    expect(answer.headers.get('content-encoding')).toBe(coding);
    expect(answer.headers.get('vary')).toContain('Accept-Encoding');
    expect(Number(answer.headers.get('content-length'))).toBeLessThan(500);
    expect(await answer.json()).toEqual({ jsonrpc: '2.0', id: 1, result: JSON.parse(long) });
  });

  test('are read by curl', async () => {
    const rig = await rigOf({ backends: [backend()], server: { compression: 'auto' } });
    const folder = mkdtempSync(join(tmpdir(), 'mcpd-curl-'));
    opened.push(() => Promise.resolve(rmSync(folder, { recursive: true, force: true })));
    writeFileSync(
      join(folder, 'headers'),
      Object.entries(headers)
        .map(([name, value]) => `${name}: ${value}\n`)
        .join(''),
    );
    const args = ['-sS', '--compressed', '-D', join(folder, 'head'), '-H', `@${join(folder, 'headers')}`];
    const { stdout } = await run('curl', [...args, '--data', bodyOf('long'), rig.url]);
    expect(JSON.parse(stdout)).toMatchObject({ result: JSON.parse(long) as unknown });
    const { stdout: head } = await run('cat', [join(folder, 'head')]);
    expect(head).toMatch(/^content-encoding: (?:br|gzip)\r$/im);
  });

  test.each([
    ['short ones', 'short', 'gzip', 'auto'],
    ['event streams', 'streamed', 'gzip', 'auto'],
    ['those of clients that do not ask', 'long', 'identity', 'auto'],
    ['those of a server without the setting', 'long', 'gzip', 'off'],
  ] as const)('are never %s', async (_, name, accepted, compression) => {
    const rig = await rigOf({ backends: [backend()], server: { compression } });
    const answer = await rig.post(bodyOf(name), { ...headers, 'accept-encoding': accepted });
    expect(answer.headers['content-encoding']).toBeUndefined();
    expect(answer.body).toContain('word');
    if (name === 'streamed') expect(answer.headers['content-type']).toContain('text/event-stream');
  });

  test.each([
    ['gzip, deflate, br', 'br'],
    ['gzip', 'gzip'],
    ['br;q=0.5, gzip', 'gzip'],
    ['br;q=0, gzip;q=0', null],
    ['*', 'br'],
    ['br;q=0, *', 'gzip'],
    ['identity, gzip;q=0.5', null],
    ['deflate', null],
    ['', null],
    [undefined, null],
    ['gzip;q=x', null],
  ])('for Accept-Encoding %j are %j', (accepted, coding) => {
    expect(chooseCoding(accepted)).toBe(coding);
  });
});

test('a connection without requests is kept as long as idleConnectionSeconds says', async () => {
  const rig = await rigOf({ backends: [createFakeBackend(() => '{}')], server: { idleConnectionSeconds: 7 } });
  const { headers } = await rig.call({ path: '/livez', headers: { connection: 'keep-alive' } });
  expect(headers['keep-alive']).toBe('timeout=7');
});
