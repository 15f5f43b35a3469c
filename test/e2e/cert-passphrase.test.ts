import { readFile, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { binFile, documentOf, runBin, withFolder } from '../helpers/cli.ts';

test('cert ca --intermediate --encrypt: both keys are encrypted, and sign with the passphrase of a file descriptor', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    await writeFile(join(folder, 'pass'), 'correct horse\n', { mode: 0o600 });
    const encrypted = ['--intermediate', '--encrypt', '--passphrase-file', 'pass', '--out', 'ca', '--json'];
    documentOf(await cli('cert', 'ca', 'mcp.test', ...encrypted));
    for (const name of ['ca.key', 'intermediate.key']) {
      expect(await readFile(join(folder, 'ca', name), 'utf8'), name).toContain('BEGIN ENCRYPTED PRIVATE KEY');
    }
    // A shell opens the descriptor, as people do: 3<FILE.
    const issue = (out: string, file: string) =>
      spawnSync(
        '/bin/sh',
        ['-c', 'exec "$0" "$@" 3<"$PASS"', process.execPath, binFile, 'cert', 'issue', 'mcp.test', '--ca', 'ca'].concat(
          ['--passphrase-fd', '3', '--out', out, '--json'],
        ),
        { cwd: folder, env: { ...process.env, PASS: file }, encoding: 'utf8' },
      );
    const done = issue('tls', 'pass');
    expect(done.status, done.stderr).toBe(0);
    const verified = await cli('cert', 'verify', 'tls/server.crt', '--ca-file', 'ca/ca.crt', '--key', 'tls/server.key');
    expect(verified.exitCode, verified.stdout + verified.stderr).toBe(0);

    await writeFile(join(folder, 'wrong'), 'battery staple\n', { mode: 0o600 });
    const refused = issue('tls2', 'wrong');
    expect(refused.status).toBe(2);
    expect(refused.stderr + refused.stdout).not.toContain('battery staple');
  });
}, 60_000);
