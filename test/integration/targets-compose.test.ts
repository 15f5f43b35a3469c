import { join } from 'node:path';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { connectLegacy, connectModern } from '../helpers/clients.ts';
import {
  importDebianImage,
  requireBench,
  startContainerBench,
  type ContainerBench,
} from '../helpers/container-bench.ts';
import { relayInto } from '../helpers/docker-daemon.ts';
import { callHttp } from '../helpers/http-call.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// Compose files as they are rendered, started by docker-compose with the images of this machine's own programs: the
// proxies with a real client of either era, Redis, Prometheus, and the pages that are published.

const tools = ['dockerd', 'docker', 'docker-compose', 'unshare', 'nsenter', 'ldd', 'tar'];
let bench: ContainerBench | null = null;

beforeAll(async () => {
  bench = await startContainerBench(tools);
}, 180_000);

afterAll(async () => {
  await bench?.stop();
}, 60_000);

const proxies = [
  { proxy: 'nginx', image: 'nginx:1.28', redis: false },
  { proxy: 'caddy', image: 'caddy:2.10', redis: false },
  { proxy: 'haproxy', image: 'haproxy:3.2', redis: true },
] as const;

for (const { proxy, image, redis } of proxies) {
  testWithTools(
    [...tools, proxy, 'redis-server'],
    `${proxy} of the Compose file serves clients of both eras, alone is published, and goes without a trace`,
    async (context) => {
      const at = requireBench(bench, context);
      const { engine, keyFile, caFile } = at;
      importDebianImage(at, image);
      if (redis) importDebianImage(at, 'redis:8.2');
      const folder = at.render('docker', { version: 1, container: { proxy, redis }, server: { drainSeconds: 2 } });
      at.compose(folder, ['up', '--detach', '--build']);
      const relay = await relayInto(engine, 443);
      try {
        const origin = `https://localhost:${relay.port}`;
        await untilServed(at, origin);
        const published = engine.docker(['ps', '--format', '{{.Names}} {{.Ports}}']);
        expect(published).toMatch(/proxy.* 127\.0\.0\.1:443->443/);
        expect(published).not.toMatch(/server.*->/);
        for (const connect of [connectLegacy, connectModern]) {
          const client = await connect({ url: `${origin}/mcp`, caFile, keyFile });
          const result = await client.callTool({ name: 'echo', arguments: { message: 'through' } });
          expect(JSON.stringify(result)).toContain('through');
          await client.close();
        }
        const metrics = await callHttp({ url: `${origin}/metrics`, ca: readFileSync(caFile, 'utf8') });
        expect(metrics.status).toBe(403);
        if (redis) {
          const server = idOf(at, 'server');
          await waitUntil(() => at.logs(server).includes('redis.connected'), 30_000, 'the server to find Redis');
        }
        at.compose(folder, ['restart', 'server']);
        await untilServed(at, origin);
        for (const name of ['server', 'proxy', ...(redis ? ['redis'] : [])]) {
          const about = JSON.parse(engine.docker(['inspect', idOf(at, name)])) as object[];
          expect([name, about[0]]).toMatchObject([
            name,
            {
              RestartCount: 0,
              Config: { User: expect.stringMatching(/^[1-9]/) as unknown },
              HostConfig: {
                ReadonlyRootfs: true,
                CapDrop: ['ALL'],
                SecurityOpt: ['no-new-privileges:true'],
                Memory: expect.any(Number) as unknown,
                PidsLimit: expect.any(Number) as unknown,
                LogConfig: { Config: { 'max-size': '10m' } },
              },
            },
          ]);
        }
      } finally {
        await relay.close();
        at.compose(folder, ['down', '--volumes']);
      }
      expectNothingLeft(at);
    },
    240_000,
  );
}

