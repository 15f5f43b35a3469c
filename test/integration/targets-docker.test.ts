import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, type TestContext } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { createKeyIn } from '../../src/server/policy/key-store.ts';
import { renderTarget } from '../../src/targets/index.ts';
import { importNodeImage, startDockerDaemon, type DockerDaemon } from '../helpers/docker-daemon.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { targetInput } from '../helpers/target-input.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// The rendered build context, built and run by a real Docker engine: not root, read-only, no capabilities.

const tools = ['dockerd', 'docker', 'ldd', 'tar'];
let folder = '';
let key = '';
let serverText = '';
let daemon: DockerDaemon | null = null;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-container-'));
  if (tools.some((tool) => findProgram(tool) === null)) return;
  serverText = readFileSync(await buildServerBundle(folder), 'utf8');
  const made = createKeyIn(null, { label: 'default', now: new Date().toISOString() });
  key = made.key;
  const leaf = await issueSelfSigned({ names: ['localhost', '127.0.0.1'], validDays: 30 });
  writeSecret('keys.json', made.storeText);
  writeSecret('server.crt', leaf.certificatePem);
  writeSecret('server.key', leaf.keyPem);
  if (process.getuid?.() !== 0) return;
  daemon = await startDockerDaemon();
  importNodeImage(daemon, 'node:24-bookworm-slim');
}, 180_000);

