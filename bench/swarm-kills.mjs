// A swarm of three copies behind HAProxy under load, one copy killed every ten seconds: what clients see of it.
//   node bench/swarm-kills.mjs [--seconds 120] [--every 10] [--clients 16]
// Needs root, dockerd, docker, haproxy: it starts an engine of its own, in a network of its own.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    every: { type: 'string', default: '10' },
    clients: { type: 'string', default: '16' },
  },
});
const seconds = Number(values.seconds);
const every = Number(values.every);
const clients = Number(values.clients);

const root = fileURLToPath(new URL('..', import.meta.url));
const outfile = join(root, 'dist/bench/helpers.mjs');
mkdirSync(join(root, 'dist/bench'), { recursive: true });
await build({
  stdin: {
    contents: ['container-bench', 'docker-daemon', 'call-load', 'wait-until']
      .map((name) => `export * from './test/helpers/${name}.ts';`)
      .join('\n'),
    resolveDir: root,
  },
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  packages: 'external',
});
const { importDebianImage, relayInto, startContainerBench, startLoad, waitUntil } = await import(
  pathToFileURL(outfile).href
);

const bench = await startContainerBench(['dockerd', 'docker', 'haproxy', 'unshare', 'nsenter', 'ldd', 'tar']);
if (bench === null) throw new Error('this needs root and dockerd');
const { engine } = bench;
const docker = (...args) => engine.docker(args);
let relay = null;
try {
  importDebianImage(bench, 'haproxy:3.2');
  const deployment = {
    version: 1,
    limits: { perKey: 'off', freePerKey: 'off' },
    server: { drainSeconds: 5 },
    container: { image: 'mcp:1', replicas: 3, cpus: { reserved: 0.05 }, memoryMegabytes: { reserved: 64 } },
  };
  const context = bench.render('docker', { ...deployment, container: { ...deployment.container, proxy: 'haproxy' } });
  const dockerfile = join(context, 'Dockerfile');
  writeFileSync(dockerfile, readFileSync(dockerfile, 'utf8').replace('--interval=10s', '--interval=2s'));
  docker('build', '--tag', 'mcp:1', context);
  docker('swarm', 'init', '--advertise-addr', '127.0.0.1');
  const folder = bench.render('swarm', deployment);
  engine.docker(['stack', 'deploy', '--compose-file', 'stack.yaml', 'mcp'], { cwd: folder });
  const servers = () => docker('ps', '--quiet', '--filter', 'name=mcp_server').split('\n').filter(Boolean);
  const healthy = () =>
    docker('ps', '--quiet', '--filter', 'name=mcp_server', '--filter', 'health=healthy').split('\n').filter(Boolean);
  await waitUntil(() => healthy().length === 3, 180_000, 'three copies');
  relay = await relayInto(engine, 443);
  const url = `https://localhost:${relay.port}/mcp`;
  const ca = readFileSync(bench.caFile, 'utf8');
  const seen = { modern: { ok: 0, failed: 0, ms: [] }, legacy: { ok: 0, failed: 0, ms: [] } };
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const load = startLoad({
    url,
    ca,
    key: bench.key,
    clients,
    tool: 'echo',
    onCall({ era, ok, durationMs }) {
      seen[era][ok ? 'ok' : 'failed'] += 1;
      if (ok) seen[era].ms.push(durationMs);
    },
  });
  const startedAt = performance.now();
  let kills = 0;
  const serving = [];
  const sampler = setInterval(() => serving.push(healthy().length), 2_000);
  for (let at = every; at <= seconds; at += every) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, startedAt + at * 1_000 - performance.now())));
    if (at === seconds) break;
    const victims = servers();
    const victim = victims[Math.floor(Math.random() * victims.length)];
    if (victim === undefined) continue;
    spawnSync('docker', ['kill', victim], { env: engine.env, stdio: 'ignore' });
    kills += 1;
  }
  clearInterval(sampler);
  await load.stop();
  const elapsed = (performance.now() - startedAt) / 1_000;
  const quantile = (list, share) => list.toSorted((a, b) => a - b)[Math.floor((list.length - 1) * share)] ?? 0;
  const describe = ({ ok, failed, ms }) => ({
    ok,
    failed,
    failedPercent: Number(((100 * failed) / Math.max(1, ok + failed)).toFixed(3)),
    p50Ms: Math.round(quantile(ms, 0.5) * 10) / 10,
    p99Ms: Math.round(quantile(ms, 0.99) * 10) / 10,
    maxMs: Math.round(quantile(ms, 1)),
  });
  const problems = {};
  for (const text of load.problems) problems[text.slice(0, 60)] = (problems[text.slice(0, 60)] ?? 0) + 1;
  console.log(
    JSON.stringify(
      {
        cores: cpus().length,
        seconds: Math.round(elapsed),
        kills,
        clients,
        callsPerSecond: Math.round((seen.modern.ok + seen.legacy.ok) / elapsed),
        modern: describe(seen.modern),
        legacy: { ...describe(seen.legacy), sessionsBegunAnew: load.counts.sessionsLost },
        healthyCopies: { median: quantile(serving, 0.5), least: quantile(serving, 0) },
        problems,
      },
      null,
      2,
    ),
  );
} finally {
  await relay?.close();
  await bench.stop();
}
