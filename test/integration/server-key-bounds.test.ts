import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createKeyIn, revokeKeyIn } from '../../src/server/policy/key-store.ts';
import { createFakeBackend, echoBackend, type FakeBackend } from '../helpers/fake-backend.ts';
import type { HttpAnswer } from '../helpers/http-call.ts';
import { readEvents } from '../helpers/read-events.ts';
import {
  firstKey,
  modernRequest,
  secondKey,
  startRig,
  type RigOptions,
  type ServerRig,
} from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

async function start(options: RigOptions = {}): Promise<ServerRig> {
  const rig = await startRig({ backends: [echoBackend()], ...options });
  cleanUps.push(() => rig.stop());
  return rig;
}

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-bounds-'));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const message = (method: string, params?: unknown) => ({ jsonrpc: '2.0', id: 1, method, params });
const notification = (method: string) => ({ jsonrpc: '2.0', method });
const call = message('tools/call', { name: 'echo', arguments: {} });
const as = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });

/** A rate that a test never sees refilled. */
const rate = (burst: number) => ({ requests: burst, windowSeconds: 3_600, burst });

describe('what is no discovery counts like a call', () => {
  const listen = modernRequest(1, 'subscriptions/listen', { notifications: {} });
  const cases: [string, object, Record<string, string>][] = [
    ['logging/setLevel', message('logging/setLevel', { level: 'info' }), {}],
    ['resources/subscribe', message('resources/subscribe', { uri: 'file:///a' }), {}],
    ['resources/unsubscribe', message('resources/unsubscribe', { uri: 'file:///a' }), {}],
    ['notifications/roots/list_changed', notification('notifications/roots/list_changed'), {}],
    ['subscriptions/listen', listen.message, listen.headers],
  ];
  test.each(cases)('%s', async (_method, body, headers) => {
    const backend = createFakeBackend(() => '{}');
    const rig = await start({ backends: [backend], limits: { perKey: rate(2) } });
    const session = Object.keys(headers).length > 0 ? {} : { 'mcp-session-id': await rig.initialize() };
    const send = (key: string): Promise<HttpAnswer> => rig.post(body, { ...as(key), ...session, ...headers });
    const statuses = [await send(firstKey), await send(firstKey), await send(firstKey)].map(({ status }) => status);
    expect(statuses.slice(0, 2).every((status) => status < 300)).toBe(true);
    expect(statuses[2]).toBe(429);
    expect(backend.notified.length).toBeLessThanOrEqual(2);
    expect((await rig.post(call, as(secondKey))).status).toBe(200);
    expect((await rig.post(message('tools/list'))).status).toBe(200);
  });
});

describe('floods of what is free or wrong end at a bound of their key', () => {
  const discover = modernRequest(1, 'server/discover');
  const cases: readonly (readonly [string, (rig: ServerRig, key: string) => Promise<HttpAnswer>])[] = [
    ['lists', (rig, key) => rig.post(message('tools/list'), as(key))],
    ['pings', (rig, key) => rig.post(message('ping'), as(key))],
    ['unknown methods', (rig, key) => rig.post(message('no/such'), as(key))],
    ['handshakes', (rig, key) => rig.post(message('initialize', { protocolVersion: '2025-11-25' }), as(key))],
    ['discovery', (rig, key) => rig.post(discover.message, { ...as(key), ...discover.headers })],
    ['notifications', (rig, key) => rig.post(notification('notifications/initialized'), as(key))],
    ['answers to nothing', (rig, key) => rig.post({ jsonrpc: '2.0', id: 's1', result: {} }, as(key))],
    ['bodies that are no JSON', (rig, key) => rig.post('{', as(key))],
    ['unknown sessions', (rig, key) => rig.post(call, { ...as(key), 'mcp-session-id': 'x' })],
    ['another content type', (rig, key) => rig.post(call, { ...as(key), 'content-type': 'text/plain' })],
    ['GET', (rig, key) => rig.call({ headers: { ...as(key), 'mcp-session-id': 'x' } })],
    ['DELETE', (rig, key) => rig.call({ method: 'DELETE', headers: { ...as(key), 'mcp-session-id': 'x' } })],
  ];
  test.each(cases)('%s', async (_title, send) => {
    const rig = await start({ limits: { freePerKey: rate(3), perKey: 'off' } });
    const answers = [];
    for (let count = 0; count < 4; count++) answers.push(await send(rig, firstKey));
    expect(answers.slice(0, 3).map(({ status }) => status)).not.toContain(429);
    expect(answers[3]?.status).toBe(429);
    expect(Number(answers[3]?.headers['retry-after'])).toBeGreaterThan(0);
    expect(answers[3]?.headers['ratelimit-policy']).toContain('"free"');
    // Calls are counted elsewhere, and so is every other key.
    expect((await rig.post(call)).status).toBe(200);
    expect((await send(rig, secondKey)).status).not.toBe(429);
  });
});

