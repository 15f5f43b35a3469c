import { execFileSync, spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { leaveWorkersFolder, makeWorkersFolder } from '../../src/server/workers/workers-folder.ts';

let parent: string;
/** Of a process that has been here and is gone. */
let gonePid: number;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'mcpd-folders-'));
  gonePid = spawnSync('true').pid;
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

/** The name that a server with another PID would have given. */
function nameOf(pid: number, end = 'aB3xYz'): string {
  const probe = makeWorkersFolder(mkdtempSync(join(parent, 'probe-')));
  const namespace = /^mcp-deploy-workers-(\d+)-/.exec(basename(probe))?.[1] ?? '';
  return join(parent, `mcp-deploy-workers-${namespace}-${pid}-${end}`);
}

test('the folder is of its owner alone, and a server that runs keeps its own', () => {
  const first = makeWorkersFolder(parent);
  const second = makeWorkersFolder(parent);
  expect(statSync(first).mode & 0o777).toBe(0o700);
  expect(first).not.toBe(second);
  expect(existsSync(first)).toBe(true);
});

test('what a killed server left behind is gone with the next start, sockets and all', async () => {
  const left = nameOf(gonePid);
  mkdirSync(left);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(join(left, '0.sock'), resolve));
  // As after SIGKILL: a close would remove it.
  renameSync(join(left, '0.sock'), join(left, '1.sock'));
  await new Promise((resolve) => server.close(resolve));
  expect(readdirSync(left)).toEqual(['1.sock']);
  makeWorkersFolder(parent);
  expect(existsSync(left)).toBe(false);
});

test.each<[string, (path: string) => void]>([
  ['a link to a folder', (path) => (mkdirSync(`${parent}/target`), symlinkSync(`${parent}/target`, path))],
  ['a file', (path) => writeFileSync(path, '')],
  ['a folder with a file of somebody', (path) => (mkdirSync(path), writeFileSync(join(path, 'notes'), 'x'))],
  [
    'a folder with a file that has the name of a socket',
    (path) => (mkdirSync(path), writeFileSync(join(path, '0.sock'), '')),
  ],
])('%s stays, whatever its name says', (_case, make) => {
  const path = nameOf(gonePid);
  make(path);
  makeWorkersFolder(parent);
  expect(readdirSync(parent)).toContain(basename(path));
  if (existsSync(`${parent}/target`)) expect(statSync(`${parent}/target`).isDirectory()).toBe(true);
});

test.each(['mcp-deploy-workers-aB3xYz', 'mcp-deploy-workers-1-GONE-aB3xYz', 'mcp-deploy-workers-GONE-aB3xYz', 'else'])(
  'a folder named %s stays: nothing tells that its owner is gone',
  (name) => {
    const path = join(parent, name.replace('GONE', String(gonePid)));
    mkdirSync(path);
    makeWorkersFolder(parent);
    expect(existsSync(path)).toBe(true);
  },
);

test.each<[string, string, number, boolean]>([
  ['of another container, empty for long', 'mcp-deploy-workers-1-2-aB3xYz', 2, false],
  ['of an earlier name, empty for long', 'mcp-deploy-workers-aB3xYz', 2, false],
  ['of another container, empty since a moment ago', 'mcp-deploy-workers-1-2-aB3xYz', 0, true],
])('a folder %s: %s after %i h', (_title, name, hours, stays) => {
  const path = join(parent, name);
  mkdirSync(path);
  const at = Date.now() / 1_000 - hours * 3_600;
  utimesSync(path, at, at);
  makeWorkersFolder(parent);
  expect(existsSync(path)).toBe(stays);
});

test('a folder of another container with a socket in it stays, however old', () => {
  const path = join(parent, 'mcp-deploy-workers-1-2-aB3xYz');
  mkdirSync(path);
  writeFileSync(join(path, '0.sock'), '');
  utimesSync(path, 1, 1);
  makeWorkersFolder(parent);
  expect(existsSync(path)).toBe(true);
});

test('a worker that is left alone takes the folder away as the last one, and not before', () => {
  const path = makeWorkersFolder(parent);
  writeFileSync(join(path, '1.sock'), '');
  leaveWorkersFolder(path);
  expect(existsSync(path)).toBe(true);
  rmSync(join(path, '1.sock'));
  leaveWorkersFolder(path);
  expect(existsSync(path)).toBe(false);
  expect(() => leaveWorkersFolder(path)).not.toThrow();
});

test.runIf(process.getuid?.() === 0)('a folder of another user stays', () => {
  const path = nameOf(gonePid);
  mkdirSync(path);
  chownSync(path, 65_534, 65_534);
  makeWorkersFolder(parent);
  expect(existsSync(path)).toBe(true);
});

test('one start removes so many and no more', () => {
  const base = nameOf(gonePid, '');
  for (let index = 0; index < 250; index += 1) mkdirSync(`${base}${String(index).padStart(6, '0')}`);
  const left = (): number => readdirSync(parent).filter((name) => name.startsWith(basename(base))).length;
  makeWorkersFolder(parent);
  expect(left()).toBe(50);
  makeWorkersFolder(parent);
  expect(left()).toBe(0);
});

test('a temp folder that cannot be read is no reason not to start there', () => {
  expect(() => makeWorkersFolder(join(parent, 'none'))).toThrow(/ENOENT/);
  execFileSync('chmod', ['0300', parent]);
  expect(existsSync(makeWorkersFolder(parent))).toBe(true);
  execFileSync('chmod', ['0700', parent]);
});