testWithTools(
  [...tools, 'prometheus'],
  'pages are published where they are configured, Prometheus of the profile reads the metrics, the audit file is in its volume',
  async (context) => {
    const at = requireBench(bench, context);
    const { engine, caFile, keyFile } = at;
    importDebianImage(at, 'prom/prometheus:v3.5.0');
    const deployment: DeploymentInput = {
      version: 1,
      server: {
        metricsListen: '127.0.0.1:19090',
        healthListen: '127.0.0.1:18081',
        statusListen: '127.0.0.1:19091',
        drainSeconds: 1,
      },
      logs: { audit: 'logs/audit.log' },
      container: { watch: true },
    };
    const folder = at.render('docker', deployment);
    writeFileSync(join(folder, 'grafana-password'), 'not used here');
    at.compose(folder, ['--profile', 'watch', 'up', '--detach', '--build', 'server', 'prometheus']);
    const relays = await Promise.all([8443, 18081, 19090].map((port) => relayInto(engine, port)));
    const [endpoint, health, metrics] = relays.map(({ port }) => port);
    try {
      await untilServed(at, `https://localhost:${endpoint}`);
      const client = await connectModern({ url: `https://localhost:${endpoint}/mcp`, caFile, keyFile });
      await client.callTool({ name: 'echo', arguments: { message: 'audited' } });
      await client.close();
      expect((await callHttp({ url: `http://127.0.0.1:${health}/readyz` })).status).toBe(200);
      const page = await callHttp({ url: `http://127.0.0.1:${metrics}/metrics` });
      expect([page.status, page.body]).toEqual([200, expect.stringContaining('mcp_requests_total')]);
      const server = idOf(at, 'server');
      await waitUntil(
        () =>
          engine
            .docker(['exec', server, 'node', '-p', "require('fs').readFileSync('/var/lib/mcp/audit.jsonl','utf8')"])
            .includes('"echo"'),
        20_000,
        'the audit line of the call',
      );
      const asked =
        "fetch('http://prometheus:9090/api/v1/query?query=up').then((r)=>r.text()).then(console.log,()=>{})";
      await waitUntil(
        () => /"value":\[[^,]+,"1"\]/.test(engine.docker(['exec', server, 'node', '-e', asked])),
        90_000,
        'Prometheus to have read the metrics',
      ).catch((error: unknown) => {
        throw new Error(
          `${String(error)}\n${at.logs(idOf(at, 'prometheus'))}\n${engine.docker(['exec', server, 'node', '-e', asked])}`,
        );
      });
      const rules = "fetch('http://prometheus:9090/api/v1/rules').then((r)=>r.text()).then(console.log,()=>{})";
      expect(engine.docker(['exec', server, 'node', '-e', rules])).toContain('"name":"mcp-alerts"');
      expect(at.commands('docker', deployment).notices.join('\n')).toContain('server.statusListen');
    } finally {
      await Promise.all(relays.map((relay) => relay.close()));
      at.compose(folder, ['--profile', 'watch', 'down', '--volumes']);
    }
    expectNothingLeft(at);
  },
  240_000,
);

async function untilServed(at: ContainerBench, origin: string): Promise<void> {
  const ca = readFileSync(at.caFile, 'utf8');
  try {
    await waitUntil(
      async () => {
        const answer = await callHttp({ url: `${origin}/health`, ca }).catch(() => null);
        return answer?.status === 200;
      },
      60_000,
      `${origin}/health to answer`,
    );
  } catch (error) {
    const all = at.engine.docker(['ps', '--all', '--quiet']).split('\n').filter(Boolean);
    throw new Error([String(error), at.engine.docker(['ps', '--all']), ...all.map((id) => at.logs(id))].join('\n'), {
      cause: error,
    });
  }
}

function idOf({ engine }: ContainerBench, service: string): string {
  return engine.docker(['ps', '--all', '--quiet', '--filter', `label=com.docker.compose.service=${service}`]).trim();
}

function expectNothingLeft({ engine }: ContainerBench): void {
  expect(engine.docker(['ps', '--all', '--quiet'])).toBe('');
  const networks = engine.docker(['network', 'ls', '--format', '{{.Name}}']).split('\n').filter(Boolean);
  expect(networks.toSorted()).toEqual(['bridge', 'host', 'none']);
  expect(engine.docker(['volume', 'ls', '--quiet'])).toBe('');
}
