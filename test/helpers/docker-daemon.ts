import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { findProgram, runTool } from './tools.ts';
import { waitUntil } from './wait-until.ts';

export interface DockerDaemon {
  /** Runs `docker …` against this daemon and gives its output; throws with its complaint. */
  docker(args: readonly string[], options?: { cwd?: string }): string;
  readonly env: NodeJS.ProcessEnv;
  stop(): Promise<void>;
}

/** A Docker engine of the test's own: nothing of the machine's engine, networks or images is seen or touched. Needs root. */
export async function startDockerDaemon(): Promise<DockerDaemon> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-docker-'));
  const socket = `unix://${folder}/docker.sock`;
  const dockerd = findProgram('dockerd');
  const client = findProgram('docker');
  if (dockerd === null || client === null) throw new Error('dockerd or docker is not installed');
  const ownFolders = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')];
  const child = spawn(
    dockerd,
    [
      '--host',
      socket,
      '--pidfile',
      join(folder, 'pid'),
      ...ownFolders,
      '--bridge=none',
      '--iptables=false',
      '--ip6tables=false',
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    },
  );
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const env = { ...process.env, DOCKER_HOST: socket, DOCKER_BUILDKIT: '0', DOCKER_CONFIG: join(folder, 'config') };
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await gone;
      clearTimeout(timer);
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await waitUntil(
      () => {
        if (child.exitCode !== null) throw new Error(`dockerd ended with ${child.exitCode}:\n${output}`);
        return spawnSync(client, ['info'], { env, stdio: 'ignore' }).status === 0;
      },
      60_000,
      'dockerd to answer',
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    env,
    docker(args, options = {}) {
      const { status, stdout, stderr } = spawnSync(client, args, { env, encoding: 'utf8', ...options });
      if (status !== 0) throw new Error(`docker ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
      return stdout;
    },
    stop,
  };
}

/**
 * An image that stands in for node:24-bookworm-slim where there is no registry: the Node of this machine with the
 * libraries it names, a shell, and the user node with id 1000.
 */
export function importNodeImage(daemon: DockerDaemon, tag: string): void {
  const root = mkdtempSync(join(tmpdir(), 'mcp-image-'));
  try {
    const install = (from: string, to: string, mode: number): void => {
      const target = join(root, to);
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(realpathSync(from), target);
      chmodSync(target, mode);
    };
    const programs = [
      [process.execPath, '/usr/local/bin/node'],
      ['/bin/sh', '/bin/sh'],
    ] as const;
    for (const [from, to] of programs) {
      install(from, to, 0o755);
      for (const [, library] of runTool('ldd', [realpathSync(from)]).matchAll(/(\/\S+) \(0x/g)) {
        if (library !== undefined) install(library, library, 0o755);
      }
    }
    mkdirSync(join(root, 'etc'), { recursive: true });
    writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n');
    writeFileSync(join(root, 'etc/group'), 'root:x:0:\nnode:x:1000:\n');
    for (const name of ['home/node', 'tmp', 'proc', 'sys', 'dev', 'run'])
      mkdirSync(join(root, name), { recursive: true });
    chmodSync(join(root, 'tmp'), 0o1777);
    const archive = join(root, '..', `${root.split('/').at(-1) ?? 'image'}.tar`);
    runTool('tar', ['-C', root, '-cf', archive, '.']);
    daemon.docker(['import', '--change', 'ENV PATH=/usr/local/bin:/usr/bin:/bin', archive, tag]);
    rmSync(archive);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
