import { afterEach, describe, expect, test } from 'vitest';
import { createLog } from '../../src/server/observe/log.ts';
import { SessionStore } from '../../src/server/protocol/session-store.ts';
import type { Session } from '../../src/server/protocol/session.ts';
import { parseSession } from '../../src/server/shared-state/redis-sessions.ts';
import { createFakeBackend } from '../helpers/fake-backend.ts';
import { openStream } from '../helpers/http-call.ts';
import { startRedis, type RealRedis } from '../helpers/redis.ts';
import { firstKey, secondKey, startRig, type ServerRig } from '../helpers/server-rig.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

async function redis(): Promise<RealRedis> {
  const store = await startRedis();
  opened.push(() => store.close());
  return store;
}

/** Servers that leave their legacy sessions for each other. */
async function replicas(store: RealRedis, count: number, idleSeconds = 600): Promise<ServerRig[]> {
  const rigs: ServerRig[] = [];
  for (let at = 0; at < count; at++) {
    const rig = await startRig({
      redis: { url: store.url },
      server: { sessions: { store: 'redis', idleSeconds }, replica: `r${at}` },
    });
    opened.push(() => rig.stop());
    rigs.push(rig);
    await untilUp(rig);
  }
  return rigs;
}

const metricOf = async (rig: ServerRig, name: string): Promise<number> =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec((await rig.call({ path: '/metrics' })).body)?.[1] ?? 'NaN');
const untilUp = (rig: ServerRig): Promise<void> =>
  waitUntil(async () => (await metricOf(rig, 'mcp_redis_up')) === 1, 15_000, 'Redis to be connected');
const namesIn = async (store: RealRedis): Promise<readonly string[]> =>
  (await store.ask('KEYS *:session:*')).split('\r\n').filter((line) => line.includes(':session:'));
const left = (store: RealRedis, count: number): Promise<void> =>
  waitUntil(async () => (await namesIn(store)).length === count, 10_000, `${count} sessions in Redis`);

const echo = (message: string) => ({
  jsonrpc: '2.0',
  id: message,
  method: 'tools/call',
  params: { name: 'echo', arguments: { message } },
});
const callIn = (rig: ServerRig, session: string, message: unknown = echo('x'), key = firstKey) =>
  rig.post(message, { 'mcp-session-id': session, authorization: `Bearer ${key}` });

