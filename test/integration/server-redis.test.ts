import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { startRedis, type RealRedis } from '../helpers/redis.ts';
import { startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { testWithTools } from '../helpers/tools.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { openWorkersHouse, postMessage, toolCall, workersMetrics } from '../helpers/workers-house.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const running: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of running.splice(0).toReversed()) await one.stop();
});

async function redis(...given: Parameters<typeof startRedis>): Promise<RealRedis> {
  const started = await startRedis(...given);
  running.push({ stop: () => started.close() });
  return started;
}

type RedisInput = Exclude<DeploymentInput['redis'], 'off' | undefined>;

async function replica(settings: RedisInput, limits: RigOptions['limits'], isUp = true): Promise<ServerRig> {
  const rig = await startRig({ redis: settings, limits });
  running.push(rig);
  if (isUp) await untilUp(rig, 1);
  return rig;
}

const metricsOf = async (rig: ServerRig): Promise<string> => (await rig.call({ path: '/metrics' })).body;
async function untilUp(rig: ServerRig, value: 0 | 1): Promise<void> {
  await waitUntil(async () => (await metricsOf(rig)).includes(`mcp_redis_up ${value}\n`), 15_000);
}

async function callEcho(rig: ServerRig): Promise<number> {
  const params = { name: 'echo', arguments: { message: 'x' } };
  return (await rig.post({ jsonrpc: '2.0', id: 1, method: 'tools/call', params })).status;
}

/** So many of the calls were let through; they come one after the other, to each replica in turn. */
async function passes(rigs: readonly ServerRig[], calls: number): Promise<number> {
  let passed = 0;
  for (let at = 0; at < calls; at++) {
    const rig = rigs[at % rigs.length];
    if (rig !== undefined && (await callEcho(rig)) === 200) passed++;
  }
  return passed;
}

const fixed = (requests: number): RigOptions['limits'] => ({
  perKey: { requests, windowMs: 600_000, form: 'fixed-window' },
});

testWithTools(
  ['redis-server'],
  'two replicas keep one limit, and a third that starts later knows what is used',
  async () => {
    const { url } = await redis();
    const two = [await replica({ url }, fixed(60)), await replica({ url }, fixed(60))];
    const passed = await passes(two, 200);
    // One alone lets 60 through; the two may tell each other late, by an eighth of the limit each.
    expect(passed).toBeGreaterThanOrEqual(60);
    expect(passed).toBeLessThanOrEqual(60 + 2 * 8);
    const third = await replica({ url }, fixed(60));
    await callEcho(third);
    await waitUntil(async () => (await callEcho(third)) === 429, 5_000);
    expect(await passes([third], 10)).toBe(0);
  },
);

testWithTools(['redis-server'], 'a token bucket is one bucket over two replicas', async () => {
  const { url } = await redis();
  const slow: RigOptions['limits'] = { perKey: { requests: 40, windowSeconds: 3_600, burst: 40 } };
  const two = [await replica({ url }, slow), await replica({ url }, slow)];
  const passed = await passes(two, 160);
  expect(passed).toBeGreaterThanOrEqual(40);
  expect(passed).toBeLessThanOrEqual(40 + 2 * 5 + 2);
});

testWithTools(['redis-server'], 'open: killed, paused and full, every replica goes on with its own limit', async () => {
  const store = await redis();
  const { url } = store;
  const rig = await replica({ url, whenDown: 'open' }, fixed(10_000));
  expect(await passes([rig], 3)).toBe(3);
  store.pause();
  const started = performance.now();
  expect(await passes([rig], 20)).toBe(20);
  // No call waits for the answer that does not come, which is given up after a second.
  expect(performance.now() - started).toBeLessThan(20 * 1_000);
  await untilUp(rig, 0);
  store.resume();
  await untilUp(rig, 1);
  await waitUntil(() => rig.log.join('').includes('limits.counted-together'), 10_000);
  await store.kill();
  await untilUp(rig, 0);
  expect(await passes([rig], 5)).toBe(5);
  await store.restart();
  await untilUp(rig, 1);
  expect(await store.ask('CONFIG SET maxmemory 1')).toContain('OK');
  const errors = async (): Promise<number> =>
    Number(/^mcp_redis_errors_total (\d+)$/m.exec(await metricsOf(rig))?.[1] ?? 'NaN');
  const before = await errors();
  expect(await passes([rig], 5)).toBe(5);
  await waitUntil(async () => (await errors()) > before, 5_000);
  // A line a second at most: the one that says why may be a later one.
  await waitUntil(async () => (await callEcho(rig)) === 200 && rig.log.join('').includes('OOM'), 10_000);
  expect(rig.log.join('')).not.toContain('EVALSHA');
});