afterAll(async () => {
  await daemon?.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const variants: readonly { name: string; deployment: DeploymentInput; scheme: string; port: number }[] = [
  { name: 'TLS from mounted files', deployment: { version: 1 }, scheme: 'https', port: 8443 },
  {
    name: 'plain HTTP behind a proxy',
    deployment: {
      version: 1,
      tls: { source: 'off' },
      server: { listen: '127.0.0.1:8080' },
      proxy: { serverName: 'mcp.example.com' },
    },
    scheme: 'http',
    port: 8080,
  },
];

for (const { name, deployment, scheme, port } of variants) {
  testWithTools(
    tools,
    `docker builds the context and the container is healthy, read-only and not root: ${name}`,
    async (context) => {
      const engine = requireDaemon(context);
      const build = writeContext(deployment);
      const image = `mcp-test-${scheme}`;
      engine.docker(['build', '--tag', image, '.'], { cwd: build });

      const contents = engine.docker(['run', '--rm', '--network=none', '--entrypoint', 'node', image, '-p', listFiles]);
      expect(JSON.parse(contents)).toEqual(['mcp-deploy.yaml', 'serve.js']);

      const container = engine
        .docker([
          'run',
          '--detach',
          '--network=none',
          '--read-only',
          '--cap-drop=ALL',
          '--security-opt=no-new-privileges',
          '--tmpfs=/tmp',
          '--init',
          '--health-interval=1s',
          ...mount('keys.json', '/app/.mcp-deploy/keys/keys.json'),
          ...mount('server.crt', '/run/secrets/mcp_tls_certificate'),
          ...mount('server.key', '/run/secrets/mcp_tls_key'),
          image,
        ])
        .trim();
      const inspect = (format: string): string => engine.docker(['inspect', '--format', format, container]).trim();
      await waitUntil(
        () => {
          if (inspect('{{.State.Running}}') !== 'true') throw new Error(engine.docker(['logs', container]));
          return inspect('{{.State.Health.Status}}') === 'healthy';
        },
        60_000,
        'the HEALTHCHECK of the image to say healthy',
      );
      expect(inspect('{{.Config.User}}')).toBe('1000:1000');

      const post = (withKey: string): { status: number; body: string } =>
        JSON.parse(engine.docker(['exec', container, 'node', '-e', postInitialize(scheme, port), withKey])) as {
          status: number;
          body: string;
        };
      expect(post('')).toMatchObject({ status: 401 });
      expect(post(key)).toMatchObject({ status: 200, body: expect.stringContaining('serverInfo') as unknown });

      // The server drains on the image's stop signal and says goodbye by itself.
      engine.docker(['stop', '--time=30', container]);
      expect(inspect('{{.State.ExitCode}}')).toBe('0');
    },
    240_000,
  );
}

testWithTools(
  tools,
  'a key that lies in the build context by accident does not get into the image, nor does the key store',
  (context) => {
    const engine = requireDaemon(context);
    const build = writeContext({ version: 1 });
    for (const stray of ['default.key', 'keys.json', '.env', 'server.key'])
      writeFileSync(join(build, stray), `stray ${key}`);
    engine.docker(['build', '--tag', 'mcp-test-stray', '.'], { cwd: build });
    const saved = join(folder, 'image.tar');
    engine.docker(['save', '--output', saved, 'mcp-test-stray']);
    expect(readFileSync(saved).includes(key)).toBe(false);
  },
  240_000,
);

testWithTools(
  [...tools, 'docker-compose'],
  'Compose starts it with secrets as files, and its own settings hold',
  async (context) => {
    const engine = requireDaemon(context);
    const build = writeContext({ version: 1 });
    const file = join(build, 'compose.yaml');
    // docker-compose 1.29, which Debian 12 has, takes the project's name from its folder only. The engine of the test
    // has no bridge, so nothing can be published: the service gets no network.
    const text = readFileSync(file, 'utf8')
      .replace(/^name: .*\n/m, '')
      .replace(/ {4}ports:\n(?: {6}- .*\n)+/, '    network_mode: none\n');
    writeFileSync(file, text);
    const compose = (...args: string[]): string => {
      const { status, stdout, stderr } = spawnSync(
        findProgram('docker-compose') ?? '',
        ['-p', 'mcptest', '-f', file, ...args],
        {
          env: { ...engine.env, COMPOSE_DOCKER_CLI_BUILD: '0' },
          encoding: 'utf8',
          cwd: build,
        },
      );
      if (status !== 0) throw new Error(`docker-compose ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
      return stdout;
    };
    compose('up', '--detach', '--build');
    const container = compose('ps', '-q').trim();
    const inspect = (format: string): string => engine.docker(['inspect', '--format', format, container]).trim();
    await waitUntil(
      () => {
        if (inspect('{{.State.Running}}') !== 'true') throw new Error(engine.docker(['logs', container]));
        return engine.docker(['exec', container, 'node', '-e', aliveScript]).trim() === '200';
      },
      60_000,
      'the server in the container to answer /health',
    );
    expect(inspect('{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.Init}}')).toBe(
      'true [ALL] true',
    );
    // npx has to be able to write and start programs in its home, and nothing else may be written.
    expect(engine.docker(['exec', container, 'sh', '-c', writeAndRun]).trim()).toBe('started\nread-only');
    compose('down');
  },
  240_000,
);

const listFiles = "JSON.stringify(require('fs').readdirSync('/app').sort())";
const aliveScript =
  "require('https').get({host:'127.0.0.1',port:8443,path:'/health',rejectUnauthorized:false},(r)=>{console.log(r.statusCode);process.exit()}).on('error',()=>process.exit())";
const writeAndRun =
  'printf "#!/bin/sh\\necho started\\n" > "$HOME/run" && /usr/local/bin/node -e "require(\'fs\').chmodSync(process.env.HOME+\'/run\',0o755)" && "$HOME/run"; (echo x > /app/x) 2>/dev/null || echo read-only';

function postInitialize(scheme: string, port: number): string {
  const message = {
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
  };
  return `
    const headers = {'content-type': 'application/json', accept: 'application/json, text/event-stream'};
    if (process.argv[1]) headers.authorization = 'Bearer ' + process.argv[1];
    const request = require('node:${scheme}').request({
      host: 'localhost', port: ${port}, path: '/mcp', method: 'POST', rejectUnauthorized: false, headers,
    }, (response) => {
      let body = '';
      response.on('data', (chunk) => (body += chunk));
      response.on('end', () => console.log(JSON.stringify({ status: response.statusCode, body })));
    });
    request.end(${JSON.stringify(JSON.stringify(message))});`;
}

/** Renders the build context into a folder, with the secrets of this test. */
function writeContext(deployment: DeploymentInput): string {
  const context = mkdtempSync(join(folder, 'context-'));
  const base = targetInput(deployment, { readServerBundle: () => serverText });
  const paths = {
    ...base.paths,
    keyStoreFile: join(folder, 'secrets/keys.json'),
    certificateFile: join(folder, 'secrets/server.crt'),
    keyFile: join(folder, 'secrets/server.key'),
  };
  for (const file of renderTarget('docker', { ...base, paths })) {
    const path = join(context, file.path.replace('docker/', ''));
    writeFileSync(path, file.content);
    chmodSync(path, file.mode);
  }
  return context;
}

/** As `apply` leaves it: for its owner only, who is here the one that the container runs as. */
function writeSecret(name: string, content: string): void {
  const path = join(folder, 'secrets', name);
  mkdirSync(join(folder, 'secrets'), { recursive: true });
  chmodSync(folder, 0o755);
  writeFileSync(path, content, { mode: 0o600 });
  if (process.getuid?.() === 0) chownSync(path, 1000, 1000);
}

function mount(name: string, target: string): string[] {
  return ['--mount', `type=bind,source=${join(folder, 'secrets', name)},target=${target},readonly`];
}

/** dockerd can be started by root only; where the tools are required, so is root. */
function requireDaemon(context: TestContext): DockerDaemon {
  if (daemon !== null) return daemon;
  if (process.env['REQUIRE_TOOLS'] === '1') throw new Error('REQUIRE_TOOLS=1 and not root: dockerd cannot be started');
  return context.skip('needs root');
}
