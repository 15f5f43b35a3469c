import { afterEach, describe, expect, test } from 'vitest';
import type { BackendCall } from '../../src/server/types.ts';
import { createFakeBackend, echoBackend, type FakeBackend } from '../helpers/fake-backend.ts';
import { readEvents, type EventReader } from '../helpers/read-events.ts';
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

const as = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });

describe('calls that wait for an answer of their client', () => {
  const mayBeAsked = { elicitation: {} };

  async function park(rig: ServerRig, backend: FakeBackend, key: string, padding: number): Promise<string> {
    const before = backend.open.length;
    const { message, headers } = modernRequest(
      1,
      'tools/call',
      { name: 'any', arguments: { padding: 'x'.repeat(padding) } },
      mayBeAsked,
    );
    const answer = rig.post(message, { ...as(key), ...headers });
    await waitUntil(() => backend.open.length > before, 5_000, 'the call');
    const call = backend.open.at(-1) as BackendCall;
    const schema = { type: 'object', properties: {} };
    call.onServerRequest('elicitation/create', { message: 'a', requestedSchema: schema }, (reply) => {
      if ('result' in reply) call.onResult('{"content":[]}');
    });
    return String(JSON.parse((await answer).body).result.requestState);
  }

  async function goOn(rig: ServerRig, key: string, requestState: string): Promise<Record<string, unknown>> {
    const params = { name: 'any', arguments: {}, requestState, inputResponses: { q1: { action: 'accept' } } };
    const { message, headers } = modernRequest(2, 'tools/call', params, mayBeAsked);
    return JSON.parse((await rig.post(message, { ...as(key), ...headers })).body) as Record<string, unknown>;
  }

  test('hold a bounded size: the oldest of the same key goes first, and those of other keys stay', async () => {
    const backend = createFakeBackend(({ method }) => (method === 'tools/call' ? null : '{}'));
    const rig = await start({ backends: [backend] });
    const theirs = await park(rig, backend, secondKey, 10);
    const mine = [];
    for (let count = 0; count < 4; count++) mine.push(await park(rig, backend, firstKey, 3_000_000));
    expect(backend.cancelled).toEqual(Array.from({ length: 2 }, () => 'the client did not come back with its answer'));
    expect(await goOn(rig, firstKey, mine[0] ?? '')).toMatchObject({ error: { code: -32_602 } });
    expect(await goOn(rig, firstKey, mine[3] ?? '')).toMatchObject({ result: { content: [] } });
    expect(await goOn(rig, secondKey, theirs)).toMatchObject({ result: { content: [] } });
  });

  test('are bounded in number for each key', async () => {
    const backend = createFakeBackend(({ method }) => (method === 'tools/call' ? null : '{}'));
    const rig = await start({ backends: [backend], limits: { perKey: 'off' } });
    const theirs = await park(rig, backend, secondKey, 10);
    for (let count = 0; count < 255; count++) await park(rig, backend, firstKey, 1);
    expect(backend.cancelled).toHaveLength(5);
    expect(await goOn(rig, secondKey, theirs)).toMatchObject({ result: { content: [] } });
  }, 30_000);
});

test('a key that fills what is kept for resumption leaves other clients their events', async () => {
  const backend = echoBackend();
  const rig = await start({ backends: [backend] });
  const watch = (key: string, session: string, last?: string): Promise<EventReader> =>
    readEvents({
      url: rig.url,
      headers: { ...as(key), 'mcp-session-id': session, ...(last === undefined ? {} : { 'last-event-id': last }) },
    });
  const streams = async (count: string): Promise<boolean> => {
    const { body } = await rig.call({ path: '/metrics', headers: {} });
    return body.includes(`mcp_sse_connections_active ${count}\n`);
  };
  const large = `file:///${'x'.repeat(1_000_000)}`;
  for (let count = 0; count < 70; count++) {
    const session = await rig.initialize();
    const stream = await watch(firstKey, session);
    stream.close();
    await waitUntil(() => streams('0'), 5_000, 'the end of the stream');
    backend.resourceUpdated(large, session);
  }
  const session = await rig.initialize({ key: secondKey });
  const first = await watch(secondKey, session);
  backend.resourceUpdated('file:///seen', session);
  const [seen] = await first.take(1);
  first.close();
  await waitUntil(() => streams('0'), 5_000, 'the end of the stream');
  backend.resourceUpdated('file:///missed', session);
  const again = await watch(secondKey, session, String(seen?.id));
  cleanUps.push(() => again.close());
  const [missed] = await again.take(1);
  expect(missed?.data?.['params']).toEqual({ uri: 'file:///missed' });
}, 30_000);

