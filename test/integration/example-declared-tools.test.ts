import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { openExample, readEnvSample, rpc, type Example } from '../helpers/example.ts';
import { callHttp, type HttpAnswer } from '../helpers/http-call.ts';
import { judgeManifest, type Manifest } from '../helpers/kubernetes-schemas.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// examples/declared-tools: its README is followed, and what it promises is looked at from outside.

let example: Example;
let origin = '';
let direct = '';
beforeAll(async () => {
  example = await openExample('declared-tools', ['SERVER_PORT', 'METRICS_AT', 'HTTPS_PORT', 'HTTP_PORT']);
  origin = `https://localhost:${example.ports['HTTPS_PORT']}`;
  direct = `https://localhost:${example.ports['SERVER_PORT']}`;
});
afterAll(() => example.close());

const callTool = (base: string, keyFile: string, name: string, args: unknown): Promise<HttpAnswer> => {
  const call = rpc('tools/call', { name, arguments: args });
  return example.call({
    url: `${base}/mcp`,
    ...call,
    headers: { ...call.headers, 'x-api-key': example.read(keyFile).trim() },
    // The server listens on IPv4 alone.
    connectTo: '127.0.0.1',
  });
};
const defaultKey = '.mcp-deploy/keys/default.key';
const metrics = async (): Promise<string> =>
  (await callHttp({ url: `http://127.0.0.1:${example.ports['METRICS_AT']}/metrics` })).body;

testWithTools(
  ['nginx', 'curl', 'promtool'],
  'the README of declared-tools does what it says, and the server keeps its contract behind nginx',
  async () => {
    const started = example.follow('Start it');
    expect(started).toContain('✓ verified');
    // A look at a window of a minute must not use it up.
    expect(started).toContain('limits.perKey would keep you out for up to 60 s');

    example.follow('Put nginx in front');
    const site = example.read('out/nginx/mcp-toolbox.conf');
    for (const directive of ['rate=10r/s', 'burst=20', 'ssl_session_cache', 'proxy_read_timeout 1h'])
      expect(site).toContain(directive);
    expect(site.match(/^ +proxy_set_header Connection .*$/gm)).toEqual([expect.stringContaining('Connection "";')]);

    const asked = example.follow('Ask it');
    expect(asked).toContain('"structuredContent":{"value":3000}');
    expect(asked).toContain('Ada <ada@example.com>');
    expect(asked).toContain('localhost');
    expect(asked).toMatch(/admin is not known; name .*1 character.*; email must match format/);
    const health: unknown = JSON.parse(asked.slice(asked.lastIndexOf('{"status"')));
    expect(health).toMatchObject({
      status: 'ok',
      timestamp: expect.any(String) as unknown,
      uptime: expect.any(Number) as unknown,
      memory: { rss: expect.any(Number) as unknown },
      checks: { server: 'ok', tools: 'ok' },
    });

    // Two processes keep answers each for itself: of three equal calls at least one is answered from what is kept.
    const args = { value: 7, from: 'mi', to: 'm' };
    const answers = [];
    for (let at = 0; at < 3; at++) answers.push(await callTool(direct, 'premium.key', 'convert_length', args));
    expect(new Set(answers.map(({ status, body }) => `${status} ${body}`)).size).toBe(1);
    const kept = /^mcp_cache_hits_total\{upstream="tools"\} (\d+)$/m.exec(await metrics());
    expect(Number(kept?.[1])).toBeGreaterThanOrEqual(1);
    expect(await metrics()).toMatch(/^mcp_tool_executions_total\{tool="convert_length",status="ok"\} \d+$/m);
    expect((await example.call({ url: `${direct}/metrics`, connectTo: '127.0.0.1' })).status).toBe(404);

    // A key reaches the tools that it was made for, and no other, which it does not even see.
    expect((await callTool(direct, 'premium.key', 'look_up', { host: 'localhost' })).body).not.toContain('127.0.0.1');

    // The limit of one tool, of all keys together: a few calls, then 429 until the window ends.
    let refused: HttpAnswer | null = null;
    await waitUntil(
      async () => {
        const answer = await callTool(direct, defaultKey, 'look_up', { host: 'localhost' });
        if (answer.status === 429) refused = answer;
        return refused !== null;
      },
      30_000,
      'a 429 of the tool',
    );
    const { headers, body } = refused as unknown as HttpAnswer;
    expect(headers['content-type']).toBe('application/problem+json');
    expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(JSON.parse(body)).toMatchObject({ status: 429, 'violated-policies': [expect.anything()] });
    expect((await callTool(direct, defaultKey, 'note_contact', { name: 'B', email: 'b@example.com' })).status).toBe(
      200,
    );

    await expectFloodRefused();
    await expectWorkerRestarted();

    expect(example.follow('Watch it')).toMatch(/SUCCESS: \d+ rules/);

    const backedUp = example.follow('Back it up');
    expect(backedUp).toMatch(/each as it was backed up; with keys, with logs/);
    expect(backedUp).toContain('Nothing to do');
    expect(JSON.parse(example.read('.mcp-deploy/server.json'))).toMatchObject({
      deployment: { server: { idleConnectionSeconds: 65 }, limits: { bodyBytes: 10 * 1_048_576 } },
    });

    example.follow('Render the rest');
    expectRendered();

    expect(example.follow('With the environment it had')).toMatch(/^ok: /m);
    expect(example.follow('Take it away')).toContain('Left: backups');
    await waitUntil(() => example.running().length === 0, 20_000, 'nginx to end');
    expect(example.left()).toEqual([]);
  },
  180_000,
);