testWithTools(
  ['redis-server'],
  'closed: calls get 503 with Retry-After after the grace, discovery does not; then all is well again',
  async () => {
    const store = await redis();
    const rig = await replica({ url: store.url, whenDown: 'closed', graceSeconds: 0.3 }, fixed(10_000));
    await waitUntil(async () => (await callEcho(rig)) === 200, 5_000);
    await store.kill();
    await waitUntil(async () => (await callEcho(rig)) === 503, 10_000);
    const params = { name: 'echo', arguments: { message: 'x' } };
    const refused = await rig.post({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
    expect(refused.headers['retry-after']).toBe('5');
    expect(refused.headers['content-type']).toBe('application/problem+json');
    expect((await rig.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' })).status).toBe(200);
    await store.restart();
    await waitUntil(async () => (await callEcho(rig)) === 200, 15_000);
    // Full: it answers, but takes nothing that is written.
    await store.ask('CONFIG SET maxmemory 1');
    await waitUntil(async () => (await callEcho(rig)) === 503, 10_000);
    await store.ask('CONFIG SET maxmemory 0');
    await waitUntil(async () => (await callEcho(rig)) === 200, 15_000);
  },
);

testWithTools(['redis-server'], 'a server starts without its Redis and uses it when it comes', async () => {
  const store = await redis();
  await store.kill();
  const rig = await replica({ url: store.url }, fixed(100), false);
  expect(await callEcho(rig)).toBe(200);
  await store.restart();
  await untilUp(rig, 1);
});

testWithTools(['redis-server'], 'over TLS with an authority of its own, with a password', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-redis-tls-'));
  running.push({ stop: async () => rmSync(folder, { recursive: true, force: true }) });
  const issued = await issueSelfSigned({ names: ['127.0.0.1'], validDays: 10 });
  writeFileSync(join(folder, 'crt.pem'), issued.certificatePem);
  writeFileSync(join(folder, 'key.pem'), issued.keyPem);
  const store = await redis(
    [
      `tls-cert-file ${join(folder, 'crt.pem')}`,
      `tls-key-file ${join(folder, 'key.pem')}`,
      'tls-auth-clients no',
      'requirepass s3cret-canary',
    ],
    false,
    true,
  );
  const url = `rediss://:s3cret-canary@127.0.0.1:${store.port}`;
  const rig = await startRig({
    redis: { url: '${URL}', caFile: join(folder, 'crt.pem') },
    limits: fixed(3),
    redisUrl: url,
  });
  running.push(rig);
  await untilUp(rig, 1);
  expect(await passes([rig], 5)).toBe(3);
  expect(rig.log.join('')).not.toContain('s3cret-canary');
});

testWithTools(['redis-server'], 'two workers of one server keep one limit, and both are connected', async () => {
  const { url } = await redis();
  const house = openWorkersHouse(await buildServerBundle());
  running.push({ stop: () => house.close() });
  const limits = { freePerKey: 'off', perKey: { requests: 64, windowMs: 600_000, form: 'fixed-window' } };
  const workers = await house.serve(2, { redis: { url }, limits });
  await waitUntil(async () => (await workersMetrics(workers.url)).includes('mcp_redis_up 1\n'), 15_000);
  let passed = 0;
  for (let at = 0; at < 200; at++) {
    const answer = await postMessage(workers.url, toolCall('echo', { message: 'x' }, at));
    if (answer.status === 200) passed++;
  }
  // By each worker, an eighth that the other has not heard of.
  expect(passed).toBeGreaterThanOrEqual(64);
  expect(passed).toBeLessThanOrEqual(64 + 2 * 9);
});
