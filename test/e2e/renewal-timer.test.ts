import { appendFile, chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { freePorts } from '../helpers/pebble.ts';
import { snapshotTree } from '../helpers/tree.ts';

/** A home of its own and a systemctl that only writes down what it is asked: nothing of this machine is touched. */
async function withHome(
  run: (site: {
    readonly folder: string;
    readonly home: string;
    readonly cli: (...args: string[]) => ReturnType<typeof runBin>;
    readonly asked: () => Promise<string[]>;
  }) => Promise<void>,
): Promise<void> {
  await withFolder(async (folder) => {
    const home = await mkdtemp(join(tmpdir(), 'mcpd-home-'));
    await mkdir(join(home, 'bin'), { recursive: true });
    const log = join(home, 'asked');
    await writeFile(join(home, 'bin/systemctl'), `#!/bin/sh\necho "$@" >> '${log}'\n`);
    await chmod(join(home, 'bin/systemctl'), 0o755);
    const env = { HOME: home, PATH: `${join(home, 'bin')}:${process.env['PATH'] ?? ''}` };
    const [port = 0] = await freePorts(1);
    const cli = (...args: string[]) => runBin(args, { cwd: folder, env });
    documentOf(await cli('up', '--listen', `localhost:${port}`, '--json'));
    try {
      await run({
        folder,
        home,
        cli,
        asked: async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').filter((line) => line !== ''),
      });
    } finally {
      await rm(home, { recursive: true });
    }
  });
}

test('a timer that is only rehearsed writes nothing, of no kind', async () => {
  await withHome(async ({ folder, home, cli, asked }) => {
    const ignore = (path: string): boolean => path.startsWith('.mcp-deploy/logs');
    const look = async () => [await snapshotTree(folder, { ignore }), await snapshotTree(home)];
    const before = await look();
    for (const kind of ['systemd-user', 'cron', 'launchd', 'systemd', 'print']) {
      const shown = await cli('cert', 'renew', '--install-timer', kind, '--dry-run', '--json');
      expect(documentOf(shown), kind).toMatchObject({ installed: false });
    }
    expect(await look()).toEqual(before);
    expect(await asked()).toEqual([]);
  });
}, 120_000);

test('uninstall stops the timer and removes its files; installing twice changes nothing', async () => {
  await withHome(async ({ home, cli, asked }) => {
    const install = () => cli('cert', 'renew', '--install-timer', 'systemd-user', '--json');
    const units = join(home, '.config/systemd/user');
    expect(documentOf(await install())).toMatchObject({ changed: true });
    expect((await readdir(units)).length).toBe(2);
    expect(documentOf(await install())).toMatchObject({ changed: false });
    expect((await asked()).at(-1)).toMatch(/^--user enable --now /);
    expect((await cli('plan', '--check')).exitCode).toBe(0);
    const gone = await cli('uninstall', '--yes');
    expect(gone.exitCode, gone.stderr).toBe(0);
    expect((await asked()).at(-1)).toMatch(/^--user disable --now /);
    expect(await readdir(units)).toEqual([]);
  });
}, 120_000);

test('a timer makes backups that its own command line makes, when it is said who may open them; uninstall takes it away', async () => {
  await withHome(async ({ folder, home, cli, asked }) => {
    const install = (...more: string[]) =>
      cli('backup', 'create', '--install-timer', 'systemd-user', '--json', ...more);
    const unsaid = await install();
    expect([unsaid.exitCode, unsaid.stderr]).toEqual([2, expect.stringContaining('backup.recipients')]);
    const { recipient } = documentOf<{ recipient: string }>(await cli('backup', 'key', '--json'));
    const yaml = `backup: { every: weekly, at: '03:30', recipients: [${recipient}] }\n`;
    await appendFile(join(folder, 'mcp-deploy.yaml'), yaml);
    documentOf(await cli('cert', 'renew', '--install-timer', 'systemd-user', '--json'));
    expect(documentOf(await install('--dry-run'))).toMatchObject({ installed: false });
    expect(documentOf(await install())).toMatchObject({ changed: true });
    expect(documentOf(await install())).toMatchObject({ changed: false });
    const units = join(home, '.config/systemd/user');
    const names = await readdir(units);
    expect(names.length).toBe(4);
    const read = (suffix: string) =>
      readFile(join(units, names.find((name) => name.endsWith(`-backup.${suffix}`)) ?? ''), 'utf8');
    expect(await read('timer')).toContain('OnCalendar=Sun *-*-* 03:30:00\n');

    // What the timer starts, as it starts it: without a shell and from nowhere.
    const [, command = ''] = /^ExecStart=(.+)$/m.exec(await read('service')) ?? [];
    const [, , ...words] = command.split(' ').map((word) => word.replaceAll('"', ''));
    expect(words.slice(0, 2)).toEqual(['backup', 'create']);
    documentOf(await runBin([...words, '--json'], { cwd: '/' }));
    const { backup } = documentOf<{ backup: { overdue: boolean } }>(await cli('status', '--json'));
    expect(backup.overdue).toBe(false);
    expect((await cli('status')).stdout).toMatch(/Backup +✓ \d+ s old/);

    const gone = await cli('uninstall', '--yes');
    expect(gone.exitCode, gone.stderr).toBe(0);
    expect((await asked()).filter((line) => line.includes('disable')).length).toBe(2);
    expect(await readdir(units)).toEqual([]);
  });
}, 120_000);

test('a timer that was changed since is the user’s: uninstall says so and leaves it', async () => {
  await withHome(async ({ home, cli, asked }) => {
    documentOf(await cli('cert', 'renew', '--install-timer', 'systemd-user', '--json'));
    const units = join(home, '.config/systemd/user');
    const [first = ''] = await readdir(units);
    await appendFile(join(units, first), '# mine\n');
    const count = (await asked()).length;
    const gone = await cli('uninstall', '--yes');
    expect(gone.exitCode, gone.stderr).toBe(0);
    expect(gone.stderr).toContain('the renewal timer stays');
    expect((await readdir(units)).length).toBe(2);
    expect((await asked()).length).toBe(count);
  });
}, 120_000);

test('two renewals at once: one renews, the other says who is at it, and one certificate is issued', async () => {
  await withHome(async ({ folder, cli }) => {
    const before = await readdir(join(folder, '.mcp-deploy/releases'));
    const both = await Promise.all([cli('cert', 'renew', '--force'), cli('cert', 'renew', '--force')]);
    const codes = both.map(({ exitCode }) => exitCode).toSorted();
    // On a slow machine the second may begin when the first has ended: then it renews once more, in its turn.
    if (codes[1] === 3) {
      expect(codes).toEqual([0, 3]);
      expect(both.find(({ exitCode }) => exitCode === 3)?.stderr).toContain('Another mcp-deploy is chang');
      expect((await readdir(join(folder, '.mcp-deploy/releases'))).length).toBe(before.length + 1);
    } else expect(codes).toEqual([0, 0]);
    expect((await readdir(join(folder, '.mcp-deploy/pki'))).filter((name) => name.startsWith('live-'))).toHaveLength(1);
  });
}, 120_000);
