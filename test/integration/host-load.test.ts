import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { lookBeforeLoad } from '../../src/host/load/look-before-load.ts';
import type { LoadTarget } from '../../src/host/load/post-message.ts';
import type { Work } from '../../src/host/load/rpc-texts.ts';
import { runLoad, type LoadPlan } from '../../src/host/load/run-load.ts';
import { createBuiltinBackend } from '../../src/server/backends/builtin-backend.ts';
import { firstKey, startRig } from '../helpers/server-rig.ts';

const endings: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

const never = new AbortController().signal;
const list: Work = { kind: 'list' };
const plan: LoadPlan = {
  era: 'modern',
  work: list,
  connections: 4,
  durationMs: 60_000,
  maxCalls: 40,
  ratePerSecond: null,
  warmUpMs: 0,
};

type Answer = (
  message: { id: number; method: string; params: Record<string, unknown> },
  res: ServerResponse,
  at: number,
) => void;

/** A server that answers as the test says; `at` counts its POSTs from 0. */
async function startStub(answer: Answer): Promise<LoadTarget> {
  let at = 0;
  const server: Server = createServer((req: IncomingMessage, res) => {
    let body = '';
    req.setEncoding('utf8');
    req.on('data', (text: string) => (body += text));
    req.on('end', () => (body === '' ? res.end() : answer(JSON.parse(body) as never, res, at++)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`);
  return { url, key: null, caPem: null, timeoutMs: 20_000 };
}

const json = (res: ServerResponse, value: unknown, status = 200, headers = {}): void =>
  void res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
const right: Answer = ({ id }, res) => json(res, { jsonrpc: '2.0', id, result: { tools: [] } });

async function startOwn(limits: Parameters<typeof startRig>[0] = {}) {
  const rig = await startRig({
    tls: true,
    backends: [createBuiltinBackend({ serverVersion: '1', describe: () => ({}) })],
    ...limits,
  });
  endings.push(() => rig.stop());
  return { url: new URL(rig.url), key: firstKey, caPem: rig.ca ?? null, timeoutMs: 20_000 };
}

describe('a load on the bundled server', () => {
  test('is answered right in both eras, over as many connections as were asked for', async () => {
    const target = await startOwn({ limits: { perKey: 'off' } });
    const { eras, work, readsOnly } = await lookBeforeLoad(target, 'both', null, never);
    expect({ eras, readsOnly }).toEqual({ eras: ['modern', 'legacy'], readsOnly: true });
    expect(work).toMatchObject({ kind: 'call', tool: 'echo' });
    for (const era of eras) {
      const result = await runLoad(target, { ...plan, era, work, maxCalls: 200 }, never);
      expect(result).toMatchObject({ era, calls: 200, errors: {}, rateLimited: 0, unanswered: 0, ended: 'calls' });
      expect(result.latency?.p50Ms).toBeGreaterThan(0);
      expect(result.latency?.p50Ms).toBeLessThanOrEqual(result.latency?.maxMs ?? 0);
      expect(result.callsPerSecond).toBeGreaterThan(0);
    }
  });

  test('counts what a limit refuses apart, in the words of the server', async () => {
    const target = await startOwn({ limits: { perKey: { requests: 30, windowSeconds: 3_600, burst: 30 } } });
    const { work } = await lookBeforeLoad(target, 'modern', null, never);
    const result = await runLoad(target, { ...plan, work, maxCalls: 40, ratePerSecond: 1_000 }, never);
    // One went to the look.
    expect(result).toMatchObject({ calls: 29, errors: {}, rateLimited: 11 });
    expect(result.limitWords).toContain('30 calls');
  });

  test('is not begun with a wrong key, and tools that do not exist are named', async () => {
    const target = await startOwn();
    const look = (more: object, tool: Parameters<typeof lookBeforeLoad>[2] = null) =>
      lookBeforeLoad({ ...target, ...more }, 'auto', tool, never);
    await expect(look({ key: 'wrong' })).rejects.toThrow('The key is not accepted (401).');
    await expect(look({ key: null })).rejects.toThrow('This endpoint asks for a key.');
    await expect(look({ url: new URL('/nothing', target.url) })).rejects.toThrow('does not answer as an MCP endpoint');
    await expect(look({ caPem: null })).rejects.toThrow(/is not trusted/);
    await expect(look({}, { name: 'ecko', args: {} })).rejects.toThrow('There is no tool "ecko" at this endpoint.');
    await expect(look({}, { name: 'echo', args: { no: 1 } })).rejects.toThrow('The first call is not answered right');
  });
});

describe('what goes wrong is counted by what went wrong', () => {
  const mistakes: [string, Answer, Record<string, number>][] = [
    ['a status', (_message, res) => json(res, {}, 500), { 'HTTP 500': 20 }],
    ['an error', ({ id }, res) => json(res, { jsonrpc: '2.0', id, error: { code: -32_603 } }), { 'error -32603': 20 }],
    [
      'the answer to another call',
      ({ id }, res) => json(res, { jsonrpc: '2.0', id: id + 1, result: { tools: [] } }),
      { 'no answer in the body': 20 },
    ],
    [
      'a page',
      (_message, res) => void res.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
      { 'no answer in the body': 20 },
    ],
    ['a cut connection', (_message, res) => void res.destroy(), { 'reset (ECONNRESET)': 20 }],
  ];
  // Nobody waits for long: with one connection the load gives up after so many.
  test.each(mistakes)('%s, and the load ends early', async (_name, answer, errors) => {
    const target = await startStub(answer);
    // In the time of the pauses between, all of them at once.
    const result = await runLoad(target, { ...plan, connections: 1, maxCalls: 1_000, pauseMs: 0.01 }, never);
    expect(result).toMatchObject({ calls: 0, errors, ended: 'failures', latency: null });
  });

  test('a silent server is said, and calls that wait are ended', async () => {
    const target = { ...(await startStub(() => {})), timeoutMs: 100 };
    await expect(lookBeforeLoad(target, 'auto', null, never)).rejects.toThrow('does not answer within 0.1 s');
    const result = await runLoad(target, { ...plan, connections: 1, pauseMs: 0.01 }, never);
    expect(result).toMatchObject({ calls: 0, errors: { 'no answer in time': 20 } });
  });

  test('a single mistake does not end it', async () => {
    const target = await startStub((message, res, at) => (at === 5 ? json(res, {}, 503) : right(message, res, at)));
    const result = await runLoad(target, { ...plan, pauseMs: 0.01 }, never);
    expect(result).toMatchObject({ calls: 39, errors: { 'HTTP 503': 1 }, ended: 'calls' });
  });
});

test('a dead port, a page and a redirect are one sentence each', async () => {
  const gone = await startStub(right);
  await endings.pop()?.();
  await expect(lookBeforeLoad(gone, 'auto', null, never)).rejects.toThrow(/^Nothing listens at 127\.0\.0\.1:\d+\.$/);
  const page = await startStub((_message, res) => void res.writeHead(200, { 'content-type': 'text/html' }).end('<p>'));
  await expect(lookBeforeLoad(page, 'auto', null, never)).rejects.toThrow('does not answer as an MCP endpoint');
  const moved = await startStub((_message, res) => void res.writeHead(308, { location: '/other' }).end());
  await expect(lookBeforeLoad(moved, 'auto', null, never)).rejects.toThrow('does not answer as an MCP endpoint');
});

test('an answer that comes as an event stream is read', async () => {
  const target = await startStub(({ id }, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.end(`: hello\n\ndata: ${JSON.stringify({ jsonrpc: '2.0', id, result: { tools: [] } })}\n\n`);
  });
  expect(await runLoad(target, plan, never)).toMatchObject({ calls: 40, errors: {} });
});

test('a lost session is opened anew', async () => {
  let sessions = 0;
  const target = await startStub((message, res, at) => {
    if (message.method === 'initialize') {
      json(res, { jsonrpc: '2.0', id: message.id, result: {} }, 200, { 'mcp-session-id': `s${sessions++}` });
    } else if (message.method === 'notifications/initialized') res.writeHead(202).end();
    else if (at === 6) json(res, {}, 404);
    else right(message, res, at);
  });
  const result = await runLoad(target, { ...plan, era: 'legacy', connections: 1, pauseMs: 0.01 }, never);
  expect(result).toMatchObject({ calls: 39, errors: { 'HTTP 404': 1 } });
  expect(sessions).toBe(2);
});

test('an interrupted load gives what there is', async () => {
  const stop = new AbortController();
  const target = await startStub((message, res, at) => {
    if (at === 30) stop.abort();
    else right(message, res, at);
  });
  const result = await runLoad(target, { ...plan, connections: 1, maxCalls: 1_000 }, stop.signal);
  expect(result).toMatchObject({ calls: 30, unanswered: 1, ended: 'interrupted' });
  expect(result.latency).not.toBeNull();
});

test('with a rate, latency counts from when a call was due: a stall is in the figures of all that waited', async () => {
  // One connection, 100 calls a second, and the first answer comes late: those behind it were due meanwhile.
  const target = await startStub((message, res, at) => {
    if (at === 0) setTimeout(() => right(message, res, at), 400);
    else right(message, res, at);
  });
  const result = await runLoad(target, { ...plan, connections: 1, ratePerSecond: 100, maxCalls: 20 }, never);
  expect(result).toMatchObject({ calls: 20, errors: {} });
  // All twenty were due in the first 200 ms, so each waited at least 200 ms.
  expect(result.latency?.p50Ms).toBeGreaterThanOrEqual(200);
});
