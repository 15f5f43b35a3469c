import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { parse } from 'yaml';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { connectLegacy } from '../helpers/clients.ts';
import {
  importDebianImage,
  requireBench,
  startContainerBench,
  type ContainerBench,
} from '../helpers/container-bench.ts';
import { startLoad as startCalls } from '../helpers/call-load.ts';
import { openContainerFolder } from '../helpers/container-cli.ts';
import { relayInto } from '../helpers/docker-daemon.ts';
import { callHttp } from '../helpers/http-call.ts';
import { modernRequest } from '../helpers/server-rig.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// The rendered stack in a Swarm of one machine: three copies, an update and an update that fails, with calls all the time.

const tools = ['dockerd', 'docker', 'haproxy', 'unshare', 'nsenter', 'ldd', 'tar'];
const deployment: DeploymentInput = {
  version: 1,
  server: { drainSeconds: 5 },
  container: { image: 'mcp:1', replicas: 3, cpus: { reserved: 0.05 }, memoryMegabytes: { reserved: 64 } },
};
let bench: ContainerBench | null = null;

beforeAll(async () => {
  bench = await startContainerBench(tools);
}, 180_000);

afterAll(async () => {
  await bench?.stop();
}, 60_000);

const applied = `version: 1
name: notes
service: { manager: swarm }
limits: { perKey: off, freePerKey: off }
server: { drainSeconds: 3 }
container: { replicas: 2, cpus: { reserved: 0.05 }, memoryMegabytes: { reserved: 64 } }
`;

testWithTools(
  tools,
  'service.manager: swarm is applied, grows to three copies of another release, keeps it when the next cannot start, goes back without a failed call, and leaves nothing',
  async (context) => {
    const at = requireBench(bench, context);
    const { engine } = at;
    importDebianImage(at, 'haproxy:3.2');
    const folder = openContainerFolder(at, 'stack');
    folder.want(applied);
    const refused = await folder.cli(['apply']);
    expect([refused.status, refused.stderr]).toEqual([3, expect.stringContaining('This engine is in no swarm.')]);
    engine.docker(['swarm', 'init', '--advertise-addr', '127.0.0.1']);
    expect(await folder.must('apply')).toContain('https://localhost/mcp');
    expect(await folder.must('status')).toContain('2 copies of mcp-notes:');
    expect((await folder.cli(['plan', '--check'])).status).toBe(0);
    const relay = await relayInto(engine, 443);
    try {
      const load = startCalls({
        url: `https://localhost:${relay.port}/mcp`,
        ca: readFileSync(join(folder.state, 'pki/ca.crt'), 'utf8'),
        key: readFileSync(join(folder.state, 'keys/default.key'), 'utf8').trim(),
        clients: 4,
        tool: 'echo',
      });
      folder.want(`${applied.replace('replicas: 2', 'replicas: 3')}logs: { level: debug }\n`);
      await folder.must('keys', 'create', 'guest');
      await folder.must('apply');
      expect(await folder.must('status')).toContain('3 copies of mcp-notes:');
      // Those of before went: one of each name is left.
      const named = (kind: string): readonly string[] =>
        engine
          .docker([kind, 'ls', '--format', '{{.Name}}'])
          .trim()
          .split('\n')
          .map((name) => name.replace(/_[0-9a-f]+$/, ''));
      for (const kind of ['config', 'secret']) expect(named(kind).length).toBe(new Set(named(kind)).size);

      const before = { files: folder.tree(), copies: copiesOf(at) };
      expect(before.copies).toHaveLength(3);
      const dead = "upstreams: { dead: { command: node, args: [-e, 'process.exit(3)'] } }";
      folder.want(applied.replace('replicas: 2', 'replicas: 3').replace('3 }', `3, ${dead} }`));
      const failed = await folder.cli(['apply']);
      expect([failed.status, failed.stderr]).toEqual([4, expect.stringContaining('"dead" does not start')]);
      expect(failed.stderr).toContain('Everything was undone');
      // None of those that serve was ended for one that cannot.
      expect({ files: folder.tree(), copies: copiesOf(at) }).toEqual(before);

      await folder.must('rollback');
      expect(await folder.must('status')).toContain('2 copies of mcp-notes:');
      await load.stop();
      // A session of the legacy era is begun anew when its copy goes; until it is gone, that copy refuses it.
      const others = load.problems.filter((text) => !text.startsWith('legacy: 503'));
      expect([load.counts.failedModern, others]).toEqual([0, []]);
    } finally {
      await relay.close();
      await folder.must('uninstall', '--yes');
    }
    for (const kind of ['service', 'secret', 'config']) expect(engine.docker([kind, 'ls', '--quiet'])).toBe('');
    expect(engine.docker(['images', '--quiet', 'mcp-notes'])).toBe('');
    engine.docker(['swarm', 'leave', '--force']);
  },
  600_000,
);

