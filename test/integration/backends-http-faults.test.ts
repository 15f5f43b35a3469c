import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { httpUpstreamSchema } from '../../src/deployment/http-upstream-schema.ts';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { createHttpBackend, type HttpBackendOptions } from '../../src/server/backends/http-backend.ts';
import type { Backend } from '../../src/server/types.ts';
import { callOf, callTool, errorOf, request, silentLog, textOf, until } from '../fixtures/upstreams/backend-calls.ts';
import { startHttpFixture, startLegacyFixture, type HttpFixture } from '../fixtures/upstreams/http-servers.ts';

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

function start(
  url: string,
  settings: Record<string, unknown> = {},
  options: Partial<HttpBackendOptions> = {},
): Backend {
  const upstream = httpUpstreamSchema.parse({ url, ...settings });
  const backend = createHttpBackend('far', upstream, {
    env: {},
    baseDir: '/',
    log: silentLog,
    serverVersion: '9',
    ...options,
  });
  opened.push(() => backend.stop(100));
  backend.start();
  return backend;
}

type OnCall = (response: ServerResponse, id: number, params: Record<string, unknown>) => void;

/** A legacy server without sessions that shakes hands and answers tool calls as it is told. */
async function startServer(
  onCall: OnCall,
  onOther: (response: ServerResponse) => void = (r) => r.writeHead(405).end(),
): Promise<HttpFixture> {
  const server = await startHttpFixture((message, response, body) => {
    if (message.method !== 'POST') return onOther(response);
    const { id, method, params } = JSON.parse(body) as { id: number; method: string; params: Record<string, unknown> };
    if (method === 'initialize') {
      const result = {
        protocolVersion: '2025-06-18',
        capabilities: { tools: {} },
        serverInfo: { name: 'raw', version: '1' },
      };
      return answerJson(response, { jsonrpc: '2.0', id, result });
    }
    if (method === 'tools/call') return onCall(response, id, params);
    if (id === undefined) return void response.writeHead(202).end();
    return answerJson(response, { jsonrpc: '2.0', id, error: { code: -32601, message: 'Method not found' } });
  });
  opened.push(() => server.stop());
  return server;
}

function answerJson(response: ServerResponse, message: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(message));
}

const resultOf = (id: number, text: string) => ({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text }] } });

async function startUp(
  onCall: OnCall,
  settings: Record<string, unknown> = {},
  options: Partial<HttpBackendOptions> = {},
): Promise<{ backend: Backend; server: HttpFixture }> {
  const server = await startServer(onCall);
  const backend = start(server.url, settings, options);
  await until(() => backend.state.state === 'up');
  return { backend, server };
}

async function reasonOf(backend: Backend): Promise<string> {
  await until(() => 'reason' in backend.state);
  return 'reason' in backend.state ? backend.state.reason : '';
}

test.each<[string, (response: ServerResponse) => void, RegExp]>([
  ['401', (r) => r.writeHead(401).end(), /refused the credentials of the gateway \(HTTP 401\): look at headers/],
  ['403', (r) => r.writeHead(403).end(), /denied access/],
  ['404', (r) => r.writeHead(404).end('nope'), /HTTP 404: look at the path of url/],
  ['503', (r) => r.writeHead(503).end(), /HTTP 503/],
  [
    'a login page',
    (r) => r.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
    /answered with text\/html instead of JSON/,
  ],
  [
    'a redirect',
    (r) => r.writeHead(302, { location: 'https://login.example/x?token=s3cret' }).end(),
    /redirects \(HTTP 302\) to https:\/\/login\.example\/x; redirects are not followed/,
  ],
  ['no HTTP at all', (r) => r.socket?.end('220 smtp ready\r\n'), /does not answer with HTTP|closed the connection/],
])('a server that answers %s is down, and says why', async (_name, answer, reason) => {
  const server = await startHttpFixture((_request, response) => answer(response));
  opened.push(() => server.stop());
  const backend = start(server.url);
  const said = await reasonOf(backend);
  expect(said).toMatch(reason);
  expect(said).not.toContain('s3cret');
});

test('a server that is not there is down, and comes up when it comes', async () => {
  const free = await startHttpFixture(() => {});
  await free.stop();
  const backend = start(free.url);
  expect(await reasonOf(backend)).toMatch(/nothing listens at localhost/);
  const server = await startLegacyFixture({ port: free.port });
  opened.push(() => server.stop());
  await until(() => backend.state.state === 'up', 15_000);
  expect(await textOf(callTool(backend, 'echo', { message: 'back' }))).toBe('back');
});

