import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { environmentTable } from '../../src/server/environment.ts';
import { callHttp } from '../helpers/http-call.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { endServed, spawnServe, type Served } from '../helpers/served.ts';
import { waitUntil } from '../helpers/wait-until.ts';

/**
 * Five servers of the field, each with the whole environment that it is deployed with: `serve` takes it as it is, and
 * what each variable is for can be seen from outside.
 */
const key = 'contract-1d7c3a9e5b2f4860';
const secondKey = 'contract-4f6d8b2a1c9e7d35';
const upstream = fileURLToPath(new URL('../fixtures/upstreams/trace-echo.mjs', import.meta.url));
const bearer = { authorization: `Bearer ${key}` };
const set = new Set<string>();
const running: Served[] = [];
let bundle: string;
let folder: string;

beforeAll(async () => {
  bundle = await buildServerBundle();
});
afterAll(() => rmSync(dirname(bundle), { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-contract-'));
});
afterEach(async () => {
  await endServed(running.splice(0));
  rmSync(folder, { recursive: true, force: true });
});

async function serve(env: Record<string, string>) {
  for (const name of Object.keys(env)) set.add(name);
  const served = spawnServe(bundle, folder, [], env);
  running.push(served);
  const url = await served.listening();
  return { served, url, origin: new URL(url.replace(/^unix:/, 'http://unix')).origin };
}

async function freePort(): Promise<string> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return String(port);
}

const callTool = (
  url: string,
  headers: Record<string, string>,
  name = 'echo',
  args: unknown = { message: 'hi' },
  ca?: string,
) =>
  callHttp({
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } }),
    ...(ca === undefined ? {} : { ca }),
  });

test('a server in front of a macOS backend: TLS, Unix socket, one key, rate, audit file, origins, heartbeat, HTTP+SSE', async () => {
  const issued = await issueSelfSigned({ names: ['127.0.0.1'], validDays: 3 });
  writeFileSync(join(folder, 'tls.crt'), issued.certificatePem);
  writeFileSync(join(folder, 'tls.key'), issued.keyPem, { mode: 0o600 });
  const port = await freePort();
  const socketPath = join(folder, 'mcp.sock');
  const { url, served, origin } = await serve({
    MCP_TRANSPORT: 'sse',
    MCP_HTTP_ADDRESS: `127.0.0.1:${port}`,
    MCP_HTTP_SOCKET: socketPath,
    MCP_TLS_CERT_FILE: 'tls.crt',
    MCP_TLS_KEY_FILE: 'tls.key',
    MCP_API_KEY: key,
    MCP_RATE_LIMIT: '1',
    MCP_AUDIT_LOG_FILE: 'audit.jsonl',
    MCP_CORS_ORIGIN: '*',
    MCP_HEARTBEAT_INTERVAL: '50ms',
  });
  const ca = issued.certificatePem;
  expect(url).toBe(`https://127.0.0.1:${port}/mcp`);
  expect(existsSync(socketPath)).toBe(true);
  const health = await callHttp({ url: `${origin}/health`, ca });
  expect([health.status, health.body]).toEqual([200, '{"status":"ok"}']);
  expect((await callTool(url, {}, 'echo', {}, ca)).status).toBe(401);
  const fromPage = { ...bearer, origin: 'https://page.example' };
  const first = await callTool(url, fromPage, 'server_info', {}, ca);
  expect([first.status, first.headers['access-control-allow-origin']]).toEqual([200, expect.any(String)]);
  const limited = await callTool(url, fromPage, 'server_info', {}, ca);
  expect([limited.status, limited.headers['retry-after']]).toEqual([429, '1']);
  await waitUntil(
    () => readFileSync(join(folder, 'audit.jsonl'), 'utf8').includes('server_info'),
    10_000,
    'the audit line',
  );
  const events = await new Promise<string>((resolve, reject) => {
    const asked = request(
      { socketPath, path: '/sse', headers: { authorization: `Bearer ${key}`, host: '127.0.0.1' } },
      (res) => {
        let text = '';
        res.on('data', (chunk: Buffer) => {
          text += chunk.toString();
          if (text.includes('event: endpoint') && /\n:[^\n]*\n/.test(text.slice(text.indexOf('event: endpoint')))) {
            asked.destroy();
            resolve(text);
          }
        });
      },
    );
    asked.on('error', reject);
    asked.end();
  });
  expect(events).toContain('event: endpoint');
  served.child.kill('SIGTERM');
  expect(await served.exit).toBe(0);
}, 30_000);

