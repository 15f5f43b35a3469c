import { afterEach, expect } from 'vitest';
import { createLog } from '../../src/server/observe/log.ts';
import { createRedisHoldings } from '../../src/server/shared-state/redis-holdings.ts';
import { createSharedRedis } from '../../src/server/shared-state/shared-redis.ts';
import { createFakeBackend, type FakeBackend } from '../helpers/fake-backend.ts';
import type { HttpAnswer } from '../helpers/http-call.ts';
import { startRedis, type RealRedis } from '../helpers/redis.ts';
import { firstKey, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { startTokenIssuer } from '../helpers/token-issuer.ts';
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

/** A replica whose calls are answered by the test. */
async function replica(
  store: RealRedis,
  limits: RigOptions['limits'] = {},
): Promise<{ readonly rig: ServerRig; readonly fake: FakeBackend }> {
  const fake = createFakeBackend();
  const rig = await startRig({ redis: { url: store.url }, limits, backends: [fake], upgradeAfterMs: 60_000 });
  opened.push(() => rig.stop());
  const isUp = async (): Promise<boolean> => (await rig.call({ path: '/metrics' })).body.includes('mcp_redis_up 1\n');
  await waitUntil(isUp, 15_000);
  return { rig, fake };
}

function call({ rig }: { readonly rig: ServerRig }, name = 'slow'): Promise<HttpAnswer> {
  return rig.post({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: {} } });
}

function answerAll({ fake }: { readonly fake: FakeBackend }): void {
  for (const one of fake.open.splice(0)) one.onResult('{"content":[]}');
}

type Replica = Awaited<ReturnType<typeof replica>>;

/** Calls, and answers at once if it is let through. */
async function callThrough(one: Replica, name?: string): Promise<HttpAnswer> {
  let isDone = false;
  const calling = call(one, name).finally(() => {
    isDone = true;
  });
  await waitUntil(() => {
    answerAll(one);
    return isDone;
  }, 10_000);
  return calling;
}

/** Calls until an answer has this status. */
async function untilStatus(one: Replica, status: number, name?: string): Promise<HttpAnswer> {
  let answer = await callThrough(one, name);
  await waitUntil(async () => {
    if (answer.status !== status) answer = await callThrough(one, name);
    return answer.status === status;
  }, 15_000);
  return answer;
}

testWithTools(['redis-server'], 'wrong keys at one replica make the address wait at another', async () => {
  const store = await redis();
  const [one, other] = [await replica(store), await replica(store)];
  const guess = async ({ rig }: { readonly rig: ServerRig }): Promise<number> =>
    (await rig.post({ jsonrpc: '2.0', id: 1, method: 'ping' }, { authorization: 'Bearer wrong-key-0123456789' }))
      .status;
  const known = async (): Promise<number> => {
    const names = (await store.ask('KEYS *:wrong-keys:*')).split('\r\n');
    const name = names.find((line) => line.includes('wrong')) ?? 'none';
    return Number((await store.ask(`GET ${name}`)).split('\r\n')[1] ?? '0');
  };
  for (let count = 0; count < 12; count++) await guess(one);
  await waitUntil(async () => (await known()) >= 12, 10_000);
  // The first is a slip as far as this one knows; alone it would take eleven.
  const answers = [await guess(other)];
  await waitUntil(async () => (await known()) >= 13, 10_000);
  for (let count = 0; count < 5; count++) answers.push(await guess(other));
  expect(answers[0]).toBe(401);
  expect(answers.at(-1)).toBe(429);
});

testWithTools(
  ['redis-server'],
  'wrong tokens at one replica make the address wait at another, and without Redis each slows it down alone',
  async () => {
    const store = await redis();
    const issuer = await startTokenIssuer();
    opened.push(() => issuer.close());
    const audience = 'https://mcp.example.com/mcp';
    const start = async (): Promise<ServerRig> => {
      const rig = await startRig({
        backends: [createFakeBackend()],
        redis: { url: store.url },
        auth: { oauth: { issuer: issuer.url } },
        server: { publicUrl: audience },
      });
      opened.push(() => rig.stop());
      await waitUntil(
        async () => (await rig.call({ path: '/metrics' })).body.includes('mcp_redis_up 1\n'),
        15_000,
        'Redis to be connected',
      );
      return rig;
    };
    const [one, other, third] = [await start(), await start(), await start()];
    const send = async (rig: ServerRig, token: string): Promise<number> =>
      (await rig.post({ jsonrpc: '2.0', id: 1, method: 'ping' }, { authorization: `Bearer ${token}` })).status;
    const wrong = await issuer.sign({ claims: { aud: 'https://other.example.com/mcp' } });
    for (let count = 0; count < 12; count++) await send(one, wrong);
    await waitUntil(async () => (await store.ask('KEYS *:wrong-tokens:*')).includes('127.0.0.1'), 10_000);
    // The first is a slip as far as this one knows; alone it would take eleven.
    const answers = [await send(other, wrong)];
    await waitUntil(async () => {
      answers.push(await send(other, wrong));
      return answers.at(-1) === 429 || answers.length > 10;
    }, 10_000);
    expect([answers[0], answers.at(-1)]).toEqual([401, 429]);
    expect(answers.length).toBeLessThan(11);
    // A good one is let in all the same, and a wrong key is another matter.
    expect(await send(other, await issuer.sign({ claims: { aud: audience } }))).toBe(200);

    await store.kill();
    const alone: number[] = [];
    for (let count = 0; count < 12; count++) alone.push(await send(third, wrong));
    expect([alone[0], alone.at(-1)]).toEqual([401, 429]);
    expect(await send(third, await issuer.sign({ claims: { aud: audience } }))).toBe(200);
  },
);

