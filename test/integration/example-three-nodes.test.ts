import { afterAll, beforeAll, expect, test } from 'vitest';
import { openExample, rpc, type Example } from '../helpers/example.ts';
import { callHttp, type HttpAnswer } from '../helpers/http-call.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// examples/three-nodes: its README is followed, and what it promises is looked at from outside.

let example: Example;
let origin = '';
beforeAll(async () => {
  const pages = ['STATUS', 'HEALTH', 'METRICS'].flatMap((page) => [`${page}_AT`, `${page}_2`, `${page}_3`]);
  const others = ['FIRST_AT', 'SECOND_AT', 'THIRD_AT', 'REDIS_AT', 'SENTINEL_AT', 'HTTPS_PORT', 'HTTP_PORT'];
  example = await openExample('three-nodes', [...pages, ...others]);
  origin = `https://localhost:${example.ports['HTTPS_PORT']}`;
});
afterAll(() => example.close());

/** A message to a node, or to HAProxy. */
function post(base: string, method: string, params: unknown, more: Record<string, string> = {}): Promise<HttpAnswer> {
  const request = rpc(method, params);
  const key = example.read('.mcp-deploy/keys/default.key').trim();
  const headers = { ...request.headers, authorization: `Bearer ${key}`, host: new URL(origin).host, ...more };
  return example.call({ url: `${base}/mcp`, ...request, headers, connectTo: '127.0.0.1' });
}

const begin = (base: string): Promise<HttpAnswer> =>
  post(base, 'initialize', {
    protocolVersion: '2025-06-18',
    capabilities: {},
    clientInfo: { name: 'test', version: '1' },
  });
const listFiles = { name: 'list_files', arguments: {} };

testWithTools(
  ['haproxy', 'redis-server', 'redis-sentinel', 'curl', 'promtool'],
  'the README of three-nodes does what it says, and three nodes keep their contract behind HAProxy, also when one goes',
  async () => {
    expect(example.follow('Start it')).toContain('✓ verified');
    expect(example.follow('Put HAProxy in front')).toMatch(/ passed in /);
    const site = example.read('out/haproxy/mcp-terminal.cfg');
    for (const word of ['balance leastconn', 'fall 3 rise 1', 'uri /readyz']) expect(site).toContain(word);

    const asked = example.follow('Ask it');
    expect(asked).toMatch(/"sessions":\d+/);
    expect(asked).toContain('{"status":"ok"}');
    expect(asked).toContain('mcp_redis_up 1\n');
    expect(asked).toContain('mcp-deploy.yaml');
    const [first = '', page = ''] = ['FIRST_AT', 'METRICS_AT'].map((name) => `localhost:${example.ports[name]}`);
    expect((await callHttp({ url: `http://${page}/status`, connectTo: '127.0.0.1' })).status).toBe(404);
    expect((await example.call({ url: `https://${first}/metrics`, connectTo: '127.0.0.1' })).status).toBe(404);

    await expectSafety();
    await expectSessions(`https://${first}`);
    await expectNodeMayGo();

    const printed = example.follow('Connect Claude Desktop');
    expect(printed).toContain(`${origin}/mcp`);
    expect(printed).not.toContain(example.read('.mcp-deploy/keys/default.key').trim());

    expect(example.follow('Watch it')).toMatch(/SUCCESS: \d+ rules/);
    const rules = example.read('out/prometheus/mcp-terminal.rules.yml');
    for (const [alert, limit, time] of [
      ['McpCpuHigh', '> 0.8', '5m'],
      ['McpMemoryHigh', '> 966367641', '2m'],
      ['McpSessionsNearCap', '> 45', '1m'],
      ['McpErrorsMany', '> 10', '2m'],
      ['McpScaleUp', '> 0.7', '15m'],
      ['McpScaleOut', '> 40 or ', '5m'],
    ] as const) {
      expect(rules).toMatch(new RegExp(`alert: ${alert}\\n +expr: .*${limit}.*\\n +for: ${time}\\n`));
    }

    expect(example.follow('Back it up')).toMatch(/each as it was backed up; with keys, with logs/);

    example.follow('Keep it running');
    const plist = example.read('out/launchd-daemon/mcp-deploy.terminal.plist');
    for (const word of ['UserName', 'KeepAlive', 'StandardErrorPath']) expect(plist).toContain(`<key>${word}</key>`);
    expect(plist).not.toMatch(/API_KEY/);

    example.follow('Take it away');
    await waitUntil(() => example.running().length === 0, 30_000, 'everything to end');
    expect(example.left()).toEqual([]);
  },
  150_000,
);

test('it asks for no port twice', () => {
  expect(new Set(Object.values(example.ports)).size).toBe(Object.keys(example.ports).length);
});

/** What is forbidden is not there, and what needs a yes does not run for a client that cannot ask its user. */
async function expectSafety(): Promise<void> {
  const listed = (await post(origin, 'tools/list', {})).body;
  expect([listed.includes('run_program'), listed.includes('shut_down')]).toEqual([true, false]);
  const run = { name: 'run_program', arguments: { program: 'rm', argument: '-rf /etc/example' } };
  const refused = JSON.parse((await post(origin, 'tools/call', run)).body) as unknown;
  expect(refused).toMatchObject({ result: { isError: true } });
  const line = /"status":"refused","tool":"run_program"/;
  await waitUntil(() => line.test(example.read('audit.jsonl')), 10_000, 'the refusal in the audit file');
}

/** A session finds its node through HAProxy, and no node takes more than 50. */
async function expectSessions(node: string): Promise<void> {
  const session = String((await begin(origin)).headers['mcp-session-id']);
  expect(session).toMatch(/\.r[123]$/);
  for (let at = 0; at < 12; at++) {
    expect((await post(origin, 'tools/call', listFiles, { 'mcp-session-id': session })).status).toBe(200);
  }
  const opened = await Promise.all(Array.from({ length: 51 }, () => begin(node)));
  const full = opened.filter(({ status }) => status === 503);
  expect(full.length).toBeGreaterThanOrEqual(1);
  expect(Number(full[0]?.headers['retry-after'])).toBeGreaterThanOrEqual(1);
  for (const { headers } of opened) {
    const id = headers['mcp-session-id'];
    if (typeof id !== 'string') continue;
    const key = example.read('.mcp-deploy/keys/default.key').trim();
    const end = { authorization: `Bearer ${key}`, host: new URL(origin).host, 'mcp-session-id': id };
    await example.call({ url: `${node}/mcp`, method: 'DELETE', headers: end, connectTo: '127.0.0.1' });
  }
}

/** One node is killed: calls go on as soon as HAProxy knows; its sessions are told that they are gone. */
async function expectNodeMayGo(): Promise<void> {
  let lost = '';
  for (let at = 0; at < 30 && !lost.endsWith('.r2'); at++)
    lost = String((await begin(origin)).headers['mcp-session-id']);
  expect(lost).toMatch(/\.r2$/);
  const { pid } = JSON.parse(example.read('run/r2.json')) as { pid: number };
  process.kill(pid, 'SIGKILL');
  let inARow = 0;
  await waitUntil(
    async () => {
      inARow = (await post(origin, 'tools/call', listFiles)).status === 200 ? inARow + 1 : 0;
      return inARow >= 20;
    },
    30_000,
    'twenty calls in a row',
  );
  expect((await post(origin, 'tools/call', listFiles, { 'mcp-session-id': lost })).status).toBe(404);
  // For the README, which ends all three.
  example.sh('sh try/start-node.sh r2 $SECOND_AT $STATUS_2 $HEALTH_2 $METRICS_2');
}