test('a server with several keys: keys, port, log level, session and stream times; or none at all on loopback', async () => {
  const port = await freePort();
  const { url, served } = await serve({
    MCP_API_KEYS: `${key}, ${secondKey}`,
    MCP_AUTH_REQUIRED: 'true',
    MCP_HTTP_PORT: port,
    LOG_LEVEL: 'error',
    SSE_SESSION_TIMEOUT: '5',
    SSE_HEARTBEAT_INTERVAL: '30',
  });
  expect(new URL(url).port).toBe(port);
  for (const one of [key, secondKey])
    expect((await callTool(url, { authorization: `Bearer ${one}` })).status).toBe(200);
  expect((await callTool(url, {})).status).toBe(401);
  const hello = await callHttp({
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'x-api-key': key },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 0,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'c', version: '1' } },
    }),
  });
  const session = String(hello.headers['mcp-session-id']);
  // Asking would keep the session alive: the count tells of its end.
  const sessions = async (): Promise<number> =>
    (
      JSON.parse((await callHttp({ url: `${new URL(url).origin}/status`, headers: { 'x-api-key': key } })).body) as {
        sessions: number;
      }
    ).sessions;
  expect(await sessions()).toBe(1);
  expect(session).not.toBe('undefined');
  await waitUntil(async () => (await sessions()) === 0, 20_000, 'the end of the session');
  expect(served.output.stderr).toBe('');
  await endServed(running.splice(0));

  const open = await serve({ MCP_AUTH_REQUIRED: 'false', MCP_HTTP_PORT: await freePort() });
  expect((await callTool(open.url, {})).status).toBe(200);
}, 60_000);

test('a server with a configuration file: port, files, sizes, times, health with checks, no metrics, and names without a meaning here', async () => {
  const port = await freePort();
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({
      version: 1,
      server: { upstreams: { main: { command: process.execPath, args: [upstream, 'stdio', 'legacy'] } } },
      tls: { source: 'off' },
    }),
  );
  const { url, origin } = await serve({
    PORT: port,
    CONFIG_PATH: 'config.json',
    NODE_ENV: 'production',
    API_KEY_SALT: 'salt-of-the-other-server-1234',
    SESSION_SECRET: 'secret-of-the-other-server-12',
    LOG_FILE: 'server.log',
    AUDIT_LOG_FILE: 'audit.jsonl',
    MAX_REQUEST_SIZE: '2kb',
    REQUEST_TIMEOUT: '300',
    METRICS_ENABLED: 'false',
    HEALTH_CHECK_PATH: '/api/health',
    DATABASE_URL: 'postgres://user:pw@127.0.0.1/db',
    MCP_API_KEY: key,
  });
  expect(new URL(url).port).toBe(port);
  await waitUntil(
    async () => (await callHttp({ url: `${origin}/api/health` })).status === 200,
    10_000,
    'a healthy server',
  );
  const health = JSON.parse((await callHttp({ url: `${origin}/api/health` })).body) as Record<string, unknown>;
  expect(health).toEqual({
    status: 'ok',
    timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
    uptime: expect.any(Number),
    memory: { rss: expect.any(Number), heapUsed: expect.any(Number), heapTotal: expect.any(Number) },
    checks: { server: 'ok', main: 'ok' },
  });
  expect((await callTool(url, bearer)).status).toBe(200);
  expect((await callTool(url, bearer, 'echo', { message: 'x'.repeat(3_000) })).status).toBe(413);
  expect((await callTool(url, bearer, 'wait')).body).toContain('did not answer within 0.3 s');
  expect((await callHttp({ url: `${origin}/metrics` })).status).toBe(404);
  expect(readFileSync(join(folder, 'server.log'), 'utf8')).toContain('"server.listening"');
  await waitUntil(() => readFileSync(join(folder, 'audit.jsonl'), 'utf8').includes('"wait"'), 10_000, 'the audit line');
}, 30_000);

