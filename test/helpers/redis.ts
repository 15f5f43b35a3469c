import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram } from './tools.ts';
import { waitUntil } from './wait-until.ts';

/** A real redis-server or redis-sentinel on loopback, in a folder of its own. */
export interface RealRedis {
  readonly port: number;
  readonly url: string;
  /** Goes on after `kill` and `pause`. */
  restart(): Promise<void>;
  kill(): Promise<void>;
  pause(): void;
  resume(): void;
  /** One command in the inline form; gives what came back, raw. */
  ask(command: string): Promise<string>;
  close(): Promise<void>;
}

/** @param lines of its configuration beside port and folder */
export async function startRedis(lines: readonly string[] = [], sentinel = false, tlsOnly = false): Promise<RealRedis> {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-redis-'));
  const port = await freePort();
  const program = findProgram(sentinel ? 'redis-sentinel' : 'redis-server') ?? '';
  let child: ChildProcess;
  const start = async (): Promise<void> => {
    const file = join(folder, 'redis.conf');
    const place = tlsOnly ? ['port 0', `tls-port ${port}`] : [`port ${port}`];
    const own = [...place, 'bind 127.0.0.1', `dir ${folder}`, ...(sentinel ? [] : ['save ""'])];
    writeFileSync(file, [...own, ...lines, ''].join('\n'));
    child = spawn(program, [file], { stdio: 'ignore' });
    await waitUntil(() => canConnect(port), 10_000);
  };
  const end = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  await start();
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    restart: start,
    kill: end,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    ask: (command) => askInline(port, command),
    async close() {
      await end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function askInline(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`no answer to ${command}`)));
  });
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return typeof address === 'object' && address !== null ? address.port : 0;
}
