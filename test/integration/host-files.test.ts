import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EnvironmentError } from '../../src/deployment/errors.ts';
import { createFileSystem } from '../../src/host/files.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';
import { snapshotTree } from '../helpers/tree.ts';

const files = createFileSystem();
let root = '';
let folder = '';

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mcpd-files-'));
});

beforeEach(async () => {
  folder = await mkdtemp(join(root, 'case-'));
});

afterAll(() => rm(root, { recursive: true, force: true }));

describe('writeAtomic', () => {
  test('writes content and mode exactly, whatever the umask and the file before', async () => {
    const path = join(folder, 'f');
    const umask = process.umask(0o077);
    try {
      await writeFile(path, 'old', { mode: 0o400 });
      await files.writeAtomic(path, Buffer.from([0, 255, 10]), 0o644);
      expect(await readFile(path)).toEqual(Buffer.from([0, 255, 10]));
      expect((await stat(path)).mode & 0o7777).toBe(0o644);
      await files.writeAtomic(path, 'key', 0o400);
      expect((await stat(path)).mode & 0o7777).toBe(0o400);
    } finally {
      process.umask(umask);
    }
    expect(await readdir(folder)).toEqual(['f']);
  });

  test('a left-over temporary file of a killed write is replaced, also one that is read-only', async () => {
    await writeFile(join(folder, 'f.mcpd-tmp'), 'half', { mode: 0o400 });
    await files.writeAtomic(join(folder, 'f'), 'whole', 0o600);
    expect(await readdir(folder)).toEqual(['f']);
  });

  test('never follows a link that someone put in the place of the temporary file', async () => {
    const theirs = join(folder, 'theirs');
    await writeFile(theirs, 'precious');
    await symlink(theirs, join(folder, 'f.mcpd-tmp'));
    await files.writeAtomic(join(folder, 'f'), 'x', 0o600);
    expect(await readFile(theirs, 'utf8')).toBe('precious');
  });

  test('that fails leaves nothing beside the old file', async () => {
    await mkdir(join(folder, 'f'));
    await expect(files.writeAtomic(join(folder, 'f'), 'x', 0o600)).rejects.toMatchObject({
      why: 'There is a folder of that name.',
    });
    expect(await readdir(folder)).toEqual(['f']);
  });
});

describe('createExclusive', () => {
  test('of thirty at once exactly one wins, its content is whole, and nothing is left beside it', async () => {
    const path = join(folder, 'lock');
    const taken = await Promise.all(
      Array.from({ length: 30 }, (_, index) => files.createExclusive(path, `content ${index}`, 0o600)),
    );
    expect(taken.filter(Boolean)).toHaveLength(1);
    expect(await readFile(path, 'utf8')).toBe(`content ${taken.indexOf(true)}`);
    expect(await readdir(folder)).toEqual(['lock']);
  });

  test('has one winner as well on a disk without hard links', async () => {
    const noLinks = createFileSystem(() => Promise.reject(Object.assign(new Error('no links'), { code: 'EPERM' })));
    const path = join(folder, 'lock');
    const taken = await Promise.all(
      Array.from({ length: 30 }, (_, index) => noLinks.createExclusive(path, `content ${index}`, 0o600)),
    );
    expect(taken.filter(Boolean)).toHaveLength(1);
    expect(await readFile(path, 'utf8')).toBe(`content ${taken.indexOf(true)}`);
    expect(await readdir(folder)).toEqual(['lock']);
  });
});

