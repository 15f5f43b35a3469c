import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { startLoad } from '../helpers/call-load.ts';
import {
  importDebianImage,
  requireBench,
  startContainerBench,
  type ContainerBench,
} from '../helpers/container-bench.ts';
import { fakePrograms, openContainerFolder, type ContainerFolder } from '../helpers/container-cli.ts';
import { relayInto } from '../helpers/docker-daemon.ts';
import { callHttp } from '../helpers/http-call.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// service.manager: docker, by the built command line against a real engine: one engine and one deployment for all tests, in
// order; each finds what the ones before it left, live and unharmed.

const tools = ['dockerd', 'docker', 'docker-compose', 'haproxy', 'unshare', 'nsenter', 'ldd', 'tar'];
const withinMs = 400_000;
let bench: ContainerBench | null = null;
let folder: ContainerFolder;

beforeAll(async () => {
  bench = await startContainerBench(tools);
  if (bench === null) return;
  importDebianImage(bench, 'haproxy:3.2');
  folder = openContainerFolder(bench, 'notes');
}, 180_000);

afterAll(async () => {
  await bench?.stop();
}, 60_000);

const behindProxy = `version: 1
name: notes
service: { manager: docker }
container: { proxy: haproxy }
limits: { perKey: off, freePerKey: off }
server: { drainSeconds: 3 }
`;

/** Files, containers and images: what an undo has to bring back. */
function everything({ engine }: ContainerBench): object {
  return {
    files: folder.tree(),
    containers: engine.docker(['ps', '--all', '--no-trunc', '--format', '{{.ID}} {{.State}} {{.Image}}']),
    images: engine.docker(['images', '--quiet', '--no-trunc', 'mcp-notes']),
    networks: engine.docker(['network', 'ls', '--quiet']),
  };
}

