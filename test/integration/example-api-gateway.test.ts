import { afterAll, beforeAll, expect, test } from 'vitest';
import { openExample, readEnvSample, rpc, type Example } from '../helpers/example.ts';
import type { HttpAnswer } from '../helpers/http-call.ts';
import { freePorts } from '../helpers/proxy-rig.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// examples/api-gateway: its README is followed, and what it promises is looked at from outside.

let example: Example;
let origin = '';
let servers: readonly string[] = [];
beforeAll(async () => {
  const [backend = 0] = await freePorts(1);
  example = await openExample(
    'api-gateway',
    ['FIRST_AT', 'SECOND_AT', 'THIRD_AT', 'REDIS_AT', 'HTTPS_PORT', 'HTTP_PORT'],
    {
      replace: { ':8090/': `:${backend}/`, 'resetSeconds: 60': 'resetSeconds: 1' },
      env: { BACKEND_AT: String(backend) },
    },
  );
  origin = `https://localhost:${example.ports['HTTPS_PORT']}`;
  servers = ['FIRST_AT', 'SECOND_AT', 'THIRD_AT'].map((name) => `https://127.0.0.1:${example.ports[name]}`);
});
afterAll(() => example.close());

/** A call of the tool at one of the servers, as a proxy passes it on for this client. */
function callTool(base: string, address: string): Promise<HttpAnswer> {
  const call = rpc('tools/call', { name: 'weather', arguments: { city: 'Porto' } });
  const key = example.read('.mcp-deploy/keys/default.key').trim();
  const headers = { ...call.headers, host: new URL(origin).host, 'x-api-key': key, 'x-forwarded-for': address };
  return example.call({ url: `${base}/mcp`, ...call, headers });
}