test('every variable of its env.sample is one that serve knows', () => {
  expect(readEnvSample(example)).toEqual([]);
});

/** nginx lets 10 a second and 20 beyond through; what is more gets a problem in JSON, health never. */
async function expectFloodRefused(): Promise<void> {
  const flood = await Promise.all(Array.from({ length: 80 }, () => example.call({ url: `${origin}/mcp` })));
  const refused = flood.filter(({ status }) => status === 429);
  expect(refused.length).toBeGreaterThan(0);
  for (const { headers, body } of refused) {
    expect(headers['content-type']).toBe('application/problem+json');
    expect(headers['retry-after']).toBe('1');
    expect(JSON.parse(body)).toMatchObject({ status: 429 });
  }
  const health = await Promise.all(Array.from({ length: 10 }, () => example.call({ url: `${origin}/healthz` })));
  expect(new Set(health.map(({ status }) => status))).toEqual(new Set([200]));
}

/** A worker that is killed is started again, and told of: in the log, in the metrics and to the error hook. */
async function expectWorkerRestarted(): Promise<void> {
  const ready = [...example.read('server.log').matchAll(/"worker\.ready","worker":0,"pid":(\d+)/g)].at(-1)?.[1];
  process.kill(Number(ready), 'SIGKILL');
  await waitUntil(
    async () => /^mcp_worker_restarts_total\{worker="0"\} 1$/m.test(await metrics().catch(() => '')),
    30_000,
    'the worker to be started again',
  );
  await waitUntil(
    async () => (await example.call({ url: `${direct}/readyz`, connectTo: '127.0.0.1' })).status === 200,
    30_000,
    'all of it to be ready again',
  );
  await waitUntil(
    () => example.sh('cat errors.jsonl 2>/dev/null || true').includes('"worker.'),
    20_000,
    'the error hook',
  );
}

function expectRendered(): void {
  const unit = example.read('out/systemd/mcp-toolbox.service');
  for (const line of ['LimitNOFILE=65536', 'MemoryMax=512M', 'TasksMax=']) expect(unit).toContain(line);
  expect(unit).not.toMatch(/^MemoryLimit/m);
  const dockerfile = example.read('out/docker/Dockerfile');
  expect(dockerfile.match(/^FROM /gm)).toHaveLength(2);
  for (const line of [/^USER 1000:1000$/m, /^HEALTHCHECK /m]) expect(dockerfile).toMatch(line);
  expect(dockerfile).not.toMatch(/only=production/);
  const { services } = parse(example.read('out/docker/compose.yaml')) as { services: object };
  expect(Object.keys(services).toSorted()).toEqual(['proxy', 'redis', 'server']);
  const folder = join(example.folder, 'out/kubernetes/base/manifests');
  const manifests = readdirSync(folder).map((file) => parse(readFileSync(join(folder, file), 'utf8')) as Manifest);
  expect(manifests.flatMap((manifest) => judgeManifest(manifest))).toEqual([]);
  const scaler = manifests.find(({ kind }) => kind === 'HorizontalPodAutoscaler');
  expect(scaler).toMatchObject({ spec: { minReplicas: 2, maxReplicas: 10 } });
  expect(JSON.stringify(scaler)).toMatch(/"averageUtilization":70.*"averageUtilization":80/);
  const ufw = example.read('out/firewall/mcp-toolbox.ufw.sh');
  expect(ufw).toContain('ufw default deny incoming');
  expect(ufw).toMatch(new RegExp(`^ufw allow .*port ${example.ports['HTTPS_PORT']} `, 'm'));
  expect(example.read('out/logrotate/mcp-toolbox')).toContain('daily');
}
