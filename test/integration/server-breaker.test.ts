import type { ServerResponse } from 'node:http';
import { afterEach, expect, test } from 'vitest';
import { fixture } from '../fixtures/upstreams/backend-calls.ts';
import { startHttpFixture, type HttpFixture } from '../fixtures/upstreams/http-servers.ts';
import { secondKey, startRig, type RigOptions, type ServerRig } from '../helpers/server-rig.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});

async function rigOf(options: RigOptions): Promise<ServerRig> {
  const rig = await startRig(options);
  opened.push(() => rig.stop());
  return rig;
}

type OnCall = (response: ServerResponse, id: number, name: string) => void;

/** An MCP server whose answers to tool calls the test changes as it goes. */
async function startUpstream(first: OnCall): Promise<HttpFixture & { onCall: OnCall; calls: number }> {
  const server = await startHttpFixture((message, response, body) => {
    if (message.method !== 'POST') return void response.writeHead(405).end();
    const { id, method, params } = JSON.parse(body) as { id?: number; method: string; params?: { name: string } };
    if (method === 'initialize') {
      const serverInfo = { name: 'far', version: '1' };
      answerJson(response, id, { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo });
    } else if (id === undefined) response.writeHead(202).end();
    else if (method === 'tools/call') {
      upstream.calls++;
      upstream.onCall(response, id, params?.name ?? '');
    } else answerJson(response, id, { tools: [{ name: 'work', inputSchema: { type: 'object' } }] });
  });
  opened.push(() => server.stop());
  const upstream = Object.assign(server, { onCall: first, calls: 0 });
  return upstream;
}

function answerJson(response: ServerResponse, id: number | undefined, result: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id, result }));
}

const answerWell: OnCall = (response, id) => answerJson(response, id, { content: [{ type: 'text', text: 'well' }] });
const answerIll: OnCall = (response) => void response.writeHead(500, { 'content-type': 'text/plain' }).end('ill');

interface Answer {
  readonly status: number;
  readonly result?: { content: { text: string }[]; isError?: boolean };
  readonly error?: { code: number; message: string; data?: Record<string, unknown> };
}

async function call(rig: ServerRig, name: string, args: unknown = {}, key?: string): Promise<Answer> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } };
  const answer = await rig.post(message, headers);
  return { status: answer.status, ...(JSON.parse(answer.body) as Omit<Answer, 'status'>) };
}

/** Calls with both keys in turn until calls are refused. */
async function callUntilOpen(rig: ServerRig, name: string): Promise<Answer> {
  for (let count = 0; count < 40; count++) {
    const answer = await call(rig, name, {}, count % 2 === 0 ? undefined : secondKey);
    if (answer.error?.code === -31006) return answer;
  }
  throw new Error('it never opened');
}

async function page(rig: ServerRig, path: string): Promise<string> {
  return (await rig.call({ path })).body;
}

test('an HTTP upstream that answers 500 is left alone, in view of everyone, while another one goes on', async () => {
  const far = await startUpstream(answerIll);
  const near = await startUpstream(answerWell);
  const rig = await rigOf({
    server: {
      upstreams: {
        far: { url: far.url, breaker: { failures: 3, resetSeconds: 0.3 } },
        near: { url: near.url },
      },
    },
  });
  const refused = await callUntilOpen(rig, 'far__work');
  expect(refused.status).toBe(200);
  expect(refused.error?.message).toMatch(/^The upstream "far" has failed 3 times in a row .* Try again in 1 s\.$/);
  expect(refused.error?.data).toMatchObject({ upstream: 'far', outcome: 'not run', retryAfterSeconds: 1 });
  expect(far.calls).toBe(3);
  expect((await call(rig, 'near__work')).result?.content[0]?.text).toBe('well');

  far.onCall = answerWell;
  await waitUntil(async () => (await call(rig, 'far__work')).result !== undefined, 5_000, 'a trial that goes well');
  expect(far.calls).toBe(4);
  expect(await page(rig, '/metrics')).toContain('mcp_circuit_breaker_state{upstream="far"} 0');
  const told = rig.log.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(told.map(({ event }) => String(event)).filter((msg) => msg.startsWith('breaker-'))).toEqual([
    'breaker-open',
    'breaker-half-open',
    'breaker-closed',
  ]);
});

test('health, readiness, status and metrics say that it is open, and that nothing else can be called', async () => {
  const far = await startUpstream(answerIll);
  const rig = await rigOf({ server: { upstreams: { far: { url: far.url, breaker: { failures: 2 } } } } });
  expect(await page(rig, '/health')).toBe('{"status":"ok"}');
  await waitUntil(async () => (await rig.call({ path: '/readyz' })).status === 200, 5_000, 'ready');
  await callUntilOpen(rig, 'work');
  expect(await page(rig, '/health')).toBe('{"status":"ok","breakers":{"far":"open"}}');
  expect(await page(rig, '/metrics')).toContain('mcp_circuit_breaker_state{upstream="far"} 1');
  const ready = await rig.call({ path: '/readyz' });
  expect(ready.status).toBe(503);
  expect(JSON.parse(ready.body)).toMatchObject({
    status: 'unavailable',
    upstreams: [{ breakers: { far: { state: 'open' } } }],
  });
  expect(JSON.parse(await page(rig, '/status'))).toMatchObject({
    upstreams: [{ name: 'far', state: 'up', breakers: { far: { state: 'open', retryAt: expect.any(String) } } }],
  });
});

