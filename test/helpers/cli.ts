import { spawn } from 'node:child_process';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('../..', import.meta.url));
export const binFile = join(repository, 'bin/mcp-deploy.js');

export interface CliResult {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
  /** Given the process as soon as it runs: to send it a signal. */
  readonly onStart?: (child: ReturnType<typeof spawn>) => void;
}

/** Runs the built `mcp-deploy` as a user's shell would, without a terminal. */
export async function runBin(args: readonly string[], options: CliOptions): Promise<CliResult> {
  return runProgram(process.execPath, [binFile, ...args], options);
}

/** Runs any program to its end and keeps what it wrote. */
export async function runProgram(program: string, args: readonly string[], options: CliOptions): Promise<CliResult> {
  const { CI: _ci, FORCE_COLOR: _colour, ...inherited } = process.env;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...inherited, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  options.onStart?.(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode, signal) => {
      clearTimeout(timer);
      resolve({ exitCode, signal, stdout, stderr });
    });
  });
}

/** A folder of the test's own; its deployment is uninstalled and the folder removed afterwards. */
export async function withFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-e2e-')));
  try {
    return await run(folder);
  } finally {
    await runBin(['uninstall', '--yes'], { cwd: folder });
    await rm(folder, { recursive: true, force: true });
  }
}

/** The one JSON document of a command that must have ended with this exit code. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the test says what document it expects
export function documentOf<T = Record<string, unknown>>(result: CliResult, exitCode = 0): T {
  if (result.exitCode !== exitCode) {
    throw new Error(`exit ${result.exitCode}, not ${exitCode}\n${result.stdout}\n${result.stderr}`);
  }
  return JSON.parse(result.stdout) as T;
}
