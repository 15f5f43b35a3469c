import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createFakeBackend, echoBackend, type FakeBackend } from '../helpers/fake-backend.ts';
import { readEvents } from '../helpers/read-events.ts';
import { firstKey, secondKey, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
const call = { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'any', arguments: {} } };

let rig: ServerRig;
let backend: FakeBackend;
async function start(options: RigOptions = {}): Promise<void> {
  await rig.stop();
  rig = await startRig({ backends: [backend], ...options });
}
beforeEach(async () => {
  backend = echoBackend();
  rig = await startRig({ backends: [backend] });
});
afterEach(() => rig.stop());

const stream = (session: string, headers: Record<string, string> = {}) =>
  readEvents({ url: rig.url, headers: { authorization: `Bearer ${firstKey}`, 'mcp-session-id': session, ...headers } });

describe('a session', () => {
  test.each(['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'])('is opened for %s', async (version) => {
    const answer = await rig.post({
      jsonrpc: '2.0',
      id: 'a',
      method: 'initialize',
      params: { protocolVersion: version, capabilities: {}, clientInfo: { name: 't', version: '1' } },
    });
    expect(JSON.parse(answer.body)).toEqual({
      jsonrpc: '2.0',
      id: 'a',
      result: {
        protocolVersion: version,
        capabilities: {
          tools: { listChanged: true },
          resources: { listChanged: true, subscribe: true },
          prompts: { listChanged: true },
        },
        serverInfo: { name: 'fake-server', version: '1.2.3' },
        instructions: 'Be kind.',
      },
    });
    expect(answer.headers['mcp-session-id']).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('of an unknown version is offered the newest legacy one', async () => {
    const answer = await rig.post({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2023-01-01', capabilities: {} },
    });
    expect(JSON.parse(answer.body).result.protocolVersion).toBe('2025-11-25');
  });

  test('belongs to the key that made it: another key gets 404 with -32001, and that is logged', async () => {
    const session = await rig.initialize();
    const headers = { 'mcp-session-id': session };
    expect((await rig.post(list, headers)).status).toBe(200);
    const foreign = await rig.post(list, { ...headers, authorization: `Bearer ${secondKey}` });
    expect([foreign.status, JSON.parse(foreign.body).error.code]).toEqual([404, -32_001]);
    expect(rig.log.join('')).toContain('session-of-another-key');
    for (const method of ['GET', 'DELETE']) {
      const other = await rig.call({ method, headers: { ...headers, authorization: `Bearer ${secondKey}` } });
      expect([other.status, JSON.parse(other.body).error.code]).toEqual([404, -32_001]);
    }
  });

  test.each(['unknown', 'constructor', '__proto__', 'x'.repeat(8_000)])(
    'that does not exist is 404 with -32001: %.20s',
    async (id) => {
      const answer = await rig.post(list, { 'mcp-session-id': id });
      expect([answer.status, JSON.parse(answer.body).error.code]).toEqual([404, -32_001]);
    },
  );

  test('id with a line break in it is refused before it is looked at', async () => {
    const text = await new Promise<string>((resolve) => {
      const socket = connect(Number(new URL(rig.url).port), '127.0.0.1', () =>
        socket.write(`POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nmcp-session-id: a\rb\r\ncontent-length: 0\r\n\r\n`),
      );
      let got = '';
      socket.on('data', (chunk) => {
        got += chunk.toString();
      });
      socket.on('close', () => resolve(got));
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
  });

  test('ends with DELETE, and the backend is told', async () => {
    const session = await rig.initialize();
    const headers = { authorization: `Bearer ${firstKey}`, 'mcp-session-id': session };
    expect((await rig.call({ method: 'DELETE', headers })).status).toBe(204);
    expect(backend.endedSessions).toEqual([session]);
    expect((await rig.post(list, headers)).status).toBe(404);
  });

  test('ends after silence', async () => {
    await start({ server: { sessions: { idleSeconds: 5, max: 10 } } });
    const session = await rig.initialize();
    await waitUntil(() => backend.endedSessions.includes(session), 15_000);
    expect((await rig.post(list, { 'mcp-session-id': session })).status).toBe(404);
  });

  test('with an open stream does not end by silence', async () => {
    await start({ server: { sessions: { idleSeconds: 5, max: 10 } } });
    const [watched, silent] = [await rig.initialize(), await rig.initialize()];
    const events = await stream(watched);
    await waitUntil(() => backend.endedSessions.includes(silent), 15_000);
    expect(events.ended).toBe(false);
    expect((await rig.post(list, { 'mcp-session-id': watched })).status).toBe(200);
    events.close();
  });

  test('is refused with 503 and Retry-After when there are as many as there may be, all in use', async () => {
    await start({ server: { sessions: { max: 2, idleSeconds: 60 } } });
    await rig.initialize();
    await rig.initialize();
    const refused = await rig.post({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {} },
    });
    expect(refused.status).toBe(503);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.headers['content-type']).toBe('application/problem+json');
  });

  test('makes room for a new one once it has been silent for a while', async () => {
    await start({ server: { sessions: { max: 2, idleSeconds: 5 } } });
    const first = await rig.initialize();
    await rig.initialize();
    await waitUntil(async () => (await rig.initialize()) !== 'undefined', 10_000);
    expect(backend.endedSessions).toContain(first);
  });
});

describe('requests without a session', () => {
  test('are answered: a client that keeps none can list and call', async () => {
    expect((await rig.post(list)).status).toBe(200);
    expect((await rig.post(call)).status).toBe(200);
  });

  test('cannot subscribe', async () => {
    const answer = await rig.post({ jsonrpc: '2.0', id: 1, method: 'resources/subscribe', params: { uri: 'x:y' } });
    expect(JSON.parse(answer.body).error.code).toBe(-32_600);
  });
});

describe('the stream of a session', () => {
  test('opens with a comment at once and carries change notices', async () => {
    const session = await rig.initialize();
    const events = await stream(session);
    expect(events.headers['content-type']).toBe('text/event-stream');
    expect(events.headers['x-accel-buffering']).toBe('no');
    expect(events.headers['cache-control']).toBe('no-cache, no-transform');
    await waitUntil(() => events.comments.length > 0, 5_000);
    backend.listChanged('tools');
    backend.resourceUpdated('file:///a', session);
    backend.resourceUpdated('file:///b', null);
    backend.resourceUpdated('file:///c', 'someone else');
    const got = await events.take(2);
    expect(got.map(({ data }) => data)).toEqual([
      { jsonrpc: '2.0', method: 'notifications/tools/list_changed' },
      { jsonrpc: '2.0', method: 'notifications/resources/updated', params: { uri: 'file:///a' } },
    ]);
    expect(got.every(({ id }) => id !== null)).toBe(true);
    events.close();
  });

  test('is kept alive with comments', async () => {
    await start({ server: { keepAliveSeconds: 0.05 } });
    const events = await stream(await rig.initialize());
    await waitUntil(() => events.comments.filter((text) => text === 'keep-alive').length >= 3, 5_000);
    events.close();
  });

  test('opened again wins over the old one', async () => {
    const session = await rig.initialize();
    const old = await stream(session);
    const fresh = await stream(session);
    await waitUntil(() => old.ended, 5_000);
    backend.listChanged('prompts');
    expect(await fresh.take(1)).toHaveLength(1);
    fresh.close();
  });

  test('resumes with Last-Event-ID from where it was lost, once each', async () => {
    const session = await rig.initialize();
    const first = await stream(session);
    backend.listChanged('tools');
    const [seen] = await first.take(1);
    first.close();
    backend.listChanged('prompts');
    backend.listChanged('resources');
    const second = await stream(session, { 'last-event-id': String(seen?.id) });
    const got = await second.take(2);
    expect(got.map(({ data }) => data?.['method'])).toEqual([
      'notifications/prompts/list_changed',
      'notifications/resources/list_changed',
    ]);
    second.close();
  });

  test.each(['nonsense', '0-99999999999999999999', '7-1', "0-1'--"])(
    'with the Last-Event-ID %s does no harm',
    async (id) => {
      const events = await stream(await rig.initialize(), { 'last-event-id': id });
      expect(events.status).toBe(200);
      events.close();
    },
  );

  test('is counted against the limit of its key and given back', async () => {
    await start({ limits: { streamsPerKey: 1 } });
    const [one, two] = [await rig.initialize(), await rig.initialize()];
    const events = await stream(one);
    const refused = await rig.call({ headers: { authorization: `Bearer ${firstKey}`, 'mcp-session-id': two } });
    expect(refused.status).toBe(429);
    events.close();
    await waitUntil(async () => {
      const again = await stream(two);
      again.close();
      return again.status === 200;
    }, 5_000);
  });
});

describe('two clients at once', () => {
  test('with equal ids and progress tokens in many sessions each get their own answers', async () => {
    await start({ limits: { perKey: 'off' } });
    const sessions = await Promise.all(Array.from({ length: 20 }, () => rig.initialize()));
    await Promise.all(
      sessions.flatMap((session, number) =>
        Array.from({ length: 25 }, async (_, id) => {
          const mine = { number, id };
          const answer = await rig.post(
            {
              jsonrpc: '2.0',
              id,
              method: 'tools/call',
              params: { name: 'x', arguments: mine, _meta: { progressToken: 1 } },
            },
            { 'mcp-session-id': session },
          );
          const parsed = JSON.parse(answer.body);
          expect([parsed.id, JSON.parse(parsed.result.content[0].text)]).toEqual([id, mine]);
        }),
      ),
    );
  });
});

describe('a backend that is not there yet', () => {
  test('holds initialize back until it is up', async () => {
    backend = createFakeBackend();
    backend.serverInfo = null;
    backend.state = { state: 'starting', since: Date.now() };
    await start();
    const opening = rig.initialize();
    expect((await rig.call({ path: '/readyz', headers: {} })).status).toBe(503);
    backend.serverInfo = { name: 'late', version: '1' };
    backend.setState({ state: 'up', since: Date.now() });
    expect(await opening).toMatch(/^[0-9a-f-]{36}$/);
    expect((await rig.call({ path: '/readyz', headers: {} })).status).toBe(200);
  });

  test('that never was up is a 503 with Retry-After, and /readyz says why to this machine only', async () => {
    backend = createFakeBackend();
    backend.serverInfo = null;
    backend.state = {
      state: 'broken',
      since: 0,
      retryAt: Date.now() + 9_000,
      reason: 'exited with 1',
      lastWords: ['no index'],
    };
    await start();
    const answer = await rig.post({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {} },
    });
    expect([answer.status, Number(answer.headers['retry-after']) <= 9]).toEqual([503, true]);
    const own = await rig.call({ path: '/readyz', headers: {} });
    expect([own.status, own.body]).toEqual([503, expect.stringContaining('no index')]);
    const outside = await rig.call({ path: '/readyz', headers: { 'x-forwarded-for': '10.0.0.1' } });
    expect(outside.body).not.toContain('no index');
  });
});