test('a server that goes away is down without a call, and calls meanwhile wait for it', async () => {
  const first = await startLegacyFixture();
  const backend = start(first.url);
  await until(() => first.requests.some(({ method }) => method === 'GET'));
  await callTool(backend, 'echo', { message: 'a' });
  await first.stop();
  await until(() => backend.state.state === 'down');
  const answer = callTool(backend, 'echo', { message: 'again' });
  const second = await startLegacyFixture({ port: first.port });
  opened.push(() => second.stop());
  expect(await textOf(answer)).toBe('again');
  expect(backend.restarts).toBe(1);
});

test('a slow call ends with callSeconds, and says that it may have run', async () => {
  const { backend } = await startUp(() => {}, { callSeconds: 0.3 });
  const error = await errorOf(callTool(backend, 'slow'));
  expect(error).toMatchObject({ code: -31003, data: { outcome: 'unknown' } });
  expect(error.message).toBe('The upstream "far" did not answer within 0.3 s; outcome unknown: it may have run.');
});

test('a server that takes connections and says nothing is given up after startSeconds', async () => {
  const server = await startHttpFixture(() => {});
  opened.push(() => server.stop());
  expect(await reasonOf(start(server.url, { startSeconds: 0.4 }))).toMatch(
    /did not answer initialize within 0\.[12] s/,
  );
});

test.each<[string, OnCall, object]>([
  ['HTML', (r) => r.writeHead(200, { 'content-type': 'text/html' }).end('<p>'), { code: -31005 }],
  ['500', (r) => r.writeHead(500).end(), { code: -31004, data: { outcome: 'unknown' } }],
  ['429', (r) => r.writeHead(429, { 'retry-after': '7' }).end(), { code: -31002, data: { outcome: 'not run' } }],
  [
    'a JSON-RPC error with HTTP 400',
    (r, id) => answerJson(r, { jsonrpc: '2.0', id, error: { code: -32602, message: 'no such' } }, 400),
    { code: -32602, message: 'no such' },
  ],
  ['broken JSON', (r) => r.writeHead(200, { 'content-type': 'application/json' }).end('{"jsonrpc":'), { code: -31004 }],
  ['nothing (202)', (r) => r.writeHead(202).end(), { code: -31004 }],
  ['the answer of another call', (r, id) => answerJson(r, resultOf(id + 1_000, 'not yours')), { code: -31004 }],
  [
    'a stream that ends early',
    (r) => r.writeHead(200, { 'content-type': 'text/event-stream' }).end(': hello\n\n'),
    { code: -31004, data: { outcome: 'unknown' } },
  ],
  ['a dropped connection', (r) => r.socket?.destroy(), { code: -31004, data: { outcome: 'unknown' } }],
  [
    'half an answer',
    (r) => {
      r.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
      r.write('{"json', () => r.socket?.destroy());
    },
    { code: -31004 },
  ],
  [
    'gzip that nobody asked for',
    (r) => r.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end('xx'),
    { code: -31005 },
  ],
])('one call answered with %s fails alone', async (_name, onCall, expected) => {
  const { backend } = await startUp((response, id, params) => {
    if (params['name'] === 'bad') onCall(response, id, params);
    else answerJson(response, resultOf(id, 'good'));
  });
  const [bad, good] = await Promise.all([errorOf(callTool(backend, 'bad')), textOf(callTool(backend, 'fine'))]);
  expect(bad).toMatchObject(expected);
  expect(good).toBe('good');
  expect(backend.state.state).toBe('up');
  expect(backend.inFlight).toBe(0);
});

test.each(['application/json', 'text/event-stream'])('an answer above the limit is refused (%s)', async (type) => {
  const { backend } = await startUp(
    (response) => {
      response.writeHead(200, { 'content-type': type });
      const line = type === 'application/json' ? '"x' : 'data: x';
      response.write(line);
      const timer = setInterval(() => response.write('x'.repeat(65_536)), 1);
      response.on('close', () => clearInterval(timer));
    },
    {},
    { maxMessageBytes: 500_000 },
  );
  expect(await errorOf(callTool(backend, 'big'))).toMatchObject({
    code: -31005,
    message: expect.stringContaining('500000 bytes') as string,
  });
});

test('a large answer passes, as JSON and in pieces of an event', async () => {
  const large = 'ä"\\'.repeat(1_000_000);
  const { backend } = await startUp((response, id, params) => {
    if (params['name'] === 'json') return answerJson(response, resultOf(id, large));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`event: message\r\ndata: ${JSON.stringify(resultOf(id, large))}\r\n\r\n`);
  });
  expect(await textOf(callTool(backend, 'json'))).toBe(large);
  expect(await textOf(callTool(backend, 'events'))).toBe(large);
});