test('a health page with checks answers 503 while an upstream is down', async () => {
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({
      version: 1,
      server: { upstreams: { gone: { command: '/no/such/program' } } },
      tls: { source: 'off' },
    }),
  );
  const { origin } = await serve({
    CONFIG_PATH: 'config.json',
    PORT: await freePort(),
    HEALTH_CHECK_PATH: '/healthz',
    MCP_API_KEY: key,
  });
  await waitUntil(
    async () => (await callHttp({ url: `${origin}/healthz` })).body.includes('broken'),
    10_000,
    'the broken upstream',
  );
  const answer = await callHttp({ url: `${origin}/healthz` });
  expect(answer.status).toBe(503);
  expect(JSON.parse(answer.body)).toMatchObject({ status: 'error', checks: { server: 'ok', gone: 'broken' } });
  expect((await callHttp({ url: `${origin}/livez` })).status).toBe(200);
});

test('a JSON-RPC server with x-api-key: port, address, keys, rate in a window, breaker, metrics', async () => {
  const port = await freePort();
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({
      version: 1,
      server: { upstreams: { main: { command: process.execPath, args: [upstream, 'stdio', 'legacy'] } } },
      tls: { source: 'off' },
    }),
  );
  const { url, origin, served } = await serve({
    MCP_PORT: port,
    BIND_IP: '127.0.0.1',
    CONFIG_PATH: 'config.json',
    MCP_API_KEYS: key,
    RATE_LIMIT_WINDOW_MS: '900000',
    RATE_LIMIT_MAX_REQUESTS: '3',
    LOG_LEVEL: 'debug',
    METRICS_ENABLED: 'true',
    CIRCUIT_BREAKER_FAILURE_THRESHOLD: '2',
    CIRCUIT_BREAKER_RESET_TIMEOUT: '60000',
    REQUEST_TIMEOUT: '200',
  });
  expect([new URL(url).hostname, new URL(url).port]).toEqual(['127.0.0.1', port]);
  await waitUntil(async () => (await callHttp({ url: `${origin}/readyz` })).status === 200, 10_000, 'the upstream');
  const first = await callTool(url, { 'x-api-key': key }, 'wait');
  await callTool(url, { 'x-api-key': key }, 'wait');
  expect((await callHttp({ url: `${origin}/health` })).body).toContain('open');
  expect((await callHttp({ url: `${origin}/metrics` })).body).toMatch(
    /^mcp_circuit_breaker_state\{upstream="main"\} 1$/m,
  );
  expect((await callTool(url, { 'x-api-key': key })).body).toContain('left alone');
  expect((await callTool(url, { 'x-api-key': key })).status).toBe(429);
  const lines = served.output.stderr.split('\n').filter((line) => line.includes('"level":"debug"'));
  const answered = first.headers['x-request-id'];
  expect(JSON.parse(lines.find((line) => line.includes(String(answered))) ?? '{}')).toMatchObject({
    event: 'call.ended',
    requestId: answered,
    method: 'tools/call',
    tool: 'wait',
    status: 'error',
    seconds: expect.any(Number),
  });
}, 30_000);

/** The endpoints of those servers, which no variable names: one deployment file each. */
async function serveFile(yaml: string, env: Record<string, string> = {}) {
  writeFileSync(join(folder, 'mcp-deploy.yaml'), yaml);
  const served = spawnServe(bundle, folder, ['--config', 'mcp-deploy.yaml'], {
    MCP_API_KEY: key,
    LISTEN_PORT: await freePort(),
    ...env,
  });
  running.push(served);
  return new URL(await served.listening()).origin;
}

const list = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

/** The head of an event stream, and that it is one. */
async function openStream(url: string): Promise<number> {
  const stream = await fetch(url, { headers: { ...bearer, accept: 'text/event-stream' } });
  expect(stream.headers.get('content-type')).toContain('text/event-stream');
  await stream.body?.cancel();
  return stream.status;
}

