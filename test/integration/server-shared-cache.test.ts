import { afterEach, expect } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { fixture } from '../fixtures/upstreams/backend-calls.ts';
import { startHttpFixture } from '../fixtures/upstreams/http-servers.ts';
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

type Server = NonNullable<DeploymentInput['server']>;

type Rules = Record<string, { readonly ttlSeconds: number; readonly public?: boolean }>;

/** @param storeWaitMs longer than a busy machine may need, where nothing is said of slowness */
async function replica(
  { url }: RealRedis,
  upstreams: Server['upstreams'],
  tools: Rules,
  storeWaitMs = 1_000,
): Promise<ServerRig> {
  const cache = { store: 'redis', storeWaitMs, tools } as const;
  const rig = await startRig({ redis: { url }, server: { upstreams, cache } });
  opened.push(() => rig.stop());
  await waitUntil(async () => (await metricsOf(rig)).includes('mcp_redis_up 1\n'), 15_000);
  return rig;
}

const metricsOf = async (rig: ServerRig): Promise<string> => (await rig.call({ path: '/metrics' })).body;
async function counted(rig: ServerRig, what: 'lookups' | 'writes', result: string): Promise<number> {
  const line = new RegExp(`^mcp_cache_shared_${what}_total\\{result="${result}"\\} (\\d+)$`, 'm');
  return Number(line.exec(await metricsOf(rig))?.[1] ?? 'NaN');
}

async function call(rig: ServerRig, name: string, args: unknown = {}, key = firstKey): Promise<string> {
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } };
  const answer = await rig.post(message, { authorization: `Bearer ${key}`, accept: 'application/json' });
  const { result } = JSON.parse(answer.body) as { result?: { content: { text: string }[] } };
  return result?.content[0]?.text ?? answer.body;
}

/** An upstream that numbers its answers over all who ask. */
async function counter(): Promise<{ readonly upstreams: Server['upstreams']; readonly calls: () => number }> {
  let calls = 0;
  const far = await startHttpFixture((message, response, body) => {
    const { id, method } = JSON.parse(body === '' ? '{}' : body) as { id?: number; method?: string };
    if (message.method !== 'POST') return void response.writeHead(405).end();
    if (id === undefined) return void response.writeHead(202).end();
    const result =
      method === 'initialize'
        ? {
            protocolVersion: '2025-06-18',
            capabilities: { tools: {} },
            serverInfo: { name: 'far', version: '1' },
          }
        : { content: [{ type: 'text', text: `answer ${method === 'tools/call' ? ++calls : 0}` }] };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id, result }));
  });
  opened.push(() => far.stop());
  return { upstreams: { far: { url: far.url } }, calls: () => calls };
}

/** Names of the answers that Redis keeps. */
async function answersIn(store: RealRedis): Promise<readonly string[]> {
  return (await store.ask('KEYS *:answer:*')).split('\r\n').filter((line) => line.includes(':answer:'));
}

testWithTools(['redis-server'], 'two replicas share an answer: of one key, or of all where it is public', async () => {
  const store = await redis();
  const { upstreams, calls } = await counter();
  const tools = { own: { ttlSeconds: 60 }, open: { ttlSeconds: 60, public: true } };
  const [one, other] = [await replica(store, upstreams, tools), await replica(store, upstreams, tools)];
  expect(await call(one, 'own', { q: 1 })).toBe('answer 1');
  await waitUntil(async () => (await counted(one, 'writes', 'written')) === 1, 5_000);
  expect(await call(other, 'own', { q: 1 })).toBe('answer 1');
  expect(await counted(other, 'lookups', 'hit')).toBe(1);
  // From its own memory now.
  expect(await call(other, 'own', { q: 1 })).toBe('answer 1');
  expect(calls()).toBe(1);
  expect(await metricsOf(other)).toContain('mcp_cache_misses_total{upstream="far"} 0');
  expect(await call(other, 'own', { q: 1 }, secondKey)).toBe('answer 2');
  expect(await call(other, 'own', { q: 2 })).toBe('answer 3');
  expect(await call(one, 'open')).toBe('answer 4');
  await waitUntil(async () => (await counted(one, 'writes', 'written')) === 2, 5_000);
  expect(await call(other, 'open', {}, secondKey)).toBe('answer 4');
  const [name = ''] = await answersIn(store);
  const left = Number((await store.ask(`PTTL ${name}`)).slice(1));
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThanOrEqual(60_000);
});