test('a stream that breaks off after an event with an id is taken up again', async () => {
  const server = await startServer(
    (response, id) => {
      pendingId = id;
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end('id: e1\nretry: 10\ndata:\n\n');
    },
    (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      if (pendingId !== 0) response.end(`id: e2\ndata: ${JSON.stringify(resultOf(pendingId, 'resumed'))}\n\n`);
    },
  );
  let pendingId = 0;
  const backend = start(server.url);
  await until(() => backend.state.state === 'up');
  expect(await textOf(callTool(backend, 'long'))).toBe('resumed');
  expect(server.requests.some(({ method, headers }) => method === 'GET' && headers['last-event-id'] === 'e1')).toBe(
    true,
  );
});

test('no more calls than maxConcurrency are in flight; the others wait, and can be cancelled while they wait', async () => {
  const open: (() => void)[] = [];
  const { backend, server } = await startUp(
    (response, id) => void open.push(() => answerJson(response, resultOf(id, 'ok'))),
    { maxConcurrency: 2 },
  );
  const answers = [1, 2, 3].map(() => textOf(callTool(backend, 'wait')));
  const { call } = callOf('tools/call', { name: 'wait', arguments: {} }, {});
  const cancel = backend.forward(call);
  await until(() => open.length === 2);
  expect(backend.inFlight).toBe(4);
  cancel('not needed');
  expect(backend.inFlight).toBe(3);
  for (const answer of open.splice(0)) answer();
  await until(() => open.length === 1);
  open[0]?.();
  expect(await Promise.all(answers)).toEqual(['ok', 'ok', 'ok']);
  expect(server.requests.filter(({ body }) => body.includes('tools/call'))).toHaveLength(3);
});

test('progress and questions go to the call on whose stream they came, with many calls in flight', async () => {
  const { backend } = await startUp((response, id, params) => {
    const name = String(params['name']);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const ask = { jsonrpc: '2.0', id: `q-${id}`, method: 'elicitation/create', params: { message: name } };
    const log = { jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data: name } };
    response.write(`data: ${JSON.stringify(log)}\n\ndata: ${JSON.stringify(ask)}\n\n`);
    setTimeout(() => response.end(`data: ${JSON.stringify(resultOf(id, name))}\n\n`), 30);
  });
  const asked: string[] = [];
  const calls = Array.from({ length: 20 }, (_, index) => `t${index}`);
  await Promise.all(
    calls.map((name) =>
      request(
        backend,
        'tools/call',
        { name },
        {
          onNotification: (_method, json) => expect(json).toContain(`"${name}"`),
          onServerRequest: (_method, params) => {
            expect(params['message']).toBe(name);
            asked.push(name);
          },
        },
      ),
    ),
  );
  expect(asked.toSorted()).toEqual(calls.toSorted());
});

test('a certificate of a private authority is trusted with caFile, and refused with a hint without it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-ca-'));
  opened.push(() => Promise.resolve(rmSync(folder, { recursive: true, force: true })));
  const issued = await issueSelfSigned({ names: ['localhost'], validDays: 5 });
  writeFileSync(join(folder, 'ca.pem'), issued.certificatePem);
  const server = await startLegacyFixture({ tls: { cert: issued.certificatePem, key: issued.keyPem } });
  opened.push(() => server.stop());
  expect(await reasonOf(start(server.url))).toMatch(
    /signed by an authority that is not known here \(\w+\): name it as caFile/,
  );
  const backend = start(server.url, { caFile: 'ca.pem' }, { baseDir: folder });
  await until(() => backend.state.state === 'up');
  expect(await textOf(callTool(backend, 'echo', { message: 'tls' }))).toBe('tls');
  expect(await reasonOf(start(server.url, { caFile: 'gone.pem' }, { baseDir: folder }))).toContain(
    'gone.pem cannot be read (ENOENT)',
  );
});

test('headers are filled from the environment; one that cannot be filled or sent says so for good', async () => {
  const server = await startLegacyFixture();
  opened.push(() => server.stop());
  const headers = { Authorization: 'Bearer ${KEY}' };
  const backend = start(server.url, { headers }, { env: { KEY: 'k-1\n' } });
  await until(() => backend.state.state === 'up');
  expect(new Set(server.requests.map((one) => one.headers.authorization))).toEqual(new Set(['Bearer k-1']));
  const missing = start(server.url, { headers });
  expect(missing.state).toMatchObject({ state: 'broken', retryAt: Number.POSITIVE_INFINITY });
  expect(await reasonOf(missing)).toContain('KEY is not set, and headers.Authorization');
  const forged = start(server.url, { headers }, { env: { KEY: 'a\r\nX-Evil: 1' } });
  expect(await reasonOf(forged)).toBe(
    'headers.Authorization of the upstream "far" has a character that no header may hold.',
  );
});
