import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from 'vitest';
import { startLoad } from '../helpers/call-load.ts';
import { callHttp } from '../helpers/http-call.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { modernRequest } from '../helpers/server-rig.ts';
import { startSocketHolder, type SocketHolder } from '../helpers/socket-holder.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';
import { childrenOf } from '../helpers/workers-house.ts';

const key = 'handed-5b8e2f1c9a7d4e60b1c3';
const echoServer = fileURLToPath(new URL('../../bench/servers/echo-stdio.mjs', import.meta.url));
const tools = ['python3', 'systemd-notify'];

let bundle: string;
let folder: string;
let holder: SocketHolder | null = null;

beforeAll(async () => {
  bundle = await buildServerBundle();
});
afterAll(() => rmSync(dirname(bundle), { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-handed-'));
});
afterEach(async () => {
  await holder?.close();
  holder = null;
  rmSync(folder, { recursive: true, force: true });
});

/** Sockets first, then the configuration that names them, then the server. */
async function hold(
  server: Record<string, unknown> = {},
  listen: readonly (readonly [string, number] | string)[] = [['127.0.0.1', 0]],
  env: Readonly<Record<string, string>> = {},
): Promise<SocketHolder> {
  holder = await startSocketHolder({
    folder,
    listen,
    command: [process.execPath, bundle, '--config', 'server.yaml'],
    env: { MCP_API_KEY: key, ...env },
  });
  const places = holder.ports.map((port, at) => (port === 0 ? `unix:${String(listen[at])}` : `127.0.0.1:${port}`));
  writeFileSync(
    join(folder, 'server.yaml'),
    JSON.stringify({
      version: 1,
      server: {
        listen: places,
        drainSeconds: 10,
        upstreams: { echo: { command: process.execPath, args: [echoServer] } },
        ...server,
      },
      tls: { source: 'off' },
      limits: { perKey: 'off', freePerKey: 'off' },
    }),
  );
  await holder.start();
  await waitUntil(() => says('READY=1'), 15_000, 'READY=1');
  return holder;
}

const says = (word: string): boolean => holder?.said.some((words) => words.split('\n').includes(word)) === true;

function call(port: number, message = 'hello') {
  const modern = modernRequest(1, 'tools/call', { name: 'echo', arguments: { message } });
  return callHttp({
    url: `http://127.0.0.1:${port}/mcp`,
    method: 'POST',
    headers: {
      'x-api-key': key,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...modern.headers,
    },
    body: JSON.stringify(modern.message),
  });
}

describe.each([1, 2])('with %i workers, in sockets that a service manager holds', (workers) => {
  testWithTools(
    tools,
    `a server of ${workers} is restarted under load without a failed call`,
    async () => {
      const held = await hold({ workers });
      const [port = 0] = held.ports;
      const load = startLoad({ url: `http://127.0.0.1:${port}/mcp`, key, clients: 8, tool: 'echo' });
      const before = held.pid;
      for (let round = 0; round < 2; round++) {
        const enough = load.counts.calls + 200;
        await waitUntil(() => load.counts.calls > enough, 20_000, 'calls');
        expect(await held.end()).toBe(0);
        await held.start();
      }
      const enough = load.counts.calls + 200;
      await waitUntil(() => load.counts.calls > enough, 20_000, 'calls of the last server');
      await load.stop();
      expect({ failed: load.counts.failed, problems: load.problems }).toEqual({ failed: 0, problems: [] });
      expect(held.pid).not.toBe(before);
    },
    90_000,
  );
});

testWithTools(tools, 'a client that comes while no server is there waits for the next one', async () => {
  const held = await hold();
  const [port = 0] = held.ports;
  await held.end();
  const waiting = call(port);
  await held.start();
  const answer = await waiting;
  expect(answer.status).toBe(200);
  expect(answer.body).toContain('hello');
});

testWithTools(
  [...tools, 'curl'],
  'a Unix socket and the port of metrics are taken too; a socket that is not configured is named',
  async () => {
    const path = join(folder, 'mcp.sock');
    holder = await startSocketHolder({
      folder,
      listen: [['127.0.0.1', 0], ['127.0.0.1', 0], ['127.0.0.1', 0], path],
      command: [process.execPath, bundle, '--config', 'server.yaml'],
      env: { MCP_API_KEY: key },
    });
    const [main = 0, metrics = 0, other = 0] = holder.ports;
    const server = { listen: [`127.0.0.1:${main}`, `unix:${path}`], metricsListen: `127.0.0.1:${metrics}` };
    writeFileSync(join(folder, 'server.yaml'), JSON.stringify({ version: 1, server, tls: { source: 'off' } }));
    await holder.start();
    await waitUntil(() => says('READY=1'), 15_000, 'READY=1');
    expect((await callHttp({ url: `http://127.0.0.1:${main}/health` })).status).toBe(200);
    expect((await callHttp({ url: `http://127.0.0.1:${metrics}/metrics` })).body).toContain('mcp_requests_total');
    expect(runTool('curl', ['-sS', '--unix-socket', path, 'http://localhost/health'])).toContain('ok');
    const unused = holder
      .log()
      .split('\n')
      .filter((line) => line.includes('listen.socket-without-address'));
    expect(unused).toHaveLength(1);
    expect(unused[0]).toContain(String(other));
  },
);

testWithTools(tools, 'upstreams get neither the sockets nor the words about them', async () => {
  const held = await hold();
  const [upstream = 0] = childrenOf(held.pid);
  const sockets = readdirSync(`/proc/${held.pid}/fd`).flatMap((fd) => target(held.pid, fd));
  const listening = target(held.pid, '3')[0];
  expect(listening).toMatch(/^socket:/);
  expect(sockets).toContain(listening);
  expect(readdirSync(`/proc/${upstream}/fd`).flatMap((fd) => target(upstream, fd))).not.toContain(listening);
});

function target(pid: number, fd: string): string[] {
  try {
    return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
  } catch {
    return [];
  }
}

testWithTools(
  tools,
  'what happens is told: ready, reloading and ready again, beats, stopping',
  async () => {
    const held = await hold({}, [['127.0.0.1', 0]], { WATCHDOG_USEC: '600000' });
    await waitUntil(() => held.said.filter((words) => words.includes('WATCHDOG=1')).length > 2, 15_000, 'beats');
    held.signal('SIGHUP');
    await waitUntil(() => held.said.filter((words) => words.includes('READY=1')).length === 2, 15_000, 'reloaded');
    const reloading = held.said.find((words) => words.includes('RELOADING=1')) ?? '';
    expect(reloading).toMatch(/^MONOTONIC_USEC=\d+$/m);
    expect(held.said[0]).toMatch(/^STATUS=Serving on http:\/\/127\.0\.0\.1:\d+\/mcp$/m);
    // A process that does not get on says nothing.
    held.signal('SIGSTOP');
    const beats = held.said.length;
    await new Promise((resolve) => {
      setTimeout(resolve, 900);
    });
    expect(held.said.length - beats).toBeLessThanOrEqual(1);
    held.signal('SIGCONT');
    expect(await held.end()).toBe(0);
    expect(says('STOPPING=1')).toBe(true);
    const words = held.said.map((each) => each.split('\n')[0]).filter((each) => each !== 'WATCHDOG=1');
    expect(words).toEqual(['READY=1', 'RELOADING=1', 'READY=1', 'STOPPING=1']);
  },
  60_000,
);
