import type { ChildProcessByStdio } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a folder's test starts the built command line. */
export type StartCli = (
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
) => ChildProcessByStdio<null, Readable, Readable>;

/** A folder with a mcp-deploy.yaml, and the built command line as its test starts it. */
export interface CliFolder {
  readonly path: string;
  readonly state: string;
  want(text: string): void;
  cli(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended>;
  /** The same; throws unless it ends with 0. */
  must(...args: readonly string[]): Promise<Ended>;
  /** Starts it, looks again and again, and kills it as soon as it is time. */
  killWhen(isTime: () => boolean, what: string, everyMs: number, args: readonly string[]): Promise<void>;
}

export function openCliFolder(path: string, start: StartCli): CliFolder {
  const cli: CliFolder['cli'] = (args, env) =>
    new Promise((resolve) => {
      const child = start(args, env);
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.once('close', (status) => resolve({ status, stdout, stderr }));
    });
  return {
    path,
    state: join(path, '.mcp-deploy'),
    want: (text) => writeFileSync(join(path, 'mcp-deploy.yaml'), text),
    cli,
    async must(...args) {
      const ended = await cli(args);
      const { status, stdout, stderr } = ended;
      if (status !== 0) throw new Error(`mcp-deploy ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
      return ended;
    },
    async killWhen(isTime, what, everyMs, args) {
      const child = start(args);
      const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
      const timer = setInterval(() => {
        if (isTime()) child.kill('SIGKILL');
      }, everyMs);
      await gone;
      clearInterval(timer);
      if (child.signalCode !== 'SIGKILL') throw new Error(`it ended before ${what}`);
    },
  };
}
