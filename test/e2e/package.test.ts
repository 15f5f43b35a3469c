import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf, repository, runProgram, withFolder } from '../helpers/cli.ts';

test('npm pack, then npm i -g of the tarball, gives a working mcp-deploy', async () => {
  await withFolder(async (folder) => {
    const prefix = join(folder, 'prefix');
    const work = join(folder, 'work');
    await mkdir(prefix);
    await mkdir(work);
    // The files are built already; --ignore-scripts keeps this from building them again under other tests.
    const packed = await runProgram('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], {
      cwd: repository,
    });
    expect(packed.exitCode, packed.stderr).toBe(0);
    const tarball = (await readdir(folder)).find((name) => name.endsWith('.tgz')) ?? '';
    const installed = await runProgram('npm', ['install', '--global', '--prefix', prefix, join(folder, tarball)], {
      cwd: work,
      timeoutMs: 240_000,
    });
    expect(installed.exitCode, installed.stderr).toBe(0);

    const bin = join(prefix, 'bin/mcp-deploy');
    const version = await runProgram(bin, ['--version'], { cwd: work });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const up = await runProgram(bin, ['up', '--json'], { cwd: work });
    expect(documentOf(up)).toMatchObject({ ok: true, verified: { modern: true, legacy: true } });
    expect((await runProgram(bin, ['doctor'], { cwd: work })).exitCode).toBe(0);
    expect((await runProgram(bin, ['render', 'nginx'], { cwd: work })).stdout).toContain('proxy_pass');
    expect((await runProgram(bin, ['schema'], { cwd: work })).stdout).toContain('"$schema"');
    expect((await runProgram(bin, ['uninstall', '--yes'], { cwd: work })).exitCode).toBe(0);
    expect(await readdir(work)).toEqual([]);
  });
}, 300_000);