test('after the reset time a crowd of calls lets only the trials through', async () => {
  const far = await startUpstream(answerIll);
  const rig = await rigOf({
    server: { upstreams: { far: { url: far.url, breaker: { failures: 2, resetSeconds: 0.2, trials: 2 } } } },
  });
  await callUntilOpen(rig, 'work');
  const held: (() => void)[] = [];
  far.calls = 0;
  far.onCall = (response, id, name) => void held.push(() => answerWell(response, id, name));
  await waitUntil(async () => (await page(rig, '/health')).includes('half-open'), 5_000, 'half-open');
  expect(await page(rig, '/metrics')).toContain('mcp_circuit_breaker_state{upstream="far"} 2');
  const answers = Array.from({ length: 60 }, (_, index) =>
    call(rig, 'work', {}, index % 2 === 0 ? undefined : secondKey),
  );
  let refused = 0;
  for (const answer of answers) void answer.then(({ error }) => (refused += error?.code === -31006 ? 1 : 0));
  await waitUntil(() => refused === 58, 15_000, 'all but two were refused');
  expect(held).toHaveLength(2);
  for (const answer of held) answer();
  const all = await Promise.all(answers);
  expect(all.filter(({ result }) => result !== undefined)).toHaveLength(2);
  expect(all.filter(({ error }) => error?.code === -31006)).toHaveLength(58);
  expect(far.calls).toBe(2);
  far.onCall = answerWell;
  expect((await call(rig, 'work')).result).toBeDefined();
});

test('a stdio upstream that dies of calls is left alone, and works again after its time', async () => {
  const rig = await rigOf({
    server: {
      upstreams: {
        main: {
          command: process.execPath,
          args: [fixture('server.mjs')],
          breaker: { failures: 2, resetSeconds: 0.5 },
        },
      },
    },
  });
  expect((await call(rig, 'echo', { message: 'hi' })).result).toBeDefined();
  const refused = await callUntilOpen(rig, 'die');
  expect(refused.error?.data).toMatchObject({ outcome: 'not run' });
  await waitUntil(async () => (await call(rig, 'echo', { message: 'hi' })).result !== undefined, 10_000, 'an answer');
});

test('time-outs open it', async () => {
  const far = await startUpstream(() => {});
  const rig = await rigOf({
    server: { upstreams: { far: { url: far.url, callSeconds: 0.05, breaker: { failures: 2 } } } },
  });
  expect((await call(rig, 'work')).error?.code).toBe(-31003);
  expect((await callUntilOpen(rig, 'work')).error?.code).toBe(-31006);
});

test('one key whose calls alone go wrong does not close the way for another', async () => {
  const far = await startUpstream(answerIll);
  const rig = await rigOf({ server: { upstreams: { far: { url: far.url, breaker: { failures: 3 } } } } });
  for (let count = 0; count < 3; count++) expect((await call(rig, 'work')).error?.code).toBe(-31004);
  far.onCall = answerWell;
  expect((await call(rig, 'work')).error?.code).toBe(-31006);
  expect((await call(rig, 'work', {}, secondKey)).result).toBeDefined();
  expect((await rig.call({ path: '/readyz' })).status).toBe(200);
});

test('results with isError and invalid parameters never open it', async () => {
  const far = await startUpstream((response, id) =>
    id % 2 === 0
      ? answerJson(response, id, { content: [], isError: true })
      : void response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32602, message: 'no such tool' } })),
  );
  const rig = await rigOf({ server: { upstreams: { far: { url: far.url, breaker: { failures: 1 } } } } });
  for (let count = 0; count < 8; count++) expect((await call(rig, 'work')).error?.code).not.toBe(-31006);
  expect(far.calls).toBe(8);
});

test('a declared tool has a breaker of its own, that those beside it do not feel', async () => {
  const gone = await startUpstream(answerWell);
  await gone.stop();
  const rig = await rigOf({
    server: {
      tools: {
        weather: {
          description: 'asks a server that is gone',
          http: { url: gone.url },
          breaker: { failures: 2 },
        },
        wrong: { description: 'fails', command: { command: 'false' }, breaker: { failures: 1 } },
        hello: { description: 'says hello', command: { command: 'echo', args: ['hello'] } },
      },
    },
  });
  expect((await call(rig, 'weather')).result?.isError).toBe(true);
  expect((await call(rig, 'weather')).result?.isError).toBe(true);
  const refused = await call(rig, 'weather');
  expect(refused.error?.code).toBe(-31006);
  expect(refused.error?.message).toContain('The tool weather has failed 2 times');
  // How a program ends is the answer of the tool.
  for (let count = 0; count < 3; count++) expect((await call(rig, 'wrong')).result?.isError).toBe(true);
  expect((await call(rig, 'hello')).result?.content[0]?.text).toContain('hello');
  expect(await page(rig, '/health')).toBe('{"status":"ok","breakers":{"tools:weather":"open"}}');
  expect(await page(rig, '/metrics')).toContain('mcp_circuit_breaker_state{upstream="tools:weather"} 1');
  expect((await rig.call({ path: '/readyz' })).status).toBe(200);
});
