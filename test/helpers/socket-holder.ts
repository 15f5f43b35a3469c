import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from './tools.ts';
import { waitUntil } from './wait-until.ts';

/** Stands in for systemd where only sockets and messages matter; see test/fixtures/tools/socket-holder.py. Needs python3. */
export interface SocketHolder {
  /** Ports of the sockets that it holds, in the order asked for; 0 for Unix sockets. */
  readonly ports: readonly number[];
  /** What the server told with sd_notify, oldest first. */
  readonly said: readonly string[];
  /** Process id of the server that was started last. */
  readonly pid: number;
  start(): Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** SIGTERM and wait; gives the exit code. The sockets stay open. */
  end(): Promise<number>;
  log(): string;
  close(): Promise<void>;
}

export async function startSocketHolder(options: {
  readonly folder: string;
  readonly listen: readonly (readonly [string, number] | string)[];
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}): Promise<SocketHolder> {
  const script = fileURLToPath(new URL('../fixtures/tools/socket-holder.py', import.meta.url));
  const child = spawn(findProgram('python3') ?? 'python3', [script, JSON.stringify({ env: {}, ...options })], {
    cwd: options.folder,
    env: { PATH: process.env['PATH'], HOME: options.folder },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const said: string[] = [];
  const ended: number[] = [];
  const started: number[] = [];
  let ports: readonly number[] | null = null;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = JSON.parse(line) as {
      listening?: (string | [string, number])[];
      started?: number;
      ended?: number;
      said?: string;
    };
    if (event.said !== undefined) said.push(event.said);
    if (event.started !== undefined) started.push(event.started);
    if (event.ended !== undefined) ended.push(event.ended);
    if (event.listening !== undefined) ports = event.listening.map((each) => (typeof each === 'string' ? 0 : each[1]));
  });
  const gone = new Promise((resolve) => child.once('close', resolve));
  await waitUntil(() => ports !== null, 10_000, 'the holder of sockets');
  return {
    ports: ports ?? [],
    said,
    get pid() {
      return started.at(-1) ?? 0;
    },
    async start() {
      const before = started.length;
      child.stdin.write('start\n');
      await waitUntil(() => started.length > before, 10_000, 'the start');
    },
    signal: (name) => void child.stdin.write(`signal ${name}\n`),
    async end() {
      const before = ended.length;
      child.stdin.write('end\n');
      await waitUntil(() => ended.length > before, 40_000, 'the end');
      return ended.at(-1) ?? -1;
    },
    log: () => readFileSync(join(options.folder, 'log'), 'utf8'),
    async close() {
      child.stdin.end();
      await gone;
    },
  };
}
