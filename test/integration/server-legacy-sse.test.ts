import { afterEach, describe, expect, test } from 'vitest';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { CreateMessageRequestSchema, ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { createFakeBackend, echoBackend, type FakeBackend } from '../helpers/fake-backend.ts';
import { openStream, type TimedStream } from '../helpers/http-call.ts';
import { firstKey, secondKey, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

let rig: ServerRig | null = null;
const streams: TimedStream[] = [];
const clients: Client[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  for (const stream of streams.splice(0)) stream.close();
  await rig?.stop();
  rig = null;
});

const paths = { sse: '/sse', messages: '/messages' };

async function start(options: RigOptions & { server?: object } = {}): Promise<ServerRig> {
  rig = await startRig({
    backends: [echoBackend()],
    ...options,
    server: { listen: '127.0.0.1:0', legacySse: paths, ...options.server },
  });
  return rig;
}

async function connect(from: ServerRig, path = '/sse', capabilities = {}): Promise<Client> {
  const client = new Client({ name: 'sse', version: '1' }, { capabilities });
  const headers = { authorization: `Bearer ${firstKey}` };
  await client.connect(
    new SSEClientTransport(new URL(from.origin + path), {
      requestInit: { headers },
      eventSourceInit: { fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }) },
    }),
  );
  clients.push(client);
  return client;
}

/** Opens a stream by hand and gives the path to post to. */
async function open(from: ServerRig, headers: Record<string, string> = {}) {
  const stream = await openStream({
    url: `${from.origin}/sse`,
    headers: { authorization: `Bearer ${firstKey}`, accept: 'text/event-stream', ...headers },
  });
  streams.push(stream);
  const endpoint = () => /event: endpoint\ndata: (\S+)\n\n/.exec(stream.received())?.[1];
  if (stream.status === 200) await waitUntil(() => endpoint() !== undefined, 5_000, 'the endpoint event');
  return { stream, path: endpoint() ?? '' };
}

const post = (from: ServerRig, path: string, message: unknown, key = firstKey) =>
  from.call({
    method: 'POST',
    path,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: typeof message === 'string' ? message : JSON.stringify(message),
  });
const ping = { jsonrpc: '2.0', id: 5, method: 'ping' };
const toolCall = { jsonrpc: '2.0', id: 6, method: 'tools/call', params: { name: 'echo', arguments: { a: 1 } } };