test('only notifications that concern a backend reach one; unknown ones are dropped with 202', async () => {
  const backend = echoBackend();
  const rig = await start({ backends: [backend] });
  const session = { 'mcp-session-id': await rig.initialize() };
  for (const method of ['notifications/made/up', 'tools/call', 'shutdown', 'notifications/progress']) {
    expect((await rig.post(notification(method), session)).status).toBe(202);
  }
  expect((await rig.post(notification('notifications/roots/list_changed'), session)).status).toBe(202);
  expect(backend.notified.map(({ method }) => method)).toEqual(['notifications/roots/list_changed']);
});

describe('calls of one key in flight', () => {
  test.each(['legacy', 'modern'])(
    'are bounded, other keys have their own, and an answer makes room (%s)',
    async (era) => {
      const backend = createFakeBackend(({ method }) => (method === 'tools/list' ? '{"tools":[]}' : null));
      const rig = await start({ backends: [backend], limits: { concurrencyPerKey: 2 } });
      const modern = modernRequest(1, 'tools/call', { name: 'echo', arguments: {} });
      const send = (key: string): Promise<HttpAnswer> =>
        era === 'legacy' ? rig.post(call, as(key)) : rig.post(modern.message, { ...as(key), ...modern.headers });
      // Streams that are open are no calls.
      const session = await rig.initialize();
      const stream = await readEvents({ url: rig.url, headers: { ...as(firstKey), 'mcp-session-id': session } });
      cleanUps.push(() => stream.close());
      const waiting = [send(firstKey), send(firstKey)];
      const running = () => backend.open.filter(({ method }) => method === 'tools/call');
      await waitUntil(() => running().length === 2, 5_000, 'two calls');
      const refused = await send(firstKey);
      expect([refused.status, refused.headers['content-type']]).toEqual([429, 'application/problem+json']);
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
      waiting.push(send(secondKey));
      await waitUntil(() => running().length === 3, 5_000, 'the call of the other key');
      running()[0]?.onResult('{"content":[]}');
      await Promise.race(waiting);
      waiting.push(send(firstKey));
      await waitUntil(() => running().length === 4, 5_000, 'the next call');
      for (const open of running()) open.onResult('{"content":[]}');
      expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    },
  );
});