testWithTools(['redis-server'], 'an answer ends with its time, also where it came from another replica', async () => {
  const store = await redis();
  const { upstreams } = await counter();
  const tools = { work: { ttlSeconds: 1 } };
  const [one, other] = [await replica(store, upstreams, tools), await replica(store, upstreams, tools)];
  expect(await call(one, 'work')).toBe('answer 1');
  await call(other, 'work');
  await waitUntil(async () => (await answersIn(store)).length === 0, 10_000);
  expect(await call(other, 'work')).not.toBe('answer 1');
});

testWithTools(['redis-server'], 'what one replica forgets, all forget, memories included', async () => {
  const store = await redis();
  const upstreams = { main: { command: process.execPath, args: [fixture('server.mjs')] } };
  const tools = { pid: { ttlSeconds: 600 } };
  const [one, other] = [await replica(store, upstreams, tools), await replica(store, upstreams, tools)];
  const pid = await call(one, 'pid');
  await waitUntil(async () => (await counted(one, 'writes', 'written')) === 1, 5_000);
  expect(await call(other, 'pid')).toBe(pid);
  await call(one, 'die');
  // It has a process of its own, which nothing happened to.
  await waitUntil(async () => {
    const now = await call(other, 'pid');
    return /^\d+$/.test(now) && now !== pid;
  }, 10_000);
});

testWithTools(['redis-server'], 'without Redis, and with a full one, every replica keeps its own', async () => {
  const store = await redis();
  const { upstreams } = await counter();
  const rig = await replica(store, upstreams, { work: { ttlSeconds: 600 } }, 25);
  let question = 0;
  const ask = async (): Promise<void> => expect(await call(rig, 'work', { q: ++question })).toBe(`answer ${question}`);
  const askUntil = (isSo: () => Promise<boolean>): Promise<void> =>
    waitUntil(async () => {
      await ask();
      return isSo();
    }, 15_000);
  await askUntil(async () => (await counted(rig, 'writes', 'written')) > 0);
  await store.ask('CONFIG SET maxmemory 1');
  await askUntil(async () => (await counted(rig, 'writes', 'failed')) > 0);
  store.pause();
  const skipped = await counted(rig, 'lookups', 'skipped');
  for (let count = 0; count < 12; count++) await ask();
  // A few waited a little, the others not at all.
  expect(await counted(rig, 'lookups', 'skipped')).toBeGreaterThan(skipped);
  store.resume();
  await store.kill();
  await waitUntil(async () => (await metricsOf(rig)).includes('mcp_redis_up 0\n'), 15_000);
  await ask();
  expect(await call(rig, 'work', { q: question })).toBe(`answer ${question}`);
  await store.restart();
  await askUntil(async () => (await answersIn(store)).length > 0);
});

testWithTools(['redis-server'], 'what somebody else has put into Redis is no answer', async () => {
  const store = await redis();
  const { upstreams, calls } = await counter();
  const tools = { work: { ttlSeconds: 600 } };
  const one = await replica(store, upstreams, tools);
  expect(await call(one, 'work')).toBe('answer 1');
  await waitUntil(async () => (await answersIn(store)).length === 1, 5_000);
  const [name = ''] = await answersIn(store);
  const poison = [`SET ${name} rubbish PX 60000`, `SETRANGE ${name} 1100000 x`, `HSET ${name} a b`];
  for (const [at, command] of poison.entries()) {
    await store.ask(`DEL ${name}`);
    await store.ask(command);
    const next = await replica(store, upstreams, tools);
    expect(await call(next, 'work')).toBe(`answer ${at + 2}`);
    expect(await counted(next, 'lookups', 'hit')).toBe(0);
  }
  expect(calls()).toBe(4);
});