describe('the HTTP+SSE transport', () => {
  test.each([
    ['/sse', paths],
    ['/events', { sse: '/events', messages: '/message' }],
    ['/mcp/sse', { sse: '/mcp/sse', messages: '/mcp/messages' }],
  ])('on %s serves the client of the 1.x SDK', async (path, legacySse) => {
    const client = await connect(await start({ server: { legacySse } }), path);
    expect(client.getServerVersion()?.name).toBe('fake-server');
    expect((await client.listTools()).tools).toEqual([]);
    const answer = await client.callTool({ name: 'echo', arguments: { text: 'over the stream' } });
    expect(JSON.stringify(answer)).toContain('over the stream');
  });

  test('carries questions to the client and notices that belong to no call', async () => {
    const backend: FakeBackend = createFakeBackend();
    const client = await connect(await start({ backends: [backend] }), '/sse', { sampling: {} });
    client.setRequestHandler(CreateMessageRequestSchema, () => ({
      role: 'assistant',
      model: 'm',
      content: { type: 'text', text: 'mine' },
    }));
    let changed = 0;
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => void changed++);
    const calling = client.callTool({ name: 'ask', arguments: {} });
    await waitUntil(() => backend.open.some(({ method }) => method === 'tools/call'), 5_000);
    const call = backend.open.find(({ method }) => method === 'tools/call');
    call?.onServerRequest('sampling/createMessage', { messages: [], maxTokens: 1 }, (reply) => {
      call.onResult(JSON.stringify({ content: [{ type: 'text', text: JSON.stringify(reply) }] }));
    });
    expect(JSON.stringify(await calling)).toContain('mine');
    backend.listChanged('tools');
    await waitUntil(() => changed === 1, 5_000, 'the notice');
  });

  test('accepts a message and answers it on the stream', async () => {
    const server = await start();
    const { stream, path } = await open(server);
    const accepted = await post(server, path, ping);
    expect([accepted.status, accepted.body]).toEqual([202, '']);
    await waitUntil(() => stream.received().includes('"id":5,"result":{}'), 5_000);
    expect((await post(server, path, 'no json')).status).toBe(202);
    await waitUntil(() => stream.received().includes('-32700'), 5_000);
  });

  test('says in initialize that no upstream runs, though the POST was accepted', async () => {
    const backend = createFakeBackend();
    backend.serverInfo = null;
    backend.state = { state: 'starting', since: Date.now() };
    const server = await start({ backends: [backend] });
    const { stream, path } = await open(server);
    const params = { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'c', version: '1' } };
    expect((await post(server, path, { jsonrpc: '2.0', id: 9, method: 'initialize', params })).status).toBe(202);
    backend.setState({ state: 'broken', since: 0, retryAt: Number.POSITIVE_INFINITY, reason: 'x', lastWords: [] });
    await waitUntil(() => /"id":9,"error"/.test(stream.received()), 5_000, 'the error on the stream');
  });

  test('needs a key for both paths, and a session answers to its own key only', async () => {
    const server = await start();
    expect((await open(server, { authorization: '' })).stream.status).toBe(401);
    const { path } = await open(server);
    expect((await server.call({ method: 'POST', path, headers: {}, body: '{}' })).status).toBe(401);
    expect((await post(server, path, ping, secondKey)).status).toBe(404);
    expect((await post(server, '/messages?sessionId=unknown', ping)).status).toBe(404);
    expect((await post(server, '/messages', ping)).status).toBe(404);
    const session = await server.initialize();
    expect((await post(server, `/messages?sessionId=${session}`, ping)).status).toBe(404);
  });

  test('keeps limits: calls, streams, body size, origins', async () => {
    const server = await start({
      limits: { perKey: { requests: 1, windowSeconds: 60, burst: 1 }, streamsPerKey: 1, bodyBytes: 1_024 },
    });
    const { path } = await open(server);
    expect((await post(server, path, toolCall)).status).toBe(202);
    expect((await post(server, path, toolCall)).status).toBe(429);
    expect((await open(server)).stream.status).toBe(429);
    expect((await post(server, path, 'x'.repeat(2_000))).status).toBe(413);
    expect((await open(server, { origin: 'https://evil.example' })).stream.status).toBe(403);
  });

  test('ends the session with its stream, and takes its calls back', async () => {
    const backend = createFakeBackend();
    const server = await start({ backends: [backend] });
    const { stream, path } = await open(server);
    await post(server, path, toolCall);
    await waitUntil(() => backend.open.length === 1, 5_000);
    stream.close();
    await waitUntil(() => backend.cancelled.length === 1 && backend.endedSessions.length === 1, 5_000);
    expect((await post(server, path, ping)).status).toBe(404);
  });

  test('names the path under the prefix that a trusted proxy took away, and nobody else’s', async () => {
    const prefix = { 'x-forwarded-prefix': '/tools' };
    expect((await open(await start(), prefix)).path).toMatch(/^\/messages\?/);
    await rig?.stop();
    const trusting = await start({ server: { trustedProxies: ['loopback'] } });
    expect((await open(trusting, prefix)).path).toMatch(/^\/tools\/messages\?sessionId=/);
    for (const bad of ['//evil.example', 'https://evil.example', '/a b', '/..%2f'])
      expect((await open(trusting, { 'x-forwarded-prefix': bad })).path).toMatch(/^\/messages\?/);
  });

  test('answers other methods with 405, so that clients that try the newer transport first learn what it is', async () => {
    const server = await start();
    const tried = await post(server, '/sse', ping);
    expect([tried.status, tried.headers.allow]).toEqual([405, 'GET, OPTIONS']);
    expect((await server.call({ path: '/messages' })).status).toBe(405);
  });

  test('does not exist unless it is configured', async () => {
    const server = await start({ server: { legacySse: 'off' } });
    for (const path of ['/sse', '/messages?sessionId=x', '/message']) {
      expect((await server.call({ path })).status).toBe(404);
    }
  });

  test('ends its streams when the server drains', async () => {
    const server = await start();
    const { stream } = await open(server);
    await server.server.drain();
    await stream.ended;
  });
});

describe('an alias', () => {
  test('answers plain JSON-RPC without a session, like the endpoint', async () => {
    const server = await start({ server: { legacySse: 'off', aliases: ['/message', '/mcp/v1'] } });
    for (const path of ['/message', '/mcp/v1', '/message?x=1']) {
      const answer = await post(server, path, toolCall);
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.body)).toMatchObject({ id: 6, result: { content: [{ type: 'text' }] } });
    }
    expect((await server.call({ method: 'POST', path: '/message', headers: {}, body: '{}' })).status).toBe(401);
    expect((await post(server, '/messageX', toolCall)).status).toBe(404);
  });

  test('may be the path of messages too: what names a stream goes there, the rest is answered at once', async () => {
    const server = await start({ server: { legacySse: paths, aliases: ['/messages'] } });
    const { stream, path } = await open(server);
    expect((await post(server, path, ping)).status).toBe(202);
    await waitUntil(() => stream.received().includes('"id":5'), 5_000);
    expect((await post(server, '/messages', ping)).status).toBe(200);
  });
});