test('the paths of the first: /message, /events, /health without a key, /metrics', async () => {
  const origin = await serveFile(`
version: 1
server: { listen: '127.0.0.1:\${LISTEN_PORT}', aliases: [/message], legacySse: { sse: /events, messages: /events/message } }
tls: { source: 'off' }
`);
  const message = await callHttp({
    url: `${origin}/message`,
    method: 'POST',
    headers: { ...json, ...bearer },
    body: list,
  });
  expect([message.status, JSON.parse(message.body)]).toMatchObject([200, { result: { tools: expect.any(Array) } }]);
  expect(await openStream(`${origin}/events`)).toBe(200);
  expect(await callHttp({ url: `${origin}/health` })).toMatchObject({ status: 200, body: '{"status":"ok"}' });
  const metrics = (await callHttp({ url: `${origin}/metrics` })).body;
  for (const name of [
    'mcp_requests_total{method="tools/list",tool="",status="ok"} 1',
    'mcp_request_duration_seconds_bucket{method="tools/list",status="ok",le="',
    'mcp_sse_connections_active ',
    'mcp_sse_events_sent_total ',
  ]) {
    expect(metrics).toContain(name);
  }
});

test('the paths of the second: GET /mcp tells about itself, /mcp/sse, /health says OK, and pages of one origin may call', async () => {
  const origin = await serveFile(`
version: 1
server:
  listen: 127.0.0.1:\${LISTEN_PORT}
  info: true
  health: { form: text }
  legacySse: { sse: /mcp/sse, messages: /mcp/messages }
  allowedOrigins: ['https://app.example']
  cors: { allowHeaders: [X-Session-ID] }
tls: { source: 'off' }
`);
  const told = JSON.parse((await callHttp({ url: `${origin}/mcp` })).body) as Record<string, unknown>;
  expect(told).toMatchObject({ version: expect.any(String) });
  expect(JSON.stringify(told)).toContain('/mcp/sse');
  expect(await callHttp({ url: `${origin}/health` })).toMatchObject({ status: 200, body: 'OK' });
  expect(await openStream(`${origin}/mcp/sse`)).toBe(200);
  const preflight = (from: string) =>
    callHttp({
      url: `${origin}/mcp`,
      method: 'OPTIONS',
      headers: {
        origin: from,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'content-type, authorization, x-session-id',
      },
    });
  const allowed = await preflight('https://app.example');
  expect(allowed.status).toBe(204);
  expect(allowed.headers).toMatchObject({
    'access-control-allow-origin': 'https://app.example',
    'access-control-max-age': '86400',
    'access-control-allow-methods': expect.stringMatching(/GET.*POST/),
    'access-control-allow-headers': expect.stringMatching(/authorization.*content-type.*x-session-id/),
  });
  expect((await preflight('https://other.example')).headers['access-control-allow-origin']).toBeUndefined();
});

test('the limits of the fourth are told in the headers of the standard, for each address; its demo key is refused', async () => {
  const env = { MCP_API_KEY: key, RATE_LIMIT_WINDOW_MS: '900000', RATE_LIMIT_MAX_REQUESTS: '100' };
  const { url } = await serve({ ...env, MCP_PORT: await freePort() });
  const answer = await callTool(url, { 'x-api-key': key }, 'server_info', {});
  expect(answer.headers).toMatchObject({ 'ratelimit-limit': '100', 'ratelimit-remaining': '99' });
  expect(Number(answer.headers['ratelimit-reset'])).toBeLessThanOrEqual(900);
  const refused = spawnServe(bundle, folder, [], { MCP_API_KEYS: 'dev-key-12345', MCP_PORT: await freePort() });
  running.push(refused);
  expect(await refused.exit).toBe(2);
});