describe('containers of Compose', () => {
  testWithTools(
    tools,
    'are refused in one sentence where Docker, its engine, the right to use it, or Compose is missing',
    async (context) => {
      const at = requireBench(bench, context);
      folder.want(behindProxy);
      const real = spawnSync('sh', ['-c', 'command -v docker'], { encoding: 'utf8' }).stdout.trim();
      const noPlugin = `case "$1" in compose|buildx) exit 1;; esac; exec ${real} "$@"`;
      const denied = 'echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1';
      const onlyNode = fakePrograms(at.folder, {});
      const cases = [
        { path: onlyNode, says: 'There is no docker on this machine.' },
        { path: fakePrograms(at.folder, { docker: denied }), says: 'You may not use Docker on this machine.' },
        { path: fakePrograms(at.folder, { docker: noPlugin }), says: 'Docker has no Compose here.' },
      ];
      for (const { path, says } of cases) {
        const { status, stderr } = await folder.cli(['apply'], { PATH: path });
        expect([status, stderr]).toEqual([3, expect.stringContaining(says)]);
      }
      const silent = await folder.cli(['plan'], { DOCKER_HOST: `unix://${at.folder}/nobody.sock` });
      expect([silent.status, silent.stderr]).toEqual([
        3,
        expect.stringContaining('The Docker engine does not answer.'),
      ]);
      expect(at.engine.docker(['ps', '--all', '--quiet'])).toBe('');
    },
    withinMs,
  );

  testWithTools(
    tools,
    'are planned without a change and made as one change, with keys and certificates as files that nobody else reads',
    async (context) => {
      const { engine } = requireBench(bench, context);
      const planned = await folder.must('plan');
      expect(planned).toContain('build image mcp-notes:');
      expect(engine.docker(['ps', '--all', '--quiet'])).toBe('');
      expect(await folder.must('apply')).toContain('https://localhost/mcp');
      expect((await folder.cli(['plan', '--check'])).status).toBe(0);
      expect(await folder.must('status')).toMatch(/running, container [0-9a-f]{12} of mcp-notes:[0-9a-f]{12}/);
      expect(await folder.must('logs', '-n', '5')).toContain('server.listening');

      const secrets = Object.entries(folder.tree()).filter(([path]) => path.startsWith('docker/secrets/1/mcp_'));
      expect(secrets.map(([path, about]) => `${path} ${about.split(' ').slice(0, 2).join(' ')}`)).toEqual(
        ['mcp_keys', 'mcp_tls_certificate', 'mcp_tls_key'].map((name) => `docker/secrets/1/${name} 600 65532:65532`),
      );
      const server = serverOf(engine);
      const inspected = engine.docker(['inspect', server]) + engine.docker(['image', 'inspect', imageOf(engine)]);
      const compose = readFileSync(join(folder.state, 'docker/compose.yaml'), 'utf8');
      const layers = engine.docker(['history', '--no-trunc', imageOf(engine)]);
      const key = readFileSync(join(folder.state, 'keys/default.key'), 'utf8').trim();
      const { keys } = JSON.parse(readFileSync(join(folder.state, 'keys/keys.json'), 'utf8')) as { keys: object[] };
      for (const secret of [key, 'PRIVATE KEY', ...keys.flatMap((each) => Object.values(each)).filter(isHash)]) {
        for (const text of [inspected, compose, layers]) expect(text).not.toContain(secret);
      }
      expect(JSON.parse(engine.docker(['inspect', server]))).toMatchObject([
        { Config: { User: '65532:65532' }, HostConfig: { ReadonlyRootfs: true, CapDrop: ['ALL'] } },
      ]);
      expect(JSON.stringify(JSON.parse(engine.docker(['inspect', server])))).toMatch(
        /"Destination":"[^"]*keys.json","Mode":"[^"]*","RW":false/,
      );
    },
    withinMs,
  );

  testWithTools(
    tools,
    'give way to a new release and to the former one without a failed call, and refuse a revoked key within moments',
    async (context) => {
      const { engine } = requireBench(bench, context);
      const relay = await relayInto(engine, 443);
      const url = `https://localhost:${relay.port}/mcp`;
      const ca = readFileSync(join(folder.state, 'pki/ca.crt'), 'utf8');
      try {
        const load = startLoad({ url, ca, key: keyIn('default'), clients: 4, tool: 'echo' });
        const first = imageOf(engine);
        folder.want(`${behindProxy}logs: { level: debug }\n`);
        await folder.must('apply');
        expect(imageOf(engine)).not.toBe(first);
        await folder.must('rollback');
        expect(imageOf(engine)).toBe(first);
        await load.stop();
        // Sessions of the legacy era are in the memory of the container that goes, which refuses them until it is gone.
        expect([load.counts.failedModern, load.problems.filter((text) => !text.startsWith('legacy: 503'))]).toEqual([
          0,
          [],
        ]);
        expect(load.counts.calls).toBeGreaterThan(50);
        expect(await folder.must('history')).toMatch(/ 3 .*back to 1 +live/);

        const { key: guest } = JSON.parse(await folder.must('keys', 'create', 'guest', '--json')) as { key: string };
        const status = async (): Promise<number> =>
          (await callHttp({ url, ca, headers: { authorization: `Bearer ${guest}` } })).status;
        await waitUntil(async () => (await status()) !== 401, 20_000, 'the new key to be known');
        await folder.must('keys', 'revoke', 'guest');
        await waitUntil(async () => (await status()) === 401, 20_000, 'the revoked key to be refused');
      } finally {
        await relay.close();
      }
      expect(engine.docker(['ps', '--all', '--quiet']).trim().split('\n')).toHaveLength(2);
    },
    withinMs,
  );

  const broken = [
    [
      'an MCP server that ends at once',
      behindProxy.replace('3 }', "3, upstreams: { dead: { command: node, args: [-e, 'process.exit(3)'] } } }"),
    ],
    [
      'an image that cannot be had',
      behindProxy.replace('haproxy }', 'haproxy, baseImage: "registry.invalid/node:24" }'),
    ],
  ] as const;
  for (const [what, text] of broken) {
    testWithTools(
      tools,
      `${what} leaves files, containers and images as they were`,
      async (context) => {
        const at = requireBench(bench, context);
        const before = everything(at);
        folder.want(text);
        const { status, stderr } = await folder.cli(['apply']);
        expect([status, stderr]).toEqual([4, expect.stringContaining('Everything was undone')]);
        expect(everything(at)).toEqual(before);
      },
      withinMs,
    );
  }

  testWithTools(
    tools,
    'a kill in the middle of the switch is undone by the next command, which leaves the containers of before',
    async (context) => {
      const at = requireBench(bench, context);
      folder.want(behindProxy);
      const before = everything(at);
      folder.want(`${behindProxy}logs: { level: warn }\n`);
      await folder.killAt('"step":"switch-containers"', 'apply');
      folder.want(behindProxy);
      expect(await folder.must('status')).toContain('was cut off');
      // Nothing to stop a second time: the undo is all that this does.
      await folder.must('start');
      expect(everything(at)).toEqual(before);
    },
    withinMs,
  );

  testWithTools(
    tools,
    'belong to one folder, whatever name another one has; a backup restored to an empty one serves the same keys and certificate',
    async (context) => {
      const at = requireBench(bench, context);
      const { engine } = at;
      const text = (path: string): string => readFileSync(path, 'utf8');
      const kept = join(folder.path, 'kept');
      await folder.must('backup', 'create', '--in-clear', '--out', kept);
      const backup = join(kept, readdirSync(kept).find((each) => each.endsWith('.gz')) ?? '');
      const pairIn = (state: string): readonly string[] =>
        ['ca.crt', 'server.crt', 'server.key'].map((each) => text(join(state, 'pki', each)));
      const pair = pairIn(folder.state);
      const before = everything(at);
      const again = openContainerFolder(at, 'again');
      const refused = await again.cli(['restore', backup, '--yes']);
      expect([refused.status, refused.stderr]).toEqual([3, expect.stringContaining(`belong to ${folder.path}`)]);
      expect(everything(at)).toEqual(before);
      expect(readdirSync(again.path)).toEqual([]);

      await folder.must('uninstall', '--yes');
      expect(engine.docker(['ps', '--all', '--quiet'])).toBe('');
      expect(engine.docker(['images', '--quiet', 'mcp-notes'])).toBe('');
      await again.must('restore', backup, '--yes');
      expect(pairIn(again.state)).toEqual(pair);
      const relay = await relayInto(engine, 443);
      try {
        const authorization = `Bearer ${text(join(again.state, 'keys/default.key')).trim()}`;
        const url = `https://localhost:${relay.port}/mcp`;
        const answer = await callHttp({ url, ca: pair[0] ?? '', headers: { authorization } });
        expect(answer.status).not.toBe(401);
      } finally {
        await relay.close();
      }
      await again.must('uninstall', '--yes', '--purge');
      expect(engine.docker(['ps', '--all', '--quiet'])).toBe('');
    },
    withinMs,
  );

  testWithTools(
    tools,
    'without a proxy a release that cannot start is found out beside the old one; the plan says what a switch costs; a module that is not named any more leaves context and image; uninstall leaves nothing',
    async (context) => {
      const at = requireBench(bench, context);
      const { engine } = at;
      const alone = 'version: 1\nname: notes\nservice: { manager: docker }\nserver: { drainSeconds: 1 }\n';
      mkdirSync(join(folder.path, 'tools'));
      writeFileSync(join(folder.path, 'tools/greet.mjs'), 'export default () => "hello";\n');
      const greet = '{ description: greets, inputSchema: { type: object }, module: { path: tools/greet.mjs } }';
      folder.want(alone.replace('1 }', `1, tools: { greet: ${greet} } }`));
      expect(await folder.must('apply')).toContain('https://localhost:8443/mcp');
      const inImage = (): string =>
        engine.docker(['exec', serverOf(engine), 'node', '-p', "require('fs').readdirSync('/app').join()"]);
      expect(inImage()).toContain('tools');
      const before = everything(at);
      folder.want(alone.replace('1 }', "1, upstreams: { dead: { command: node, args: [-e, 'process.exit(3)'] } } }"));
      const failed = await folder.cli(['apply']);
      expect([failed.status, failed.stderr]).toEqual([4, expect.stringContaining('"dead" does not start')]);
      expect(failed.stderr).toContain('calls fail for a moment');
      expect(everything(at)).toEqual(before);
      expect(existsSync(join(folder.state, 'docker/own/tools/greet.mjs'))).toBe(true);
      folder.want(alone);
      expect(await folder.must('plan')).toMatch(/own\/tools\/greet\.mjs +mcp-deploy\.yaml does not name it any more/);
      await folder.must('apply');
      expect(existsSync(join(folder.state, 'docker/own'))).toBe(false);
      expect(inImage()).not.toContain('tools');
      await folder.must('stop');
      expect(await folder.must('status')).toContain('stopped');
      await folder.must('start');
      await folder.must('uninstall', '--yes', '--purge');
      expect(engine.docker(['ps', '--all', '--quiet'])).toBe('');
      expect(engine.docker(['volume', 'ls', '--quiet'])).toBe('');
      expect(engine.docker(['network', 'ls', '--format', '{{.Name}}']).trim().split('\n').toSorted()).toEqual([
        'bridge',
        'host',
        'none',
      ]);
      expect(engine.docker(['images', '--quiet', 'mcp-notes'])).toBe('');
    },
    withinMs,
  );
});

function keyIn(label: string): string {
  return readFileSync(join(folder.state, `keys/${label}.key`), 'utf8').trim();
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && value.length > 30;
}

function serverOf(engine: ContainerBench['engine']): string {
  return engine.docker(['ps', '--quiet', '--filter', 'label=com.docker.compose.service=server']).trim();
}

function imageOf(engine: ContainerBench['engine']): string {
  return engine.docker(['inspect', '--format', '{{.Config.Image}}', serverOf(engine)]).trim();
}
