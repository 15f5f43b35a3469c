import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram } from './tools.ts';
import type { ContainerBench } from './container-bench.ts';

const bin = fileURLToPath(new URL('../../bin/mcp-deploy.js', import.meta.url));

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder with a mcp-deploy.yaml, and the built command line in the network of the bench's engine. */
export interface ContainerFolder {
  readonly path: string;
  readonly state: string;
  want(text: string): void;
  cli(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended>;
  /** The same; throws unless it ends with 0. Gives its output. */
  must(...args: readonly string[]): Promise<string>;
  /** Starts it, and kills it when the text is in its journal. */
  killAt(text: string, ...args: readonly string[]): Promise<void>;
  /** What is in the state folder but for its records: path, mode, owner, hash. */
  tree(): Readonly<Record<string, string>>;
  remove(): void;
}

export function openContainerFolder({ engine, folder }: ContainerBench, name: string): ContainerFolder {
  const path = mkdtempSync(join(folder, `${name}-`));
  chmodSync(path, 0o755);
  const state = join(path, '.mcp-deploy');
  const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    spawn(
      findProgram('nsenter') ?? 'nsenter',
      ['--target', String(engine.pid), '--net', process.execPath, bin, ...args],
      {
        cwd: path,
        // The engine of the test, and nothing of this machine's settings of Docker.
        env: { ...process.env, ...engine.env, NO_COLOR: '1', CI: '1', ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
  const cli: ContainerFolder['cli'] = (args, env) =>
    new Promise((resolve) => {
      const child = start(args, env);
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.once('close', (status) => resolve({ status, stdout, stderr }));
    });
  return {
    path,
    state,
    want: (text) => writeFileSync(join(path, 'mcp-deploy.yaml'), text),
    cli,
    async must(...args) {
      const { status, stdout, stderr } = await cli(args);
      if (status !== 0) throw new Error(`mcp-deploy ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
      return stdout;
    },
    async killAt(text, ...args) {
      const child = start(args);
      const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
      const journal = join(state, 'journal');
      const timer = setInterval(() => {
        if (journalTexts(journal).some((each) => each.includes(text))) child.kill('SIGKILL');
      }, 10);
      await gone;
      clearInterval(timer);
      if (child.signalCode !== 'SIGKILL') throw new Error(`it ended before ${text}`);
    },
    tree: () => listTree(state, ''),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

function journalTexts(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.jsonl'))
      .map((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(1).join('\n'))
      .filter((text) => !text.includes('"commit"') && !text.includes('"rolled-back"'));
  } catch {
    return [];
  }
}

function listTree(root: string, below: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(join(root, below))) {
    const way = join(below, name);
    if (/^(?:journal|lock)/.test(way)) continue;
    const path = join(root, way);
    const { mode, uid, gid } = statSync(path);
    const about = `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
    if (statSync(path).isDirectory()) {
      found[`${way}/`] = about;
      Object.assign(found, listTree(root, way));
    } else found[way] = `${about} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
  }
  return found;
}

/** A folder of programs that stand in front of the real ones. */
export function fakePrograms(folder: string, programs: Readonly<Record<string, string>>): string {
  const path = mkdtempSync(join(folder, 'bin-'));
  mkdirSync(path, { recursive: true });
  for (const [name, text] of Object.entries(programs))
    writeFileSync(join(path, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}
