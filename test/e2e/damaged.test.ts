import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createProcessTable } from '../../src/host/process-table.ts';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';

interface Status {
  readonly server: { readonly state: string; readonly pid?: number };
  readonly damaged: readonly string[];
}

const table = createProcessTable();

async function deployed(run: (folder: string, pid: number) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const { pid } = documentOf<{ pid: number }>(await runBin(['up', '--json'], { cwd: folder }));
    await run(folder, pid);
  });
}

describe('damaged files', () => {
  test('a damaged key store and certificate are lines of status; stop and uninstall work all the same', async () => {
    await deployed(async (folder, pid) => {
      await writeFile(join(folder, '.mcp-deploy/keys/keys.json'), '{"version":');
      await writeFile(join(folder, '.mcp-deploy/pki/server.crt'), 'no certificate');
      const status = documentOf<Status>(await runBin(['status', '--json'], { cwd: folder }));
      expect(status.server).toMatchObject({ state: 'running', pid });
      expect(status.damaged).toEqual([expect.stringContaining('PEM'), expect.stringContaining('JSON')]);
      expect((await runBin(['status'], { cwd: folder })).stdout).toMatch(/Keys +✗ .*JSON/);

      const up = await runBin(['up'], { cwd: folder });
      expect(up.exitCode).toBe(3);
      expect(up.stderr).toContain('keys.json.broken');

      expect(documentOf(await runBin(['stop', '--json'], { cwd: folder }))).toMatchObject({ changed: true });
      expect(await table.identity(pid)).toBe(null);
      expect((await runBin(['uninstall', '--yes'], { cwd: folder })).exitCode).toBe(0);
    });
  });

  test('history passes over a damaged record and names it', async () => {
    await deployed(async (folder) => {
      const record = join(folder, '.mcp-deploy/releases/1.json');
      await writeFile(join(folder, '.mcp-deploy/releases/2.json'), await readFile(record, 'utf8'));
      await writeFile(record, '{"release": 1');
      const history = await runBin(['history', '--json'], { cwd: folder });
      expect(documentOf<{ releases: unknown[] }>(history).releases).toHaveLength(1);
      expect(history.stderr).toContain('1.json is damaged');
    });
  });

  test('a server whose records are lost is still seen, stopped and started', async () => {
    await deployed(async (folder, pid) => {
      await rm(join(folder, '.mcp-deploy/releases'), { recursive: true });
      const status = documentOf<Status>(await runBin(['status', '--json'], { cwd: folder }));
      expect(status.server).toMatchObject({ state: 'running', pid });
      expect(documentOf(await runBin(['stop', '--json'], { cwd: folder }))).toMatchObject({ state: 'stopped' });
      expect(await table.identity(pid)).toBe(null);
      expect((await runBin(['start'], { cwd: folder })).exitCode).toBe(0);
    });
  });
});

test('a server whose folder was moved is still this deployment’s; that of a copied folder is the original’s', async () => {
  await deployed(async (folder, pid) => {
    const copy = `${folder}-copy`;
    const moved = `${folder}-moved`;
    try {
      // Sockets are not copied, which is no matter: a copy has no server.
      await cp(folder, copy, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith('.sock') });
      const ofCopy = documentOf<Status>(await runBin(['status', '--json'], { cwd: copy }));
      expect(ofCopy.server).toEqual({ state: 'stopped' });

      await rm(copy, { recursive: true });
      await rename(folder, moved);
      const ofMoved = documentOf<Status>(await runBin(['status', '--json'], { cwd: moved }));
      expect(ofMoved.server).toMatchObject({ state: 'running', pid });
      const up = documentOf<{ pid: number }>(await runBin(['up', '--json'], { cwd: moved }));
      expect(await table.identity(pid)).toBe(null);
      expect((await runBin(['uninstall', '--yes'], { cwd: moved })).exitCode).toBe(0);
      expect(await table.identity(up.pid)).toBe(null);
    } finally {
      await runBin(['uninstall', '--yes'], { cwd: moved }).catch(() => null);
      for (const path of [copy, moved]) await rm(path, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
    }
  });
});

test('a key never replaces a file that holds something else, and a second revoke says so', async () => {
  await deployed(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    await writeFile(join(folder, 'notes.txt'), 'mine\n');
    const refused = await cli('keys', 'create', 'laptop', '--key-file', 'notes.txt');
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('holds no key');
    expect(await readFile(join(folder, 'notes.txt'), 'utf8')).toBe('mine\n');
    expect((await cli('keys', 'list')).stdout).not.toContain('laptop');

    expect((await cli('keys', 'create', 'laptop', '--key-file', 'laptop.key')).exitCode).toBe(0);
    const first = await readFile(join(folder, 'laptop.key'), 'utf8');
    expect((await cli('keys', 'rotate', 'laptop', '--key-file', 'laptop.key')).exitCode).toBe(0);
    expect(await readFile(join(folder, 'laptop.key'), 'utf8')).not.toBe(first);
    expect((await cli('keys', 'revoke', 'laptop')).stdout).toContain('refuses them');
    expect((await cli('keys', 'revoke', 'laptop')).stdout).toContain('revoked already');
  });
});
