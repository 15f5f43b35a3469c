import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { renderTarget } from '../../src/targets/index.ts';
import { callHttp, openStream, type HttpAnswer, type TimedStream } from '../helpers/http-call.ts';
import {
  caddyEnv,
  freePorts,
  startCaddy,
  startHaproxySite,
  startNginx,
  type RunningProxy,
} from '../helpers/proxy-rig.ts';
import { endServer, openServerHouse, type ServerHouse } from '../helpers/real-server.ts';
import { targetInput } from '../helpers/target-input.ts';
import { findProgram, runTool, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// What the proxies have to carry: large answers, many and silent streams, and calls while they are reloaded.

let house: ServerHouse;
let server: ChildProcess | null = null;
let port = 0;

beforeAll(async () => {
  house = await openServerHouse();
  [port = 0] = await freePorts(1);
  server = await house.start(deployment(), port);
}, 60_000);

afterAll(async () => {
  if (server !== null) await endServer(server);
  house.remove();
});

const deployment = (): DeploymentInput => ({
  version: 1,
  server: { listen: `localhost:${port}`, trustedProxies: ['127.0.0.1', '::1'], keepAliveSeconds: 1 },
  limits: { perKey: 'off', bodyBytes: 8 * 1_048_576 },
});

interface Kind {
  readonly target: 'nginx' | 'caddy' | 'haproxy';
  readonly start: (site: string, folder: string, ports: readonly number[]) => Promise<RunningProxy>;
  readonly reload: (proxy: RunningProxy, folder: string) => void;
  /** How often it says that it has read its files again; Caddy's command returns only then. */
  readonly reloads: (proxy: RunningProxy, folder: string) => number;
}

const kinds: readonly Kind[] = [
  {
    target: 'nginx',
    start: startNginx,
    reload: ({ pid }) => process.kill(pid, 'SIGHUP'),
    reloads: (_proxy, folder) => count(readFileSync(join(folder, 'error.log'), 'utf8'), /reconfiguring/g),
  },
  {
    target: 'caddy',
    start(site, folder, ports) {
      // The one of the other tests has no administration, by which Caddy is reloaded.
      const text = `{\n\tadmin unix/${join(folder, 'admin.sock')}\n\tskip_install_trust\n}\n\nimport ${site}\n`;
      writeFileSync(join(folder, 'Caddyfile'), text);
      return startCaddy(site, folder, ports, { keepMain: true });
    },
    reload(_proxy, folder) {
      const address = `unix/${join(folder, 'admin.sock')}`;
      const args = ['--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile', '--address', address, '--force'];
      runTool('caddy', ['reload', ...args], { env: caddyEnv(folder) });
    },
    reloads: () => Number.POSITIVE_INFINITY,
  },
  {
    target: 'haproxy',
    start: (site, folder, ports) => startHaproxySite(site, folder, ports, { withMaster: true }),
    reload: ({ pid }) => process.kill(pid, 'SIGUSR2'),
    // The first worker is not one of a reload.
    reloads: (proxy) => count(proxy.output(), /New worker/g) - 1,
  },
];

describe.each(kinds)('$target carries', ({ target, start, reload, reloads }) => {
  let proxy: RunningProxy | null = null;
  let folder = '';
  let url = '';

  beforeEach(async () => {
    if (findProgram(target) === null) return;
    const [https = 0, http = 0] = await freePorts(2);
    folder = mkdtempSync(join(house.folder, `${target}-`));
    const input = targetInput(deployment());
    const paths = { ...input.paths, ...house.paths, proxyLogDir: folder };
    const site = join(folder, 'site');
    writeFileSync(site, renderTarget(target, { ...input, paths, proxyPorts: { https, http } })[0]?.content ?? '');
    proxy = await start(site, folder, [https, http]);
    url = `https://localhost:${https}/mcp`;
  }, 30_000);

  afterEach(async () => {
    await proxy?.stop();
    proxy = null;
  });

  const post = (body: unknown, headers: Record<string, string> = {}): Promise<HttpAnswer> =>
    callHttp({
      url,
      ca: house.caPem,
      method: 'POST',
      headers: { 'x-api-key': house.key, ...jsonHeaders, ...headers },
      body: JSON.stringify(body),
    });
  const modernCall = (message: string): Promise<HttpAnswer> =>
    post(echo(message, { _meta: modernMeta }), {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'tools/call',
      'mcp-name': 'echo',
    });
  const legacyCall = (session: string, message: string): Promise<HttpAnswer> =>
    post(echo(message), { 'mcp-session-id': session, 'mcp-protocol-version': '2025-06-18' });

  async function beginSession(): Promise<string> {
    const answer = await post({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
    });
    expect(answer.status).toBe(200);
    return String(answer.headers['mcp-session-id']);
  }

  const openSessionStream = (session: string): Promise<TimedStream> =>
    openStream({
      url,
      ca: house.caPem,
      headers: { 'x-api-key': house.key, accept: 'text/event-stream', 'mcp-session-id': session },
    });

  testWithTools([target], 'an answer of 5 MB, whole, in both eras', async () => {
    const message = 'm'.repeat(5 * 1_048_576);
    const session = await beginSession();
    for (const answer of [await modernCall(message), await legacyCall(session, message)]) {
      expect(answer.status).toBe(200);
      expect(answer.body.length).toBeGreaterThan(message.length);
      expect(answer.body.includes(message)).toBe(true);
    }
  });

  testWithTools(
    [target],
    '200 open streams, on which keep-alive lines go on, beside calls',
    async () => {
      const sessions: string[] = [];
      for (let at = 0; at < 200; at += 20) {
        sessions.push(...(await Promise.all(Array.from({ length: 20 }, beginSession))));
      }
      const streams = await Promise.all(sessions.map(openSessionStream));
      try {
        expect(streams.map(({ status }) => status)).toEqual(streams.map(() => 200));
        const before = streams.map((stream) => stream.received().length);
        expect((await modernCall('beside')).status).toBe(200);
        await waitUntil(
          () => streams.every((stream, at) => stream.received().length > (before[at] ?? 0)),
          30_000,
          'a line on every stream',
        );
      } finally {
        for (const stream of streams) stream.close();
      }
    },
    90_000,
  );

  testWithTools(
    [target],
    'every call while it is reloaded, and a stream from before to after',
    async () => {
      const session = await beginSession();
      const stream = await openSessionStream(session);
      const failures: string[] = [];
      let calls = 0;
      const over = new AbortController();
      const callers = Array.from({ length: 6 }, async (_, at) => {
        while (!over.signal.aborted) {
          const message = `call ${calls++}`;
          try {
            const answer = await (at % 2 === 0 ? modernCall(message) : legacyCall(session, message));
            if (answer.status !== 200 || !answer.body.includes(message)) {
              failures.push(`${answer.status} ${answer.body}`);
            }
          } catch (error) {
            failures.push(String(error));
          }
        }
      });
      try {
        for (let turn = 0; turn < 3; turn++) {
          if (proxy === null) throw new Error('no proxy');
          const running = proxy;
          reload(running, folder);
          await waitUntil(() => reloads(running, folder) > turn, 15_000, 'the proxy to read its files again');
          const before = calls;
          await waitUntil(() => calls > before + 40, 30_000, 'calls after the reload');
        }
        const seen = stream.received().length;
        await waitUntil(() => stream.received().length > seen, 10_000, 'a line on the stream from before');
      } finally {
        over.abort();
        await Promise.all(callers);
        stream.close();
      }
      expect(failures).toEqual([]);
    },
    90_000,
  );
});

describe.concurrent.each(kinds)('a stream through $target', ({ target, start }) => {
  /** A server that has one stream, on which the test writes. */
  async function withStream(run: (stream: TimedStream, response: ServerResponse) => Promise<void>): Promise<void> {
    let open: ServerResponse | null = null;
    const upstream = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(':\n\n');
      open = response;
    });
    await new Promise<void>((resolve) => {
      upstream.listen(0, '127.0.0.1', resolve);
    });
    const [https = 0, http = 0] = await freePorts(2);
    const own = mkdtempSync(join(house.folder, `${target}-stream-`));
    const input = targetInput({
      version: 1,
      tls: { source: 'off' },
      server: { listen: `127.0.0.1:${(upstream.address() as AddressInfo).port}` },
      proxy: { serverName: 'localhost', certificate: house.paths.certificateFile, key: house.paths.keyFile },
    });
    const site = join(own, 'site');
    const paths = { ...input.paths, proxyLogDir: own };
    writeFileSync(site, renderTarget(target, { ...input, paths, proxyPorts: { https, http } })[0]?.content ?? '');
    const proxy = await start(site, own, [https, http]);
    try {
      const stream = await openStream({
        url: `https://localhost:${https}/mcp`,
        ca: house.caPem,
        headers: { accept: 'text/event-stream' },
      });
      await waitUntil(() => open !== null, 10_000, 'the stream at the server');
      await run(stream, open as unknown as ServerResponse);
      stream.close();
    } finally {
      await proxy.stop();
      upstream.close().closeAllConnections();
    }
  }

  testWithTools([target], 'brings each event before the next one is sent', async () => {
    await withStream(async (stream, response) => {
      for (let at = 0; at < 30; at++) {
        const event = `data: event ${at}\n\n`;
        response.write(event);
        // Nothing more is sent until it is there, and the answer does not end: who collects events, by number, by size or
        // to the end, waits here for ever. How quick that is says the machine; that it is at once says the order.
        await waitUntil(() => stream.received().includes(event), 10_000, `event ${at}`);
      }
    });
  });

  // Longer than any of the usual time limits of 30 and 60 s, in real time: where all tools are wanted, as in CI.
  if (process.env['REQUIRE_TOOLS'] !== '1') {
    test.skip('lives through 90 s in which nothing is sent (needs REQUIRE_TOOLS=1)', () => {});
    return;
  }
  testWithTools(
    [target],
    'lives through 90 s in which nothing is sent',
    async () => {
      await withStream(async (stream, response) => {
        let hasEnded = false;
        void stream.ended.then(() => (hasEnded = true));
        await new Promise((resolve) => {
          setTimeout(resolve, 90_000);
        });
        expect(hasEnded).toBe(false);
        response.write('data: still here\n\n');
        await waitUntil(() => stream.received().includes('still here'), 10_000, 'the event after the silence');
      });
    },
    180_000,
  );
});

const jsonHeaders = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const modernMeta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
  'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
};

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

function echo(message: string, more: object = {}): object {
  return { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'echo', arguments: { message }, ...more } };
}
