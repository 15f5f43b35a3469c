import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { findProgram, runTool } from './tools.ts';
import { waitUntil } from './wait-until.ts';

export interface DockerDaemon {
  /** Runs `docker …` against this daemon and gives its output; throws with its complaint. */
  docker(args: readonly string[], options?: { cwd?: string }): string;
  readonly env: NodeJS.ProcessEnv;
  /** Process whose network is that of the daemon and of what it publishes. */
  readonly pid: number;
  stop(): Promise<void>;
}

/**
 * A Docker engine of the test's own, in a network of its own: nothing of the machine's engine, networks or images is
 * seen or touched. Needs root.
 */
export async function startDockerDaemon(): Promise<DockerDaemon> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-docker-'));
  const socket = `unix://${folder}/docker.sock`;
  const dockerd = findProgram('dockerd');
  const client = findProgram('docker');
  if (dockerd === null || client === null) throw new Error('dockerd or docker is not installed');
  const ownFolders = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')];
  // unshare and the shell are replaced by what they start, so that the child is dockerd itself.
  const child = spawn(
    findProgram('unshare') ?? 'unshare',
    [
      '--net',
      'sh',
      '-c',
      'ip link set lo up && exec "$0" "$@"',
      dockerd,
      '--host',
      socket,
      '--pidfile',
      join(folder, 'pid'),
      ...ownFolders,
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
    pid: child.pid ?? 0,
    docker(args, options = {}) {
      const { status, stdout, stderr } = spawnSync(client, args, { env, encoding: 'utf8', ...options });
      if (status !== 0) throw new Error(`docker ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
      return stdout;
    },
    stop,
  };
}

/**
 * An image that stands in for node:24-bookworm-slim where there is no registry: the Node of this machine, a shell, and
 * the user node with id 1000.
 */
export function importNodeImage(daemon: DockerDaemon, tag: string): void {
  importProgramImage(daemon, tag, { programs: { [process.execPath]: '/usr/local/bin/node' } });
}

/** An image of programs of this machine with the libraries they name, and a shell. */
export function importProgramImage(
  daemon: DockerDaemon,
  tag: string,
  content: {
    readonly programs: Readonly<Record<string, string>>;
    readonly files?: readonly string[];
    readonly folders?: readonly string[];
    readonly owner?: { readonly folder: string; readonly uid: number } | undefined;
  },
): void {
  const root = mkdtempSync(join(tmpdir(), 'mcp-image-'));
  const archive = `${root}.tar`;
  try {
    const install = (from: string, to: string, mode: number): void => {
      const target = join(root, to);
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(realpathSync(from), target);
      chmodSync(target, mode);
    };
    for (const [from, to] of Object.entries({ '/bin/sh': '/bin/sh', ...content.programs })) {
      install(from, to, 0o755);
      for (const library of librariesOf(from)) install(library, library, 0o755);
    }
    for (const file of content.files ?? []) install(file, file, 0o644);
    mkdirSync(join(root, 'etc'), { recursive: true });
    writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n');
    writeFileSync(join(root, 'etc/group'), 'root:x:0:\nnode:x:1000:\n');
    for (const name of ['home/node', 'tmp', 'proc', 'sys', 'dev', 'run', ...(content.folders ?? [])])
      mkdirSync(join(root, name), { recursive: true });
    chmodSync(join(root, 'tmp'), 0o1777);
    const { owner } = content;
    if (owner !== undefined) chownSync(join(root, owner.folder), owner.uid, owner.uid);
    runTool('tar', ['-C', root, '-cf', archive, '.']);
    daemon.docker(['import', '--change', 'ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin', archive, tag]);
  } finally {
    rmSync(archive, { force: true });
    rmSync(root, { recursive: true, force: true });
  }
}

/** None for a program that is linked into one piece. */
function librariesOf(program: string): readonly string[] {
  const { stdout } = spawnSync('ldd', [realpathSync(program)], { encoding: 'utf8' });
  return Array.from(stdout.matchAll(/(\/\S+) \(0x/g), (match) => match[1] ?? '');
}

/** A port of this machine that leads to one in the daemon's network. */
export interface Relay {
  readonly port: number;
  close(): Promise<void>;
}

/** Opens a relay, so that clients in this process reach what the daemon publishes. */
export async function relayInto(daemon: DockerDaemon, port: number, host = '127.0.0.1'): Promise<Relay> {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-relay-'));
  const socket = join(folder, 'socket');
  const inside = `require('net').createServer((c)=>{const s=require('net').connect(${port},'${host}');c.pipe(s);s.pipe(c);c.on('error',()=>s.destroy());s.on('error',()=>c.destroy());c.on('close',()=>s.destroy());s.on('close',()=>c.destroy())}).listen(${JSON.stringify(socket)})`;
  const child = spawn('nsenter', ['--target', String(daemon.pid), '--net', process.execPath, '-e', inside], {
    stdio: 'ignore',
  });
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const far = connect(socket);
    open.add(client);
    client.pipe(far).pipe(client);
    client.on('error', () => far.destroy());
    far.on('error', () => client.destroy());
    client.on('close', () => far.destroy());
    far.on('close', () => {
      client.destroy();
      open.delete(client);
    });
  });
  await waitUntil(() => existsSync(socket), 20_000, 'the relay into the network of the daemon');
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const client of open) client.destroy();
      await new Promise((resolve) => server.close(resolve));
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
