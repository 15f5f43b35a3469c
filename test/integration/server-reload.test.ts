import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startLoad } from '../helpers/call-load.ts';
import { callHttp, openStream, type TimedStream } from '../helpers/http-call.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { modernRequest } from '../helpers/server-rig.ts';
import { endServed, spawnServe, type Served } from '../helpers/served.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const key = 'reload-5b8e2f1c9a7d4e60b1c3';
const echoServer = fileURLToPath(new URL('../../bench/servers/echo-stdio.mjs', import.meta.url));
/** Answers `who` with a word and its process id, after as long as it is told. */
const whoServer = `
  const lines = require('node:readline').createInterface({ input: process.stdin });
  const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n');
  lines.on('line', (line) => {
    const { id, method, params } = JSON.parse(line);
    const word = process.argv[2];
    if (method === 'initialize') send({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: { listChanged: true } }, serverInfo: { name: word, version: '1' } } });
    else if (method === 'tools/list') send({ id, result: { tools: [{ name: 'who', inputSchema: { type: 'object' } }] } });
    else if (method === 'tools/call') setTimeout(() => send({ id, result: { content: [{ type: 'text', text: word + ' ' + process.pid }] } }), params.arguments?.ms ?? 0);
    else if (id !== undefined) send({ id, result: {} });
  });
`;

let bundle: string;
let folder: string;
let server: Served;
let url: string;
const streams: TimedStream[] = [];

type Deployment = Record<string, unknown> & { server?: Record<string, unknown> };

