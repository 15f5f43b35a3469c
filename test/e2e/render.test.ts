import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { testWithTools } from '../helpers/tools.ts';

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

test('--set changes settings for one run, without a file too, and is judged like the file', async () => {
  await withFolder(async (folder) => {
    const cli = (...args: string[]) => runBin(args, { cwd: folder });
    const sizes = await cli(
      'render',
      'nginx',
      '--set',
      'proxy.maxBodyMegabytes=20',
      '--set',
      'proxy.limit={requestsPerSecond: 7}',
    );
    expect(sizes.exitCode, sizes.stderr).toBe(0);
    expect(sizes.stdout).toContain('client_max_body_size 20m;');
    expect(sizes.stdout).toContain('rate=7r/s');

    const file = 'version: 1\nproxy:\n  serverName: mcp.example.com # ours\n';
    await writeFile(join(folder, 'mcp-deploy.yaml'), file);
    const both = await cli('render', 'caddy', '--set', 'proxy.certificate=a.crt', '--set', 'proxy.key=a.key');
    expect(both.exitCode, both.stderr).toBe(0);
    expect(both.stdout).toContain('https://mcp.example.com');
    expect(both.stdout).toContain('a.key');
    expect(await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8')).toBe(file);

    for (const [given, words] of [
      ['proxy.maxBodyMegabytes=much', 'proxy.maxBodyMegabytes must be a number, not text'],
      ['proxy.maxBodyMegabyte=3', 'did you mean "maxBodyMegabytes"?'],
      ['proxy.certificate=a.crt', 'proxy.certificate needs proxy.key beside it'],
      ['proxy.serverName=[', 'the value is not YAML'],
      ['=3', 'is not PATH=VALUE'],
      ['__proto__.x=3', 'is not PATH=VALUE'],
    ] as const) {
      const refused = await cli('render', 'nginx', '--set', given);
      expect([given, refused.exitCode, refused.stderr]).toEqual([given, 2, expect.stringContaining(words)]);
    }
  });
}, 60_000);

describe('render --check', () => {
  testWithTools(
    ['nginx', 'caddy', 'haproxy'],
    'takes what the installed programs take, and writes nothing when one refuses',
    async () => {
      await withFolder(async (folder) => {
        const cli = (...args: string[]) => runBin(args, { cwd: folder });
        const proxies = ['nginx', 'caddy', 'haproxy'];
        const name = ['--set', 'proxy.serverName=mcp.example.com'];
        const accepted = await cli('render', ...proxies, ...name, '--check', '--out', 'made', '--json');
        expect(accepted.exitCode, accepted.stderr).toBe(0);
        expect(documentOf<{ checks: unknown[] }>(accepted).checks).toEqual(
          proxies.map((target) => ({ target, verdict: 'accepted', words: expect.any(String) as unknown })),
        );
        // A name that nobody can resolve: right by its form, and still no nginx would start with it.
        const refused = await cli(
          'render',
          'nginx',
          ...name,
          '--set',
          'proxy.servers=[nobody.invalid:1]',
          '--check',
          '--out',
          'other',
        );
        expect([refused.exitCode, refused.stderr]).toEqual([3, expect.stringContaining('nobody.invalid')]);
        await expect(readdir(join(folder, 'other'))).rejects.toThrow();

        const newer = await cli('render', '--for', 'nginx@1.29.7', ...name, '--check');
        expect([newer.exitCode, newer.stderr]).toEqual([0, expect.stringContaining('an older one is here')]);
        expect(newer.stdout).toContain('http2 on;');
      });
    },
    60_000,
  );
});

test('render all leaves out what a format cannot carry and says so', async () => {
  await withFolder(async (folder) => {
    // Without TLS no certificate is known, which nginx and HAProxy need.
    const all = await runBin(['render', 'all', '--set', 'tls.source=off', '--out', 'made'], { cwd: folder });
    expect([all.exitCode, all.stderr]).toEqual([
      0,
      expect.stringMatching(/nginx is left out: no certificate is known/),
    ]);
    const made = await readdir(join(folder, 'made'));
    expect(made).toEqual(expect.arrayContaining(['caddy', 'docker', 'launchd', 'systemd']));
    expect(made).not.toContain('nginx');
  });
}, 60_000);