describe('folders', () => {
  test('makeDirectory sets the mode on a new and on an existing folder', async () => {
    const path = join(folder, 'd');
    await files.makeDirectory(path, 0o700);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    await chmod(path, 0o755);
    await files.makeDirectory(path, 0o700);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });

  test('makeDirectory says so when a file is in the way', async () => {
    await writeFile(join(folder, 'd'), '');
    await expect(files.makeDirectory(join(folder, 'd'), 0o700)).rejects.toMatchObject({
      why: 'A part of this path is a file, not a folder.',
    });
  });

  test('removeEmptyDirectory removes an empty one, leaves a full one, and does not mind a missing one', async () => {
    await mkdir(join(folder, 'empty'));
    await mkdir(join(folder, 'full/inner'), { recursive: true });
    expect(await files.removeEmptyDirectory(join(folder, 'empty'))).toBe(true);
    expect(await files.removeEmptyDirectory(join(folder, 'empty'))).toBe(true);
    expect(await files.removeEmptyDirectory(join(folder, 'full'))).toBe(false);
    expect(await readdir(folder)).toEqual(['full']);
  });

  test('list of a missing folder is empty', async () => {
    expect(await files.list(join(folder, 'none'))).toEqual([]);
  });
});

test('read, stat and removeFile take a missing file for what it is', async () => {
  const path = join(folder, 'none');
  expect(await files.read(path)).toBe(null);
  expect(await files.stat(path)).toBe(null);
  await files.removeFile(path);
});

test('stat does not look through a link', async () => {
  await symlink(folder, join(folder, 'link'));
  expect(await files.stat(join(folder, 'link'))).toMatchObject({ kind: 'link', target: folder });
});

test('linkAtomic makes a link, replaces a link or a file in one step, and leaves nothing beside it', async () => {
  const path = join(folder, 'live');
  await writeFile(path, 'a file');
  await writeFile(join(folder, 'live.mcpd-tmp'), 'of a killed one');
  for (const target of ['live-1', 'live-2']) {
    expect(await files.linkAtomic(path, target)).toBe(true);
    expect(await files.stat(path)).toMatchObject({ kind: 'link', target });
  }
  expect(await readdir(folder)).toEqual(['live']);
  await mkdir(join(folder, 'in-the-way'));
  await expect(files.linkAtomic(join(folder, 'in-the-way'), 'x')).rejects.toThrow(EnvironmentError);
  expect((await readdir(folder)).toSorted()).toEqual(['in-the-way', 'live']);
});

test('appendDurably adds lines, one each, and makes the file with its mode', async () => {
  const path = join(folder, 'journal');
  await files.appendDurably(path, 'one', 0o600);
  await files.appendDurably(path, 'two\n', 0o600);
  expect(await readFile(path, 'utf8')).toBe('one\ntwo\n');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

describe('what is in the way is explained', () => {
  test('a file where a folder should be', async () => {
    await writeFile(join(folder, 'file'), '');
    const error = await files.writeAtomic(join(folder, 'file/x'), '', 0o600).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EnvironmentError);
    expect(error).toMatchObject({ message: `Cannot write ${join(folder, 'file/x')}.`, exitCode: 3 });
  });

  test('a missing folder', async () => {
    await expect(files.writeAtomic(join(folder, 'none/x'), '', 0o600)).rejects.toMatchObject({
      why: `The folder ${join(folder, 'none')} does not exist.`,
    });
  });

  testWithTools(['mount', 'umount'], 'a full disk and a read-only disk', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('mount needs root');
    runTool('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
    try {
      const before = await snapshotTree(folder);
      await expect(files.writeAtomic(join(folder, 'x'), Buffer.alloc(200_000), 0o600)).rejects.toMatchObject({
        why: 'The disk is full.',
      });
      expect(await snapshotTree(folder)).toEqual(before);
      runTool('mount', ['-o', 'remount,ro', folder]);
      for (const attempt of [
        () => files.writeAtomic(join(folder, 'x'), '', 0o600),
        () => files.makeDirectory(join(folder, 'x'), 0o700),
        () => files.createExclusive(join(folder, 'x'), '', 0o600),
        () => files.appendDurably(join(folder, 'x'), '', 0o600),
      ]) {
        await expect(attempt()).rejects.toMatchObject({ why: 'The file system is mounted read-only.' });
      }
    } finally {
      runTool('umount', [folder]);
    }
  });
});