testWithTools(
  ['redis-server'],
  'calls in flight of a key are counted over replicas, and room is made again',
  async () => {
    const store = await redis();
    const limits = { concurrencyPerKey: 4 };
    const [one, other] = [await replica(store, limits), await replica(store, limits)];
    const waiting = [call(one), call(one), call(one), call(one)];
    await waitUntil(() => one.fake.open.length === 4, 10_000);
    const refused = await untilStatus(other, 429);
    expect(refused.body).toContain('A key may have 4 calls in flight');
    expect(refused.headers['retry-after']).toBe('1');
    answerAll(one);
    await Promise.all(waiting);
    await untilStatus(other, 200);
  },
);

testWithTools(['redis-server'], 'calls in flight of a tool, and open streams of a key, too', async () => {
  const store = await redis();
  const limits = { perTool: { slow: { concurrency: 2 } }, streamsPerKey: 2 };
  const [one, other] = [await replica(store, limits), await replica(store, limits)];
  const waiting = [call(one), call(one)];
  await waitUntil(() => one.fake.open.length === 2, 10_000);
  expect((await untilStatus(other, 429)).body).toContain('calls of slow may be in flight');
  const answered = call(other, 'quick');
  await waitUntil(() => other.fake.open.length === 1, 10_000);
  answerAll(other);
  expect((await answered).status).toBe(200);
  answerAll(one);
  await Promise.all(waiting);

  const open = async ({ rig }: { readonly rig: ServerRig }, session: string): Promise<Response> => {
    const headers = { authorization: `Bearer ${firstKey}`, accept: 'text/event-stream', 'mcp-session-id': session };
    return fetch(rig.url, { headers });
  };
  const streams: Response[] = [];
  opened.push(async () => {
    for (const stream of streams) await stream.body?.cancel();
  });
  for (let count = 0; count < 2; count++) streams.push(await open(one, await one.rig.initialize()));
  expect(streams.map(({ status }) => status)).toEqual([200, 200]);
  await waitUntil(async () => {
    const stream = await open(other, await other.rig.initialize());
    await stream.body?.cancel();
    return stream.status === 429;
  }, 15_000);
});

testWithTools(['redis-server'], 'what a process held that is gone counts no more when its lease ends', async () => {
  const store = await redis();
  const log = createLog({ level: 'error', write() {} });
  const target = { options: { host: '127.0.0.1', port: store.port }, prefix: 'test:', shown: 'test' };
  const open = (name: string, held: () => number) => {
    const shared = createSharedRedis(target, log);
    const holdings = createRedisHoldings(shared, name, { tellMs: 20, leaseMs: 600 });
    const close = (): void => {
      holdings.close();
      shared.close();
    };
    opened.push(() => Promise.resolve(close()));
    return { calls: holdings.kind('calls', held), close };
  };
  const one = open('one', () => 3);
  const other = open('other', () => 1);
  one.calls.elsewhere('key', 3, 4);
  await waitUntil(() => other.calls.elsewhere('key', 1, 4) === 3, 10_000);
  expect(await store.ask('HGET test:held:calls:key one')).toContain('3:');
  one.close();
  await waitUntil(() => other.calls.elsewhere('key', 1, 4) === 0, 10_000);
  expect(await store.ask('HGET test:held:calls:key one')).toBe('$-1\r\n');
  // What somebody else writes there is no number of calls.
  for (const [field, value] of [
    ['x', 'rubbish'],
    ['y', '99999999999:99999999999999'],
    ['z', '5:99999999999999'],
  ]) {
    await store.ask(`HSET test:held:calls:key ${field} ${value}`);
  }
  await waitUntil(() => other.calls.elsewhere('key', 1, 4) === 5, 10_000);
  await store.ask('DEL test:held:calls:key');
  await store.ask('SET test:held:calls:key rubbish');
  await waitUntil(() => other.calls.elsewhere('key', 1, 4) === 0, 10_000);
  // Without Redis what was known of others ends with its lease too.
  await store.ask('HSET test:held:calls:key z 5:99999999999999');
  await waitUntil(() => other.calls.elsewhere('key', 1, 4) === 5, 10_000);
  await store.kill();
  await waitUntil(() => other.calls.elsewhere('key', 1, 4) === 0, 10_000);
});