describe('a key that ends while its calls run', () => {
  interface KeyRig {
    readonly rig: ServerRig;
    readonly backend: FakeBackend;
    readonly key: string;
    readonly otherKey: string;
    readonly end: () => void;
  }
  async function startWithStore(expiresAt?: string): Promise<KeyRig> {
    const storeFile = join(makeFolder(), 'keys.json');
    const now = new Date().toISOString();
    const first = createKeyIn(null, { label: 'first', now, ...(expiresAt === undefined ? {} : { expiresAt }) });
    const second = createKeyIn(first.storeText, { label: 'second', now });
    writeFileSync(storeFile, second.storeText);
    const backend = createFakeBackend(({ method }) => (method === 'tools/call' ? null : '{}'));
    const rig = await start({ backends: [backend], keyStoreFile: storeFile, upgradeAfterMs: 600_000 });
    return {
      rig,
      backend,
      key: first.key,
      otherKey: second.key,
      end() {
        const { storeText } = revokeKeyIn(second.storeText, { labelOrId: 'first', now: new Date().toISOString() });
        writeFileSync(`${storeFile}.new`, storeText);
        renameSync(`${storeFile}.new`, storeFile);
        void rig.server.reload();
      },
    };
  }

  test.each(['without a session', 'of a session', 'of the modern era'])(
    'a call %s is taken back and answered with 401, and one of another key goes on',
    async (kind) => {
      const { rig, backend, key, otherKey, end } = await startWithStore();
      const modern = modernRequest(1, 'tools/call', { name: 'echo', arguments: {} });
      const session = kind === 'of a session' ? { 'mcp-session-id': await rig.initialize({ key }) } : {};
      const running =
        kind === 'of the modern era'
          ? rig.post(modern.message, { ...as(key), ...modern.headers })
          : rig.post(call, { ...as(key), ...session });
      const other = rig.post(call, as(otherKey));
      await waitUntil(() => backend.open.length === 2, 5_000, 'the calls');
      end();
      const answer = await running;
      expect([answer.status, JSON.parse(answer.body).error]).toEqual([401, 'invalid_token']);
      expect(answer.headers['www-authenticate']).toContain('Bearer');
      expect(backend.cancelled).toEqual(['the key is not accepted any more']);
      expect((await rig.post(call, as(key))).status).toBe(401);
      backend.open.find(({ caller }) => caller.label === 'second')?.onResult('{"content":[]}');
      expect((await other).status).toBe(200);
    },
  );

  test('a call whose answer is a stream is taken back and its stream ends', async () => {
    const { rig, backend, key, end } = await startWithStore();
    const headers = { ...as(key), 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    const opening = readEvents({ url: rig.url, method: 'POST', headers, body: JSON.stringify(call) });
    await waitUntil(() => backend.open.length === 1, 5_000, 'the call');
    backend.open[0]?.onNotification('notifications/message', '{"level":"info","data":"a"}');
    const stream = await opening;
    await stream.take(1);
    end();
    await waitUntil(() => stream.ended, 5_000, 'the end of the stream');
    expect(backend.cancelled).toHaveLength(1);
    backend.open[0]?.onResult('{"content":[]}');
    expect(stream.events).toHaveLength(1);
  });

  test('an expired one ends its calls as a revoked one does', async () => {
    const { rig, backend, key } = await startWithStore(new Date(Date.now() + 1_500).toISOString());
    const running = rig.post(call, as(key));
    await waitUntil(() => backend.open.length === 1, 5_000, 'the call');
    expect((await running).status).toBe(401);
    expect(backend.cancelled).toHaveLength(1);
  });

  test('a body that was still on its way starts no call', async () => {
    const { rig, backend, key, end } = await startWithStore();
    const body = JSON.stringify(call);
    const socket = connect(Number(new URL(rig.url).port), '127.0.0.1');
    cleanUps.push(() => void socket.destroy());
    let received = '';
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
    socket.write(
      `POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\n` +
        `accept: application/json\r\nexpect: 100-continue\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 9)}`,
    );
    await waitUntil(() => received.includes('100 Continue'), 5_000, 'the head was read');
    end();
    socket.write(body.slice(9));
    await waitUntil(() => / 401 /.test(received), 5_000, 'the refusal');
    expect(backend.open).toHaveLength(0);
  });
});

describe('what is refused is in the audit file', () => {
  async function startAudited(
    options: RigOptions = {},
  ): Promise<{ rig: ServerRig; lines: () => Record<string, unknown>[] }> {
    const file = join(makeFolder(), 'audit.log');
    const rig = await start({ audit: file, ...options });
    const lines = () =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    return { rig, lines };
  }
  const raw = (rig: ServerRig, text: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(Number(new URL(rig.url).port), '127.0.0.1', () => socket.write(text));
      let received = '';
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString();
        socket.destroy();
      });
      socket.on('error', () => {});
      socket.on('close', () => resolve(received));
    });

  const cases: readonly (readonly [string, (rig: ServerRig) => Promise<unknown>])[] = [
    ['unknown session', (rig) => rig.post(call, { 'mcp-session-id': 'x' })],
    [
      'session of another key',
      async (rig) => rig.post(call, { ...as(secondKey), 'mcp-session-id': await rig.initialize() }),
    ],
    ['unknown session', (rig) => rig.call({ headers: { ...as(firstKey), 'mcp-session-id': 'x' } })],
    ['body too large', (rig) => rig.post('x'.repeat(2_000)).catch(() => null)],
    ['content type is not application/json', (rig) => rig.post(call, { 'content-type': 'text/plain' })],
    ['no readable request (431)', (rig) => raw(rig, `GET / HTTP/1.1\r\nhost: a\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`)],
    ['no readable request (400)', (rig) => raw(rig, 'hello\r\n\r\n')],
  ];
  test.each(cases)('%s', async (why, send) => {
    const { rig, lines } = await startAudited({ limits: { bodyBytes: 1_024 } });
    await send(rig);
    await waitUntil(() => lines().some(({ error }) => error === why), 5_000, `a line about: ${why}`);
    expect(lines().find(({ error }) => error === why)).toMatchObject({ status: 'refused', address: '127.0.0.1' });
  });

  test('the server is stopping', async () => {
    const backend = createFakeBackend(({ method }) => (method === 'tools/call' ? null : '{}'));
    const { rig, lines } = await startAudited({ backends: [backend] });
    const running = rig.post(call);
    await waitUntil(() => backend.open.length === 1, 5_000, 'the call');
    const drained = rig.server.drain();
    expect((await rig.post(call)).status).toBe(503);
    await waitUntil(() => lines().some(({ error }) => error === 'the server is stopping'), 5_000, 'the line');
    backend.open[0]?.onResult('{"content":[]}');
    expect((await running).status).toBe(200);
    await drained;
  });

  test('a flood leaves a bounded number of lines that say all of it, and the log stays small', async () => {
    const { rig, lines } = await startAudited();
    const session = await rig.initialize();
    const flood = 400;
    const startedMs = performance.now();
    for (let sent = 0; sent < flood; sent += 20) {
      await Promise.all(
        Array.from({ length: 20 }, () => rig.post(call, { ...as(secondKey), 'mcp-session-id': session })),
      );
    }
    await rig.post(call);
    const counted = () =>
      lines()
        .filter(({ status }) => status === 'refused')
        .reduce((sum, { error }) => sum + Number(/\((\d+) more/.exec(String(error))?.[1] ?? 1), 0);
    await waitUntil(() => counted() === flood, 20_000, 'every refusal');
    // So many in each second that the flood took here, however long that was: a timer is late at times, and never early.
    const seconds = Math.floor((performance.now() - startedMs) / 990) + 1;
    const [most, andTheCount] = [40, 1];
    expect(lines().filter(({ status }) => status === 'refused').length).toBeLessThanOrEqual(
      seconds * (most + andTheCount),
    );
    expect(lines().filter(({ status }) => status === 'ok')).toHaveLength(1);
    const logged = rig.log.filter((line) => line.includes('session-of-another-key')).length;
    expect(logged).toBeGreaterThan(0);
    expect(logged).toBeLessThanOrEqual(seconds);
  });
});
