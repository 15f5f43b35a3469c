import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openCliFolder, type CliFolder, type StartCli } from './cli-folder.ts';
import { findProgram } from './tools.ts';
import type { ContainerBench } from './container-bench.ts';

const bin = fileURLToPath(new URL('../../bin/mcp-deploy.js', import.meta.url));

/** A folder with a mcp-deploy.yaml, and the built command line in the network of the bench's engine. */
export interface ContainerFolder extends Pick<CliFolder, 'path' | 'state' | 'want' | 'cli'> {
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
  const start: StartCli = (args, env = {}) =>
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
  const folderOf = openCliFolder(path, start);
  const { state } = folderOf;
  const journal = join(state, 'journal');
  return {
    ...folderOf,
    must: async (...args) => (await folderOf.must(...args)).stdout,
    killAt: (text, ...args) =>
      folderOf.killWhen(() => journalTexts(journal).some((each) => each.includes(text)), text, 10, args),
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