testWithTools(
  tools,
  'three copies of the stack keep legacy sessions; an update, and one that is rolled back, cost no call of the modern era',
  async (context) => {
    const at = requireBench(bench, context);
    const { engine, caFile, keyFile } = at;
    importDebianImage(at, 'haproxy:3.2');
    buildImages(at);
    engine.docker(['swarm', 'init', '--advertise-addr', '127.0.0.1']);
    const folder = at.render('swarm', deployment);
    const file = join(folder, 'stack.yaml');
    // Seconds, so that the test need not wait for longer than it takes to fail.
    writeFileSync(file, readFileSync(file, 'utf8').replace('monitor: 20s', 'monitor: 4s'));
    engine.docker(['stack', 'deploy', '--compose-file', file, 'mcp'], { cwd: folder });
    const relay = await relayInto(engine, 443);
    const url = `https://localhost:${relay.port}/mcp`;
    const ca = readFileSync(caFile, 'utf8');
    try {
      await waitUntil(() => running(at) === 3, 120_000, '').catch(() => {
        throw new Error(describeStack(at));
      });
      await waitUntil(async () => (await call(url, at.key, ca, 0)) === 200, 60_000, 'the stack to answer').catch(() => {
        throw new Error(describeStack(at));
      });

      // More sessions than copies, each called again and again: one that reached another copy would be a 404.
      for (let session = 0; session < 6; session += 1) {
        const client = await connectLegacy({ url, caFile, keyFile });
        for (const message of ['a', 'b', 'c', 'd']) {
          const result = await client.callTool({ name: 'echo', arguments: { message } });
          expect(JSON.stringify(result)).toContain(message);
        }
        await client.close();
      }

      const load = startLoad(url, at.key, ca);
      expect(await updateTo(at, 'mcp:2')).toBe('completed');
      expect(new Set(imagesOf(at))).toEqual(new Set(['mcp:2']));
      expect(await updateTo(at, 'mcp:broken')).toBe('rollback_completed');
      expect(new Set(imagesOf(at))).toEqual(new Set(['mcp:2']));
      const statuses = await load.stop();
      expect(statuses.length).toBeGreaterThan(50);
      expect(statuses.filter((status) => status !== 200)).toEqual([]);
    } finally {
      await relay.close();
      engine.docker(['stack', 'rm', 'mcp']);
      await waitUntil(
        () => engine.docker(['ps', '--all', '--quiet']) === '',
        60_000,
        'the containers of the stack to go',
      );
    }
    expect(engine.docker(['service', 'ls', '--quiet'])).toBe('');
    expect(engine.docker(['secret', 'ls', '--quiet'])).toBe('');
    expect(engine.docker(['config', 'ls', '--quiet'])).toBe('');
  },
  400_000,
);

