import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { createKeyIn } from '../../src/server/policy/key-store.ts';
import { findTarget, renderTarget } from '../../src/targets/index.ts';
import type { TargetCommands, TargetName } from '../../src/targets/types.ts';
import { importNodeImage, importProgramImage, startDockerDaemon, type DockerDaemon } from './docker-daemon.ts';
import { buildServerBundle } from './server-bundle.ts';
import { targetInput } from './target-input.ts';
import { findProgram } from './tools.ts';

/** What tests of containers share: one engine, images made of this machine's programs, one key and one certificate. */
export interface ContainerBench {
  readonly engine: DockerDaemon;
  readonly folder: string;
  readonly key: string;
  readonly keyFile: string;
  readonly keyStoreFile: string;
  readonly caFile: string;
  /** Renders a target into a new folder, with the secrets of this bench; gives the folder. */
  render(target: TargetName, deployment: DeploymentInput): string;
  /** The commands and notices that go with a target. */
  commands(target: TargetName, deployment: DeploymentInput): TargetCommands;
  /** Runs docker-compose over a rendered folder; throws with its complaint. */
  compose(folder: string, args: readonly string[]): string;
  /** Runs `docker …` beside the test; gives its exit code. */
  start(args: readonly string[]): Promise<number | null>;
  /** Lets everyone look at a file or folder of the bench and the folder that it is in. */
  readable(path: string): void;
  /** What a container wrote, on both outputs. */
  logs(container: string): string;
  stop(): Promise<void>;
}

/** Null where no engine can be started: no root, or a program is missing. */
export async function startContainerBench(tools: readonly string[]): Promise<ContainerBench | null> {
  if (process.getuid?.() !== 0 || tools.some((tool) => findProgram(tool) === null)) return null;
  const folder = mkdtempSync(join(tmpdir(), 'mcp-bench-'));
  chmodSync(folder, 0o755);
  const engine = await startDockerDaemon();
  importNodeImage(engine, 'node:24-bookworm-slim');
  const serverText = readFileSync(await buildServerBundle(folder), 'utf8');
  const made = createKeyIn(null, { label: 'default', now: new Date().toISOString() });
  const leaf = await issueSelfSigned({ names: ['localhost', '127.0.0.1'], validDays: 30 });
  const secrets = join(folder, 'secrets');
  mkdirSync(secrets);
  const put = (name: string, content: string): string => {
    const path = join(secrets, name);
    writeFileSync(path, content, { mode: 0o600 });
    // As apply leaves it: for its owner only, who is here the one that the containers run as.
    chownSync(path, 1000, 1000);
    return path;
  };
  const files = {
    keyStoreFile: put('keys.json', made.storeText),
    certificateFile: put('server.crt', leaf.certificatePem),
    keyFile: put('server.key', leaf.keyPem),
  };
  const keyFile = put('default.key', made.key);
  return {
    engine,
    folder,
    key: made.key,
    keyFile,
    keyStoreFile: files.keyStoreFile,
    caFile: files.certificateFile,
    render(target, deployment) {
      const out = mkdtempSync(join(folder, `${target}-`));
      chmodSync(out, 0o755);
      const base = targetInput(deployment, { readServerBundle: () => serverText });
      for (const file of renderTarget(target, { ...base, paths: { ...base.paths, ...files } })) {
        const path = join(out, file.path.replace(`${target}/`, ''));
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, file.content);
        chmodSync(path, file.mode);
      }
      return out;
    },
    commands: (target, deployment) => findTarget(target).commands(targetInput(deployment)),
    compose(where, args) {
      const file = join(where, 'compose.yaml');
      // docker-compose 1.29, which Debian 12 has, knows neither the name of a project nor restart: true; Compose 2 does.
      const text = readFileSync(file, 'utf8')
        .replace(/^name: .*\n/m, '')
        .replace(/^ +restart: true\n/m, '');
      writeFileSync(file, text);
      const dockerfile = join(where, 'Dockerfile');
      // So that what waits for a healthy server need not wait for long.
      writeFileSync(dockerfile, readFileSync(dockerfile, 'utf8').replace('--interval=10s', '--interval=1s'));
      const { status, stdout, stderr } = spawnSync(
        findProgram('docker-compose') ?? '',
        ['-p', 'mcptest', '-f', file, ...args],
        {
          env: { ...engine.env, COMPOSE_DOCKER_CLI_BUILD: '0' },
          encoding: 'utf8',
          cwd: where,
        },
      );
      if (status !== 0) throw new Error(`docker-compose ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
      return stdout;
    },
    start(args) {
      const child = spawn('docker', args, { env: engine.env, stdio: 'ignore' });
      return new Promise((resolve) => child.once('exit', resolve));
    },
    readable(path) {
      chmodSync(dirname(path), 0o755);
      chmodSync(path, statSync(path).isDirectory() ? 0o755 : 0o644);
    },
    logs(container) {
      const { stdout, stderr } = spawnSync('docker', ['logs', container], { env: engine.env, encoding: 'utf8' });
      return stdout + stderr;
    },
    async stop() {
      await engine.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The bench, or the end of the test: skipped on a user's machine, failed where tools are required. */
export function requireBench(bench: ContainerBench | null, context: TestContext): ContainerBench {
  if (bench !== null) return bench;
  if (process.env['REQUIRE_TOOLS'] === '1') throw new Error('REQUIRE_TOOLS=1 and not root: dockerd cannot be started');
  return context.skip('needs root');
}

/** Images of other programs, made once for an engine. */
export function importDebianImage({ engine }: ContainerBench, tag: string): void {
  const known = engine.docker(['images', '--quiet', tag]).trim() !== '';
  if (known) return;
  const [name = ''] = tag.split(':');
  const programsByImage: Readonly<Record<string, readonly string[]>> = {
    nginx: ['nginx'],
    caddy: ['caddy'],
    haproxy: ['haproxy'],
    redis: ['redis-server', 'redis-cli'],
    'prom/prometheus': ['prometheus'],
  };
  const programs = (programsByImage[name] ?? []).map((program) => {
    const path = findProgram(program);
    if (path === null) throw new Error(`${program} is not installed`);
    return [path, `/usr/bin/${program}`] as const;
  });
  importProgramImage(engine, tag, {
    programs: Object.fromEntries(programs),
    files: name === 'nginx' ? ['/etc/nginx/mime.types'] : [],
    folders: name === 'nginx' ? ['var/log/nginx', 'usr/share/nginx'] : ['prometheus'],
    owner: name === 'prom/prometheus' ? { folder: 'prometheus', uid: 65_534 } : undefined,
  });
}