beforeAll(async () => {
  bundle = await buildServerBundle();
});
afterAll(() => rmSync(dirname(bundle), { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-reload-'));
  writeFileSync(join(folder, 'who.cjs'), whoServer);
});
afterEach(async () => {
  for (const stream of streams.splice(0)) stream.close();
  await endServed([server]);
  rmSync(folder, { recursive: true, force: true });
});

/** A deployment with one echo upstream on a free port, less what is changed. */
function configure(change: Deployment = {}): void {
  const { server: serverPart, ...rest } = change;
  writeFileSync(
    join(folder, 'mcp-deploy.yaml'),
    JSON.stringify({
      version: 1,
      server: {
        upstreams: { echo: { command: process.execPath, args: [echoServer] } },
        drainSeconds: 3,
        ...serverPart,
      },
      tls: { source: 'off' },
      limits: { perKey: 'off' },
      ...rest,
    }),
  );
}

let listen: string;

async function start(change: Deployment = {}, args: readonly string[] = []): Promise<void> {
  const [port = 0] = await freePorts(1);
  listen = `127.0.0.1:${port}`;
  configure({ ...change, server: { listen, ...change.server } });
  server = spawnServe(bundle, folder, ['--config', 'mcp-deploy.yaml', ...args], { MCP_API_KEY: key });
  url = await server.listening();
  await waitUntil(async () => (await page('/readyz')).status === 200, 10_000, 'ready');
}

const page = (path: string, origin = new URL(url).origin) => callHttp({ url: origin + path });

interface LastReload {
  readonly at: string;
  readonly result: string;
  readonly problem?: string;
}

async function lastReload(): Promise<LastReload | null> {
  return (JSON.parse((await page('/status')).body) as { lastReload: LastReload | null }).lastReload;
}

function countLines(event: string): number {
  return server.output.stderr.split(`"event":"${event}"`).length - 1;
}

/** Sends SIGHUP and waits until it is decided. */
async function reload(): Promise<'config.reloaded' | 'config.refused'> {
  const before = [countLines('config.reloaded'), countLines('config.refused')];
  server.child.kill('SIGHUP');
  await waitUntil(
    () => countLines('config.reloaded') > (before[0] ?? 0) || countLines('config.refused') > (before[1] ?? 0),
    10_000,
    'the reload to be decided',
  );
  return countLines('config.refused') > (before[1] ?? 0) ? 'config.refused' : 'config.reloaded';
}

async function reloadWith(change: Deployment): Promise<'config.reloaded' | 'config.refused'> {
  configure({ ...change, server: { listen, ...change.server } });
  return reload();
}

function post(message: unknown, headers: Record<string, string> = {}, to = url) {
  return callHttp({
    url: to,
    method: 'POST',
    headers: {
      'x-api-key': key,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: JSON.stringify(message),
  });
}

async function callTool(name: string, args: Record<string, unknown> = {}, to = url) {
  const { message, headers } = modernRequest(1, 'tools/call', { name, arguments: args });
  const answer = await post(message, headers, to);
  const parsed = JSON.parse(answer.body) as { result?: { content: { text: string }[] } };
  return { ...answer, text: parsed.result?.content[0]?.text ?? answer.body };
}

async function openListen(): Promise<TimedStream> {
  const { message, headers } = modernRequest(9, 'subscriptions/listen', { notifications: { toolsListChanged: true } });
  const stream = await openStream({
    url,
    method: 'POST',
    headers: {
      'x-api-key': key,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: JSON.stringify(message),
  });
  streams.push(stream);
  await stream.first;
  return stream;
}

const who = (word: string) => ({ command: process.execPath, args: [join(folder, 'who.cjs'), word] });

describe('a reload under load', () => {
  test('fifty of them lose no call, no session and no stream, and change what they should', async () => {
    await start({ server: { upstreams: { echo: { command: process.execPath, args: [echoServer] } } } });
    const stream = await openListen();
    const load = startLoad({ url, key, clients: 8, tool: 'echo' });
    for (let round = 0; round < 50; round++) {
      const result = await reloadWith({
        server: { path: '/mcp', aliases: [`/alias-${round}`], keepAliveSeconds: 10 + round },
        limits: { perKey: 'off', bodyBytes: 1_000_000 + round },
        logs: { level: round % 2 === 0 ? 'info' : 'debug', audit: `audit-${round % 3}.jsonl` },
      });
      expect(result).toBe('config.reloaded');
    }
    await load.stop();
    expect(load.problems).toEqual([]);
    expect(load.counts).toMatchObject({ failed: 0, sessionsLost: 0 });
    expect(load.counts.calls).toBeGreaterThan(200);
    expect((await page('/alias-49')).status).toBe(401);
    expect((await page('/alias-48')).status).toBe(404);
    expect((await page('/metrics')).body).toContain('mcp_config_reloads_total{result="ok"} 50');
    const audited = (): number =>
      [0, 1, 2].flatMap((n) =>
        readFileSync(join(folder, `audit-${n}.jsonl`), 'utf8')
          .split('\n')
          .filter((line) => line.includes('"status":"ok"')),
      ).length;
    await waitUntil(() => audited() === load.counts.calls, 5_000, 'an audit line for each call');
    expect(await Promise.race([stream.ended.then(() => 'ended'), Promise.resolve('open')])).toBe('open');
  });

  test('an upstream that changes is started before it is swapped in; calls of the old one finish', async () => {
    await start({ server: { upstreams: { who: who('first') } } });
    const stream = await openListen();
    const before = await callTool('who');
    const inFlight = callTool('who', { ms: 1_000 });
    await waitUntil(async () => (await page('/status')).body.includes('"inFlight":1'), 5_000);
    expect(await reloadWith({ server: { upstreams: { who: who('second') } } })).toBe('config.reloaded');
    expect((await callTool('who')).text).toMatch(/^second/);
    expect((await inFlight).text).toBe(before.text);
    await waitUntil(() => stream.received().includes('tools/list_changed'), 5_000, 'list_changed');
    const pid = Number(before.text.split(' ')[1]);
    await waitUntil(() => !isAlive(pid), 5_000, 'the end of the old upstream');
  });

  test('an upstream that stays keeps its process while others come and go', async () => {
    await start({ server: { upstreams: { one: who('one') } } });
    const before = (await callTool('who')).text;
    expect(await reloadWith({ server: { upstreams: { one: who('one'), two: who('two') } } })).toBe('config.reloaded');
    expect((await callTool('one__who')).text).toBe(before);
    expect((await callTool('two__who')).text).toMatch(/^two/);
    expect(await reloadWith({ server: { upstreams: { one: who('one') } } })).toBe('config.reloaded');
    expect((await callTool('who')).text).toBe(before);
  });
});

describe('a reload that is refused leaves everything as it was', () => {
  const cases: readonly (readonly [string, () => void | Promise<void>, RegExp])[] = [
    ['a file that ends in the middle', () => tear(), /mistakes|has/],
    ['a file that is gone', () => rmSync(join(folder, 'mcp-deploy.yaml')), /cannot be read/],
    ['an unknown setting', () => configure({ server: { listen, pth: '/x' } }), /pth/],
    ['an address for everyone without TLS', () => configure({ server: { listen: ':8443' } }), /without TLS/],
    [
      'an audit file in no folder',
      () => configure({ server: { listen }, logs: { audit: '/nowhere/x' } }),
      /audit file/,
    ],
    ['a certificate that is not there', () => configure({ server: { listen }, tls: noFiles }), /cannot be read/],
    [
      'an upstream that cannot start',
      () => configure({ server: { listen, upstreams: { echo: { command: 'no-such-program-x' } } } }),
      /"echo" cannot be called/,
    ],
    [
      'a port that another program has',
      async () => configure({ server: { listen: [listen, `127.0.0.1:${await takenPort()}`], path: '/other' } }),
      /cannot listen/,
    ],
  ];
  const noFiles = { source: 'files', certificate: '/nowhere/a', key: '/nowhere/b' };
  let closeTaken = (): void => {};
  afterEach(() => closeTaken());

  async function takenPort(): Promise<number> {
    const taken = createServer();
    await new Promise<void>((resolve) => {
      taken.listen(0, '127.0.0.1', resolve);
    });
    closeTaken = () => void taken.close();
    return (taken.address() as AddressInfo).port;
  }

  function tear(): void {
    const file = join(folder, 'mcp-deploy.yaml');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.slice(0, text.length / 2));
  }

  test.each(cases)('%s', async (_title, spoil, problem) => {
    await start();
    expect(await lastReload()).toBeNull();
    const before = JSON.parse((await page('/status')).body) as { upstreams: { since: string }[] };
    await spoil();
    expect(await reload()).toBe('config.refused');
    const after = JSON.parse((await page('/status')).body) as typeof before;
    expect(after.upstreams[0]?.since).toBe(before.upstreams[0]?.since);
    expect(await lastReload()).toMatchObject({ result: 'refused', problem: expect.stringMatching(problem) });
    expect((await callTool('echo', { message: 'still here' })).text).toBe('still here');
    expect((await page('/metrics')).body).toContain('mcp_config_reloads_total{result="refused"} 1');
    configure({ server: { listen } });
    expect(await reload()).toBe('config.reloaded');
    expect(await lastReload()).toMatchObject({ result: 'ok' });
  });
});

describe('listen addresses', () => {
  test('new ones are opened before old ones are closed, and calls on the old ones finish', async () => {
    await start({ server: { upstreams: { who: who('who') } } });
    const [port = 0] = await freePorts(1);
    const inFlight = callTool('who', { ms: 1_000 });
    await waitUntil(async () => (await page('/status')).body.includes('"inFlight":1'), 5_000);
    configure({ server: { listen: `127.0.0.1:${port}`, upstreams: { who: who('who') } } });
    expect(await reload()).toBe('config.reloaded');
    const moved = `http://127.0.0.1:${port}/mcp`;
    expect((await callTool('who', {}, moved)).status).toBe(200);
    await expect(callTool('who')).rejects.toThrow(/ECONNREFUSED/);
    const finished = await inFlight;
    expect(finished.status).toBe(200);
    expect(finished.headers.connection).toBe('close');
  });

  test('one that covers another takes its port over', async () => {
    await start();
    const port = listen.split(':')[1] ?? '';
    listen = `localhost:${port}`;
    configure({ server: { listen } });
    expect(await reload()).toBe('config.reloaded');
    expect((await page('/livez')).status).toBe(200);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('with --watch a changed file is taken over by itself, and a half-written one is refused until it is whole', async () => {
  await start({}, ['--watch']);
  const info = async (): Promise<number> =>
    (await callHttp({ url, headers: { authorization: `Bearer ${key}` } })).status;
  const before = await info();
  configure({ server: { listen, info: true } });
  await waitUntil(async () => (await info()) === 200, 10_000, 'the information page');
  expect(before).not.toBe(200);

  const whole = readFileSync(join(folder, 'mcp-deploy.yaml'), 'utf8');
  writeFileSync(join(folder, 'mcp-deploy.yaml'), whole.slice(0, whole.length / 2));
  await waitUntil(() => server.output.stderr.includes('config.refused'), 10_000, 'the refusal');
  expect(await info()).toBe(200);
  configure({ server: { listen, info: false } });
  await waitUntil(async () => (await info()) === before, 10_000, 'the page to be gone');
});
