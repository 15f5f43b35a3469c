import { spawn, type ChildProcess } from 'node:child_process';
import { waitUntil } from './wait-until.ts';

/** A `serve` process under test. */
export interface Served {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  /** Exit code; waits for the end. */
  readonly exit: Promise<number | null>;
  /** The first address that it says it listens on. */
  listening(): Promise<string>;
}

/** Starts `serve` from a bundle, with nothing in its environment but what is given, PATH and HOME. */
export function spawnServe(
  bundle: string,
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Served {
  const child = spawn(process.execPath, [bundle, ...args], {
    cwd,
    env: { PATH: process.env['PATH'], HOME: cwd, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  child.stdin?.on('error', () => {});
  return {
    child,
    output,
    exit: new Promise((resolve) => {
      child.once('close', resolve);
    }),
    async listening() {
      const found = () => /^listening (\S+)/m.exec(output.stdout)?.[1];
      await waitUntil(() => found() !== undefined || child.exitCode !== null, 15_000, `listening (${output.stderr})`);
      const url = found();
      if (url === undefined) throw new Error(`serve ended with ${child.exitCode}: ${output.stderr}`);
      return url;
    },
  };
}

/** Ends processes that a test started and waits until they are gone. */
export async function endServed(served: readonly Served[]): Promise<void> {
  for (const { child, exit } of served) {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exit;
  }
}