testWithTools(
  ['nginx', 'redis-server', 'curl', 'openssl'],
  'the README of api-gateway does what it says, and three servers keep their contract behind nginx',
  async () => {
    expect(example.follow('Start it')).toContain('✓ verified');
    expect(example.follow('Put nginx in front')).toMatch(/ passed in /);
    const site = example.read('out/nginx/mcp-gateway.conf');
    expect(site).toMatch(/least_conn;/);
    expect(site).toContain('proxy_read_timeout 1h');
    for (const base of servers) expect(site).toContain(new URL(base).host);

    const asked = example.follow('Ask it');
    // The direct call gives the result alone.
    expect(asked.trim().split('\n').at(-1)).toMatch(/^\{"content":\[\{"type":"text","text":".*Faro/);
    expect(asked).toContain('Lisbon');
    expect(asked).toMatch(/RateLimit-Limit: 100\s+RateLimit-Remaining: \d+\s+RateLimit-Reset: \d+/i);
    const line = JSON.parse(asked.split('\n').find((text) => text.includes('call.ended')) ?? '') as unknown;
    expect(line).toMatchObject({ event: 'call.ended', method: 'tools/call', tool: 'weather', status: 'ok' });

    for (const row of rows) await expectRow(row);
    await expectRecords();
    await expectBreaker();
    await expectSharedLimit();

    // Well-known keys open nothing.
    const check = 'MCP_API_KEYS=dev-key-12345 mcp-deploy serve --check --listen 127.0.0.1:8000';
    expect(example.sh(`${check} || echo "exit $?"`)).toMatch(/exit 2\n$/);

    example.follow('Render the rest');
    const rotation = example.read('out/logrotate/mcp-gateway');
    for (const word of ['daily', 'rotate 30', 'compress']) expect(rotation).toContain(word);
    expect(rotation.replace(/^\s*#.*$/gm, '')).not.toContain('copytruncate');
    const pods = example.read('out/kubernetes/base/manifests/deployment.yaml');
    expect(pods).toContain('requests: { cpu: 500m, memory: 512Mi }');
    expect(pods).toContain('limits: { cpu: 1000m, memory: 1024Mi }');
    expect(example.read('out/kubernetes/base/manifests/autoscaler.yaml')).toMatch(
      /minReplicas: 2\n +maxReplicas: 10\n/,
    );

    expect(example.follow('With the environment it had')).toMatch(/^ok: /m);
    example.follow('Take it away');
    await waitUntil(() => example.running().length === 0, 30_000, 'everything to end');
    expect(example.left()).toEqual([]);
  },
  150_000,
);

test('every variable of its env.sample is one that serve knows', () => {
  expect(readEnvSample(example)).toEqual([]);
});

type Row = readonly [
  what: string,
  request: { readonly method?: string; readonly path: string; readonly key?: string | null; readonly body?: string },
  status: number,
  body: RegExp,
  headers?: Readonly<Record<string, string>>,
];

/** The endpoints of such a server, as a client meets them through nginx. */
const rows: readonly Row[] = [
  ['the endpoint without a key', { method: 'POST', path: '/mcp', key: null, body: '{}' }, 401, /key/],
  ['the endpoint with a wrong one', { method: 'POST', path: '/mcp', key: 'dev-key-12345', body: '{}' }, 401, /key/],
  ['a short page for load balancers', { path: '/health', key: null }, 200, /"status":"ok"/],
  ['the long one without a key', { path: '/status', key: null }, 401, /key/],
  ['the long one', { path: '/status' }, 200, /"tools/],
  ['metrics, which stay on the machine', { path: '/metrics' }, 404, /"status":404/],
  ['the tools, directly', { path: '/tools' }, 200, /"tools":\[\{"name":"weather"/],
  ['the tools, directly, without a key', { path: '/tools', key: null }, 401, /key/],
  [
    'a tool, directly',
    { method: 'POST', path: '/tools/weather', body: '{"city":"Braga"}' },
    200,
    /^\{"content":\[.*Braga/,
    { 'ratelimit-limit': '100' },
  ],
  [
    'a tool whose name is in the body',
    { method: 'POST', path: '/tools', body: '{"name":"weather","arguments":{"city":"Braga"}}' },
    200,
    /^\{"content":\[.*Braga/,
  ],
  ['wrong arguments', { method: 'POST', path: '/tools/weather', body: '{"town":"Braga"}' }, 422, /"isError":true/],
  ['a tool that is none', { method: 'POST', path: '/tools/tides', body: '{}' }, 404, /"status":404/],
  ['a tool without a key', { method: 'POST', path: '/tools/weather', key: null, body: '{"city":"Braga"}' }, 401, /key/],
  ['a tool by GET', { path: '/tools/weather' }, 405, /"status":405/, { allow: 'POST, OPTIONS' }],
];

async function expectRow([what, { method = 'GET', path, key, body }, status, text, headers = {}]: Row): Promise<void> {
  const shown = key === undefined ? example.read('.mcp-deploy/keys/default.key').trim() : key;
  const answer = await example.call({
    url: origin + path,
    method,
    headers: { 'content-type': 'application/json', ...(shown === null ? {} : { 'x-api-key': shown }) },
    ...(body === undefined ? {} : { body }),
  });
  expect([answer.status, answer.body], what).toEqual([status, expect.stringMatching(text)]);
  expect(answer.headers, what).toMatchObject(headers);
}

/** A direct call in the log (correlation id, method, duration, status), in the audit file and in the metrics. */
async function expectRecords(): Promise<void> {
  const [base = ''] = servers;
  const answer = await callDirectly(base, '198.51.100.251');
  const id = String(answer.headers['x-request-id']);
  const find = (file: string): string | undefined =>
    example
      .read(file)
      .split('\n')
      .find((text) => text.includes(`"${id}"`));
  await waitUntil(() => find('audit.jsonl') !== undefined, 20_000, 'the audit line');
  expect(JSON.parse(find('audit.jsonl') ?? '')).toMatchObject({
    status: 'ok',
    tool: 'weather',
    method: 'tools/call',
    duration_seconds: expect.any(Number),
    key: 'default',
    address: '198.51.100.251',
    request: id,
  });
  expect(JSON.parse(find('server-r1.log') ?? '')).toMatchObject({
    event: 'call.ended',
    requestId: id,
    method: 'tools/call',
    seconds: expect.any(Number),
    status: 'ok',
  });
  const metrics = (await example.call({ url: `${base}/metrics` })).body;
  for (const series of [
    'mcp_requests_total{method="tools/call",tool="weather",status="ok"}',
    'mcp_request_duration_seconds_bucket{method="tools/call"',
    'mcp_tool_execution_time_seconds_bucket{tool="weather"',
    'mcp_circuit_breaker_state{upstream="tools:weather"}',
  ])
    expect(metrics).toContain(series);
}

/** The tool as a program calls it that speaks no MCP. */
function callDirectly(base: string, address: string): Promise<HttpAnswer> {
  const key = example.read('.mcp-deploy/keys/default.key').trim();
  const headers = {
    host: new URL(origin).host,
    'content-type': 'application/json',
    'x-api-key': key,
    'x-forwarded-for': address,
  };
  return example.call({ url: `${base}/tools/weather`, method: 'POST', headers, body: '{"city":"Porto"}' });
}

/** Closed, open after five failures, and closed again when the service is back, as health and metrics tell. */
async function expectBreaker(): Promise<void> {
  const [base = ''] = servers;
  const get = async (path: string): Promise<string> => (await example.call({ url: base + path })).body;
  const state = /^mcp_circuit_breaker_state\{upstream="tools:weather"\} (\d)$/m;
  let caller = 0;
  // Each from an address of its own, whose limit is not used up by this.
  const call = (): Promise<HttpAnswer> => callTool(base, `198.51.100.${++caller % 250}`);
  expect((await call()).body).toContain('Porto');
  expect(state.exec(await get('/metrics'))?.[1]).toBe('0');

  example.sh('kill "$(cat try/backend.pid)"');
  await waitUntil(async () => (await call()).body.includes('left alone'), 30_000, 'the breaker to open');
  expect(state.exec(await get('/metrics'))?.[1]).toBe('1');
  // A direct call is refused too, and told when to come again; one that comes as the trial finds the service gone.
  await waitUntil(
    async () => {
      const direct = await callDirectly(base, `198.51.100.${++caller % 250}`);
      return direct.status === 503 && direct.headers['retry-after'] !== undefined;
    },
    30_000,
    'a direct call to be left alone',
  );
  expect(await get('/health')).toMatch(/tools:weather.*open/);

  example.sh('node try/backend.mjs > try/backend.log 2>&1 & echo $! > try/backend.pid');
  await waitUntil(async () => (await call()).body.includes('Porto'), 30_000, 'the breaker to close');
  expect(state.exec(await get('/metrics'))?.[1]).toBe('0');
  expect(await get('/metrics')).toMatch(/^mcp_tool_execution_time_seconds_bucket\{tool="weather",/m);
}

/** One address, whichever server it comes to: 100 calls, not three times as many. */
async function expectSharedLimit(): Promise<void> {
  let refused: HttpAnswer | null = null;
  let answered = 0;
  for (let at = 0; at < 300 && refused === null; at++) {
    const answer = await callTool(servers[at % servers.length] ?? '', '203.0.113.5');
    if (answer.status === 429) refused = answer;
    else answered++;
  }
  if (refused === null) throw new Error('300 calls and no 429');
  expect(answered).toBeGreaterThanOrEqual(99);
  expect(refused.headers).toMatchObject({ 'ratelimit-limit': '100', 'content-type': 'application/problem+json' });
  const retryAfter = Number(refused.headers['retry-after']);
  expect([retryAfter >= 1, retryAfter <= 900]).toEqual([true, true]);
  for (const base of servers) {
    await waitUntil(async () => (await callTool(base, '203.0.113.5')).status === 429, 20_000, `a 429 of ${base}`);
    // Nor does a direct call get past it.
    expect((await callDirectly(base, '203.0.113.5')).status).toBe(429);
  }
  // Another address is not kept out.
  expect((await callTool(servers[1] ?? '', '203.0.113.6')).status).toBe(200);
}
