import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';

test('render prints one file as it is, writes all into a new folder, and never overwrites another file unasked', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    await writeFile(join(folder, 'mcp-deploy.yaml'), 'version: 1\nproxy:\n  serverName: mcp.example.com\n');

    const nginx = await cli('render', 'nginx', '--for', 'nginx@1.22');
    expect(nginx.exitCode, nginx.stderr).toBe(0);
    expect(nginx.stdout).toContain('server_name mcp.example.com;');

    const out = await cli('render', 'nginx', 'caddy', 'haproxy', 'systemd', 'launchd', 'docker', '--out', 'made/here');
    expect(out.exitCode, out.stderr).toBe(0);
    const made = await readdir(join(folder, 'made/here'), { recursive: true });
    for (const name of ['Dockerfile', 'serve.js', 'compose.yaml']) {
      expect(
        made.some((path) => path.endsWith(name)),
        name,
      ).toBe(true);
    }
    expect((await cli('render', 'nginx', '--out', 'made/here')).exitCode).toBe(0);

    const site = made.find((path) => path.endsWith('.conf')) ?? '';
    await writeFile(join(folder, 'made/here', site), 'mine\n');
    const refused = await cli('render', 'nginx', '--out', 'made/here');
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toContain(site);
    expect(await readFile(join(folder, 'made/here', site), 'utf8')).toBe('mine\n');
    expect((await cli('render', 'nginx', '--out', 'made/here', '--yes')).exitCode).toBe(0);
    expect(await readFile(join(folder, 'made/here', site), 'utf8')).toContain('mcp.example.com');

    expect(documentOf<{ files: unknown[] }>(await cli('render', 'systemd', '--json')).files.length).toBeGreaterThan(0);
    expect((await cli('render', '--list')).stdout).toContain('launchd');
    expect((await cli('render', 'caddy', '--for', 'nginx@1.22')).exitCode).toBe(2);
  });
}, 60_000);