test('the paths of the fourth: /mcp, /health, /status, /metrics, and a tool by a plain POST with x-api-key', async () => {
  const origin = await serveFile(`
version: 1
server: { listen: '127.0.0.1:\${LISTEN_PORT}', toolPath: /tools, builtinTools: 'on' }
tls: { source: 'off' }
`);
  const withKey = { 'content-type': 'application/json', 'x-api-key': key };
  const call = (path: string, headers: Record<string, string>, body: unknown) =>
    callHttp({ url: origin + path, method: 'POST', headers, body: JSON.stringify(body) });
  for (const [path, body] of [
    ['/tools/echo', { message: 'plain' }],
    ['/tools', { name: 'echo', arguments: { message: 'plain' } }],
  ] as const) {
    const answer = await call(path, withKey, body);
    expect([answer.status, JSON.parse(answer.body)]).toMatchObject([200, { content: [{ text: 'plain' }] }]);
  }
  expect((await call('/tools/echo', { 'content-type': 'application/json' }, {})).status).toBe(401);
  expect((await callHttp({ url: `${origin}/status`, headers: { 'x-api-key': key } })).status).toBe(200);
  const metrics = (await callHttp({ url: `${origin}/metrics` })).body;
  expect(metrics).toContain('mcp_requests_total{method="tools/call",tool="echo",status="ok"} 2\n');
  expect(metrics).toContain('mcp_tool_execution_time_seconds_count{tool="echo"} 2\n');
});

test('the four ports of the fifth, its bounds and its safety, filled from variables', async () => {
  const ports = {
    MCP: await freePort(),
    STATUS: await freePort(),
    HEALTH: await freePort(),
    METRICS: await freePort(),
  };
  await serveFile(
    `
version: 1
server:
  listen: 127.0.0.1:\${MCP}
  statusListen: \${HOST:-127.0.0.1}:\${STATUS}
  healthListen: \${HOST:-127.0.0.1}:\${HEALTH}
  metricsListen: \${HOST:-127.0.0.1}:\${METRICS}
  sessions: { max: "\${MAX_SESSIONS:-50}", idleSeconds: 3600 }
  safety: { deny: ['rm -rf*'], approvalSeconds: 30 }
  tools:
    run:
      description: runs a program
      command: { command: echo, args: ['{{what}}'] }
      inputSchema: { type: object, properties: { what: { type: string } }, required: [what] }
      tier: confirm
limits: { concurrencyPerKey: "\${CALLS:-100}" }
logs: { file: server.log, rotate: { megabytes: 100, keep: 10 } }
tls: { source: 'off' }
`,
    ports,
  );
  const at = (port: string, path: string, headers = {}) =>
    callHttp({ url: `http://127.0.0.1:${port}${path}`, headers });
  expect((await at(ports.HEALTH, '/health')).status).toBe(200);
  expect(JSON.parse((await at(ports.STATUS, '/status')).body)).toMatchObject({ sessions: 0 });
  expect((await at(ports.METRICS, '/metrics')).body).toContain('mcp_active_sessions 0\n');
  expect((await at(ports.MCP, '/metrics')).status).toBe(404);
  // Who cannot ask its user gets no confirmation.
  const url = `http://127.0.0.1:${ports.MCP}/mcp`;
  expect((await callTool(url, bearer, 'run', { what: 'x' })).body).not.toContain('"text":"x');
});

test('METRICS_PORT gives /metrics a port of its own, and REDIS_URL is where replicas meet', async () => {
  const metricsPort = await freePort();
  const { origin, served } = await serve({
    MCP_API_KEY: key,
    PORT: await freePort(),
    METRICS_PORT: metricsPort,
    // Nobody is there: it serves all the same, and says so.
    REDIS_URL: `redis://:canary-of-redis@127.0.0.1:${await freePort()}/0`,
  });
  expect((await callHttp({ url: `http://127.0.0.1:${metricsPort}/metrics` })).body).toContain('mcp_redis_up 0\n');
  expect((await callHttp({ url: `${origin}/metrics` })).status).toBe(404);
  await waitUntil(() => served.output.stderr.includes('redis.unavailable'), 10_000, 'the warning');
  expect(served.output.stderr).not.toContain('canary-of-redis');
});

test('every variable of these servers is one that serve knows', () => {
  const known = new Set(environmentTable.map(({ name }) => name));
  expect(set.size).toBeGreaterThan(30);
  expect([...set].filter((name) => !known.has(name))).toEqual([]);
});
