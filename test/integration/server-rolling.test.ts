import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startLoad } from '../helpers/call-load.ts';
import { callHttp, openStream } from '../helpers/http-call.ts';
import { freePorts, startNginx, type RunningProxy } from '../helpers/proxy-rig.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { modernRequest } from '../helpers/server-rig.ts';
import { endServed, spawnServe, type Served } from '../helpers/served.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const key = 'rolling-5b8e2f1c9a7d4e60b1c3';
const echoServer = fileURLToPath(new URL('../../bench/servers/echo-stdio.mjs', import.meta.url));
const slowServer = `
  const lines = require('node:readline').createInterface({ input: process.stdin });
  const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\\n');
  lines.on('line', (line) => {
    const { id, method, params } = JSON.parse(line);
    if (method === 'initialize') send({ id, result: { protocolVersion: params.protocolVersion, capabilities: { tools: { listChanged: true } }, serverInfo: { name: 'slow', version: '1' } } });
    else if (method === 'tools/call') setTimeout(() => send({ id, result: { content: [{ type: 'text', text: 'late' }] } }), params.arguments.ms);
    else if (id !== undefined) send({ id, result: { tools: [] } });
  });
`;

let bundle: string;
let folder: string;
const running: Served[] = [];
let proxy: RunningProxy | null = null;

beforeAll(async () => {
  bundle = await buildServerBundle();
});
afterAll(() => rmSync(dirname(bundle), { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-rolling-'));
  writeFileSync(join(folder, 'keys'), key);
  writeFileSync(join(folder, 'slow.cjs'), slowServer);
});
afterEach(async () => {
  await proxy?.stop();
  proxy = null;
  await endServed(running.splice(0));
  rmSync(folder, { recursive: true, force: true });
});

async function serve(listen: string, command: readonly string[]): Promise<{ served: Served; url: string }> {
  const served = spawnServe(
    bundle,
    folder,
    ['--listen', listen, '--key-file', 'keys', '--', process.execPath, ...command],
    { MCP_RATE_LIMIT: '0' },
  );
  running.push(served);
  const url = await served.listening();
  const ready = async (): Promise<boolean> => (await callHttp({ url: `${new URL(url).origin}/readyz` })).status === 200;
  await waitUntil(ready, 10_000, 'ready');
  return { served, url };
}

const headersWithKey = {
  'x-api-key': key,
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
};

function callSlow(url: string, ms: number) {
  const { message, headers } = modernRequest(1, 'tools/call', { name: 'slow', arguments: { ms } });
  return callHttp({
    url,
    method: 'POST',
    headers: { ...headersWithKey, ...headers, accept: 'application/json' },
    body: JSON.stringify(message),
  });
}

describe('a server that drains', () => {
  test('finishes its calls, ends streams with their last word, and refuses the rest', async () => {
    const slow = await serve('127.0.0.1:0', ['slow.cjs']);
    // In front of it a second server: an HTTP upstream drains no differently from a stdio one.
    writeFileSync(
      join(folder, 'front.yaml'),
      JSON.stringify({
        version: 1,
        server: {
          listen: `127.0.0.1:${(await freePorts(1))[0]}`,
          upstreams: { slow: { url: slow.url, headers: { 'x-api-key': key } } },
        },
        tls: { source: 'off' },
      }),
    );
    const front = spawnServe(bundle, folder, ['--config', 'front.yaml'], { MCP_API_KEY: key });
    running.push(front);
    const frontUrl = await front.listening();
    const { origin } = new URL(frontUrl);
    await waitUntil(async () => (await callHttp({ url: `${origin}/readyz` })).status === 200, 10_000, 'ready');
    const { message, headers } = modernRequest(9, 'subscriptions/listen', {
      notifications: { toolsListChanged: true },
    });
    const stream = await openStream({
      url: frontUrl,
      method: 'POST',
      headers: { ...headersWithKey, ...headers },
      body: JSON.stringify(message),
    });
    await stream.first;
    const inFlight = callSlow(frontUrl, 2_000);
    await waitUntil(async () => (await callHttp({ url: `${origin}/status` })).body.includes('"inFlight":1'), 5_000);
    front.child.kill('SIGTERM');
    await waitUntil(async () => (await callHttp({ url: `${origin}/readyz` })).status === 503, 5_000, 'not ready');
    const refused = await callSlow(frontUrl, 0);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.headers.connection).toBe('close');
    const finished = await inFlight;
    expect(finished.body).toContain('late');
    expect(finished.headers.connection).toBe('close');
    await stream.ended;
    expect(stream.received()).toContain('"resultType":"complete"');
    expect(await front.exit).toBe(0);
  });
});

describe('two replicas behind nginx', () => {
  testWithTools(
    ['nginx'],
    'are restarted one after the other under load: the modern era loses no call, the legacy era recovers by 404',
    async () => {
      const [one = 0, two = 0, front = 0] = await freePorts(3);
      const replicas = [
        { listen: `127.0.0.1:${one}`, served: (await serve(`127.0.0.1:${one}`, [echoServer])).served },
        { listen: `127.0.0.1:${two}`, served: (await serve(`127.0.0.1:${two}`, [echoServer])).served },
      ];
      const site = join(folder, 'site');
      writeFileSync(
        site,
        [
          // A legacy session stays on its replica while that one is there.
          'upstream replicas {',
          '  hash $http_mcp_session_id consistent;',
          `  server 127.0.0.1:${one} max_fails=0;`,
          `  server 127.0.0.1:${two} max_fails=0;`,
          '  keepalive 32;',
          '  keepalive_timeout 60s;',
          '}',
          'server {',
          `  listen 127.0.0.1:${front};`,
          '  proxy_http_version 1.1;',
          '  proxy_set_header Connection "";',
          '  proxy_set_header Host $host;',
          '  proxy_buffering off;',
          '  proxy_intercept_errors off;',
          // A server that drains refuses before it has done anything, so a POST may go to the other one.
          '  proxy_next_upstream error timeout http_503 non_idempotent;',
          '  location / { proxy_pass http://replicas; }',
          '}',
        ].join('\n'),
      );
      const nginxFolder = mkdtempSync(join(folder, 'nginx-'));
      proxy = await startNginx(site, nginxFolder, [front]);
      const load = startLoad({ url: `http://127.0.0.1:${front}/mcp`, key, clients: 8, tool: 'echo' });
      const moreCalls = async (): Promise<void> => {
        const before = load.counts.calls;
        await waitUntil(() => load.counts.calls > before + 50, 15_000, 'calls');
      };
      await moreCalls();
      for (const replica of replicas) {
        replica.served.child.kill('SIGTERM');
        expect(await replica.served.exit).toBe(0);
        await moreCalls();
        replica.served = (await serve(replica.listen, [echoServer])).served;
        await moreCalls();
      }
      await load.stop();
      expect(load.problems).toEqual([]);
      expect(load.counts.sessionsLost).toBeGreaterThan(0);
    },
    60_000,
  );
});