describe('behind a proxy on the same machine that adds no header', () => {
  const behind = { behindProxy: true } as const;

  test('metrics and status need a key', async () => {
    const rig = await start({ server: behind });
    for (const path of ['/metrics', '/status']) {
      expect((await rig.call({ path, headers: {} })).status, path).toBeGreaterThanOrEqual(401);
      expect((await rig.call({ path, headers: as('guess-0123456789abcdef') })).status, path).toBeGreaterThanOrEqual(
        401,
      );
      expect((await rig.call({ path, headers: as(firstKey) })).status, path).toBe(200);
    }
  });

  test('/readyz tells whether, not why', async () => {
    const backend = createFakeBackend();
    backend.setState({ state: 'down', since: 0, retryAt: 0, reason: 'it broke', lastWords: ['words'] });
    const rig = await start({ backends: [backend], server: behind });
    const answer = await rig.call({ path: '/readyz', headers: {} });
    expect([answer.status, answer.body.includes('words')]).toEqual([503, false]);
  });

  test.each([
    ['an address that is named', ['127.0.0.0/8'], {}, 200],
    ['another address', ['10.0.0.0/8'], {}, 403],
    ['the word loopback', ['loopback', 'unix'], {}, 403],
    ['a client of an allowed network through the proxy', ['10.0.0.0/8'], { 'x-forwarded-for': '10.1.2.3' }, 200],
    ['a client of another network through the proxy', ['10.0.0.0/8'], { 'x-forwarded-for': '203.0.113.9' }, 403],
    ['a client that wrote the header itself', ['10.0.0.0/8'], { 'x-forwarded-for': '10.1.2.3, 203.0.113.9' }, 403],
    ['a proxy that names no client', ['127.0.0.0/8'], { 'x-forwarded-proto': 'https' }, 403],
    ['a client that says that it is this machine', ['127.0.0.0/8'], { 'x-forwarded-for': '127.0.0.1' }, 403],
  ] as const)('metrics for %s', async (_title, metricsFrom, headers, status) => {
    const server = { ...behind, metricsFrom: [...metricsFrom], trustedProxies: ['loopback'] };
    const rig = await start({ server });
    expect((await rig.call({ path: '/metrics', headers })).status).toBe(status);
  });
});

test('metrics for networks: a header of a peer that is no trusted proxy opens nothing', async () => {
  const rig = await start({ server: { metricsFrom: ['10.0.0.0/8'] } });
  expect((await rig.call({ path: '/metrics', headers: { 'x-forwarded-for': '10.1.2.3' } })).status).toBe(403);
  expect((await rig.call({ path: '/metrics', headers: {} })).status).toBe(403);
});

test.each([
  [['nonsense'], 'server.metricsFrom'],
  [['0.0.0.0/0'], 'every address'],
  [['::/0'], 'every address'],
])('metrics for %j: the server does not start', async (metricsFrom, words) => {
  const failure = await startRig({ server: { metricsFrom } }).then(
    (rig) => rig.stop().then(() => null),
    (error: unknown) => error as Error & { why?: string },
  );
  expect(`${failure?.message} ${failure?.why}`).toContain(words);
});