testWithTools(
  ['redis-server'],
  'a session goes on at another server when its own is gone, with all that initialize agreed on',
  async () => {
    const store = await redis();
    const [one, other] = (await replicas(store, 2)) as [ServerRig, ServerRig];
    const session = await one.initialize({ version: '2025-03-26' });
    const client = await one.legacyClient();
    await left(store, 2);
    // No id, key or token is there to be read.
    expect((await namesIn(store)).join()).not.toContain(session.slice(0, 36));
    await one.server.stopNow();
    const answers = await Promise.all(['a', 'b', 'c'].map((text) => callIn(other, session, echo(text))));
    expect(answers.map(({ status, body }) => [status, (JSON.parse(body) as { id: string }).id])).toEqual([
      [200, 'a'],
      [200, 'b'],
      [200, 'c'],
    ]);
    // Batches exist in that revision alone: it is known to be that one.
    expect((await callIn(other, session, [echo('in a batch')])).body).toMatch(/^\[.*in a batch/);
    expect([
      await metricOf(other, 'mcp_sessions_taken_over_total'),
      await metricOf(other, 'mcp_active_sessions'),
    ]).toEqual([1, 1]);
    await client.close();
  },
);

testWithTools(
  ['redis-server'],
  'its stream is opened there, with numbers that no event of the former server had',
  async () => {
    const store = await redis();
    const [one, other] = (await replicas(store, 2)) as [ServerRig, ServerRig];
    const session = await one.initialize();
    await left(store, 1);
    await one.server.stopNow();
    const stream = await openStream({
      url: other.url,
      headers: {
        authorization: `Bearer ${firstKey}`,
        accept: 'text/event-stream',
        'mcp-session-id': session,
        'last-event-id': '0-57',
      },
    });
    expect(stream.status).toBe(200);
    const asked = await other.post(echo('x'), { 'mcp-session-id': session, accept: 'text/event-stream' });
    expect(asked.body).toMatch(/^id: 1000001-1\d{12}$/m);
    stream.close();
  },
);

describe('a session is not handed over', () => {
  testWithTools(
    ['redis-server'],
    'to another key, after it was ended, or where a backend keeps something for it',
    async () => {
      const store = await redis();
      const [one, other] = (await replicas(store, 2)) as [ServerRig, ServerRig];
      const foreign = await one.initialize();
      const deleted = await one.initialize();
      const logging = await one.initialize();
      await left(store, 3);
      expect((await callIn(other, foreign, echo('x'), secondKey)).status).toBe(404);
      expect(other.log.join('')).toContain('session-of-another-key');
      await one.call({ method: 'DELETE', headers: { authorization: `Bearer ${firstKey}`, 'mcp-session-id': deleted } });
      await callIn(one, logging, { jsonrpc: '2.0', id: 1, method: 'logging/setLevel', params: { level: 'info' } });
      await left(store, 1);
      expect((await callIn(other, deleted)).status).toBe(404);
      expect((await callIn(other, logging)).status).toBe(404);
      // Its own server has it all the same.
      expect((await callIn(one, logging)).status).toBe(200);
      // Whoever may go on with it, may: it was not touched by the wrong key.
      expect((await callIn(other, foreign)).status).toBe(200);
    },
  );

  testWithTools(['redis-server'], 'where the id is none of ours, or of nobody', async () => {
    const store = await redis();
    const [one, other] = (await replicas(store, 2)) as [ServerRig, ServerRig];
    const session = await one.initialize();
    await left(store, 1);
    expect((await callIn(other, 'no-session-of-anybody-0123456789-0123456789')).status).toBe(404);
    expect((await callIn(other, 'short')).status).toBe(404);
    expect((await callIn(other, session)).status).toBe(200);
  });

  testWithTools(['redis-server'], 'from what somebody else has put there', async () => {
    const store = await redis();
    const [one, other] = (await replicas(store, 2)) as [ServerRig, ServerRig];
    const session = await one.initialize();
    await left(store, 1);
    const [name = ''] = await namesIn(store);
    for (const poison of [
      [`SET ${name} rubbish`],
      [`HSET ${name} key extra:first data rubbish moves 1`],
      [`HSET ${name} key extra:first data "{\\"revision\\":\\"1999-01-01\\",\\"clientCapabilities\\":{}}" moves 1`],
      [`HSET ${name} key extra:first data "{\\"revision\\":\\"2025-11-25\\",\\"clientCapabilities\\":[]}" moves 1`],
      [
        `HSET ${name} key extra:first moves rubbish data "{\\"revision\\":\\"2025-11-25\\",\\"clientCapabilities\\":{}}"`,
      ],
    ]) {
      await store.ask(`DEL ${name}`);
      for (const command of poison) await store.ask(command);
      expect((await callIn(other, session)).status).toBe(404);
    }
    expect((await callIn(one, session)).status).toBe(200);
  });
});

testWithTools(
  ['redis-server'],
  'without Redis an unknown session is 404 at once, and sessions are left there again when it is back',
  async () => {
    const store = await redis();
    const [one, other] = (await replicas(store, 2, 20)) as [ServerRig, ServerRig];
    await store.kill();
    await waitUntil(async () => (await metricOf(one, 'mcp_redis_up')) === 0, 15_000);
    const session = await one.initialize();
    expect((await callIn(one, session)).status).toBe(200);
    expect((await callIn(other, session)).status).toBe(404);
    await store.restart();
    await untilUp(one);
    await untilUp(other);
    // Told with the next look at what was used.
    await waitUntil(async () => {
      await callIn(one, session);
      return (await namesIn(store)).length === 1;
    }, 20_000);
    expect((await callIn(other, session)).status).toBe(200);
    // The first one learns that another goes on with it, and lets go; the other's stays.
    await waitUntil(async () => (await metricOf(one, 'mcp_active_sessions')) === 0, 45_000, 'the first one to let go');
    expect((await callIn(other, session)).status).toBe(200);
    expect((await namesIn(store)).length).toBe(1);
  },
  120_000,
);

testWithTools(
  ['redis-server'],
  'with a full Redis and an unwanted stop of it, calls of known sessions do not wait',
  async () => {
    const store = await redis();
    const fake = createFakeBackend();
    const rig = await startRig({
      redis: { url: store.url },
      server: { sessions: { store: 'redis' } },
      backends: [fake],
    });
    opened.push(() => rig.stop());
    await untilUp(rig);
    const session = await rig.initialize();
    await store.ask('CONFIG SET maxmemory 1');
    const second = await rig.initialize();
    store.pause();
    for (const known of [session, second]) {
      const answer = await callIn(rig, known, { jsonrpc: '2.0', id: 1, method: 'ping' });
      expect(answer.status).toBe(200);
    }
    // An unknown one is told so within a moment.
    expect((await callIn(rig, '00000000-0000-4000-8000-000000000000')).status).toBe(404);
    store.resume();
  },
);

test('a session is not gone on with when its key was ended, or this server stops, while it was looked for', () => {
  const log = createLog({ level: 'error', write() {} });
  const given = { revision: '2025-11-25', clientCapabilities: {}, moves: 1 };
  for (const meanwhile of [
    (store: SessionStore) => store.endAllOf('key'),
    (store: SessionStore) => store.close(),
    () => {},
  ]) {
    const store = new SessionStore({ idleSeconds: 60, max: 10 }, log, () => {});
    let answer: (session: typeof given) => void = () => {};
    store.useShared({
      put() {},
      remove() {},
      refresh() {},
      take(_id, _key, found) {
        answer = found;
        return true;
      },
    });
    let found: Session | null | undefined;
    expect(store.recall('id', 'key', (session) => void (found = session))).toBe(true);
    meanwhile(store);
    answer(given);
    expect([found?.id ?? null, store.size]).toEqual(meanwhile.length === 0 ? ['id', 1] : [null, 0]);
    store.close();
  }
});

test('what is no session is none', () => {
  const good = '{"revision":"2025-11-25","clientCapabilities":{"roots":{}}}';
  expect(parseSession([good, 3])).toEqual({ revision: '2025-11-25', clientCapabilities: { roots: {} }, moves: 3 });
  for (const bad of [
    null,
    'foreign',
    [],
    [good],
    [good, '3'],
    [good, 0],
    [good, 1.5],
    ['{', 1],
    ['null', 1],
    ['{"revision":1}', 1],
  ]) {
    expect(parseSession(bad)).toBe(null);
  }
});