/** mcp:1 and mcp:2, which differ in a label, and one whose server answers and is never ready. */
function buildImages(at: ContainerBench): void {
  const folder = at.render('docker', {
    ...deployment,
    tls: { source: 'off' },
    server: { listen: '127.0.0.1:8080', drainSeconds: 5 },
  });
  const dockerfile = join(folder, 'Dockerfile');
  writeFileSync(
    dockerfile,
    readFileSync(dockerfile, 'utf8').replace(
      /--interval=10s (.*)--start-period=\d+s/,
      '--interval=1s $1--start-period=3s',
    ),
  );
  for (const version of ['1', '2'])
    at.engine.docker(['build', '--label', `version=${version}`, '--tag', `mcp:${version}`, '.'], { cwd: folder });
  const wanted = parse(readFileSync(join(folder, 'mcp-deploy.yaml'), 'utf8')) as { server: object };
  const upstreams = { dead: { command: 'node', args: ['-e', 'process.exit(3)'] } };
  writeFileSync(join(folder, 'broken.yaml'), JSON.stringify({ ...wanted, server: { ...wanted.server, upstreams } }));
  writeFileSync(join(folder, '.dockerignore'), '*\n!broken.yaml\n');
  writeFileSync(dockerfile, 'FROM mcp:1\nCOPY broken.yaml /app/\nCMD ["--config", "/app/broken.yaml"]\n');
  at.engine.docker(['build', '--tag', 'mcp:broken', '.'], { cwd: folder });
}

async function updateTo({ engine }: ContainerBench, image: string): Promise<string> {
  engine.docker(['service', 'update', '--detach', '--no-resolve-image', '--image', image, 'mcp_server']);
  const state = (): string =>
    engine
      .docker(['service', 'inspect', '--format', '{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}', 'mcp_server'])
      .trim();
  await waitUntil(
    () => /^(?:completed|paused|rollback_completed|rollback_paused)$/.test(state()),
    150_000,
    `the update to ${image} to end`,
  );
  return state();
}

function imagesOf({ engine }: ContainerBench): readonly string[] {
  const format = '{{.Image}}';
  return engine
    .docker(['service', 'ps', '--filter', 'desired-state=running', '--format', format, 'mcp_server'])
    .split('\n')
    .filter(Boolean);
}

/** Copies of the stack that apply made. */
function copiesOf({ engine }: ContainerBench): readonly string[] {
  const label = 'label=com.docker.swarm.service.name=mcp-notes_server';
  return engine.docker(['ps', '--quiet', '--filter', label]).trim().split('\n').toSorted();
}

function running({ engine }: ContainerBench): number {
  return engine
    .docker(['service', 'ps', '--filter', 'desired-state=running', '--format', '{{.CurrentState}}', 'mcp_server'])
    .split('\n')
    .filter((state) => state.startsWith('Running')).length;
}

function describeStack(at: ContainerBench): string {
  const containers = at.engine.docker(['ps', '--all', '--quiet']).split('\n').filter(Boolean);
  return [at.engine.docker(['stack', 'ps', '--no-trunc', 'mcp']), ...containers.map((id) => at.logs(id))].join('\n');
}

async function call(url: string, key: string, ca: string, id: number): Promise<number> {
  const { message, headers } = modernRequest(id, 'tools/call', { name: 'echo', arguments: { message: `${id}` } });
  const answer = await callHttp({
    url,
    ca,
    method: 'POST',
    headers: {
      ...headers,
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    },
    body: JSON.stringify(message),
  }).catch(() => null);
  return answer?.status ?? 0;
}

/** Calls of the modern era one after another, in three rows, until it is stopped; a call that fails has the status 0. */
function startLoad(url: string, key: string, ca: string): { stop(): Promise<readonly number[]> } {
  const statuses: number[] = [];
  const end = new AbortController();
  const rows = [1, 2, 3].map(async () => {
    while (!end.signal.aborted) statuses.push(await call(url, key, ca, statuses.length));
  });
  return {
    async stop() {
      end.abort();
      await Promise.all(rows);
      return statuses;
    },
  };
}
