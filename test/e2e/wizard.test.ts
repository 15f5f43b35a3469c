import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { binFile, documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { Terminal } from '../helpers/terminal.ts';
import { testWithTools } from '../helpers/tools.ts';

const command = (words: string): string => `${process.execPath} ${binFile} ${words}; echo "exit=$?"; sleep 60`;

testWithTools(
  ['tmux'],
  'the wizard in a real terminal: asks first, shows the plan, applies, prints the equivalent command',
  async () => {
    await withFolder(async (folder) => {
      const terminal = new Terminal({
        socket: join(folder, '../', `tmux-${process.pid}-a.sock`),
        cwd: folder,
        command: `HOME=${folder} ${command('init')}`,
      });
      try {
        await terminal.shows('Where does it run?');
        expect(await readdir(folder)).toEqual([]);
        terminal.press('Enter');
        await terminal.shows('Command or URL of your MCP server');
        terminal.press('Enter');
        await terminal.shows('Name of the deployment');
        terminal.type('Not A Name');
        terminal.press('Enter');
        await terminal.shows('not-a-name');
        terminal.press('C-u');
        terminal.type('notes');
        terminal.press('Enter');
        await terminal.shows('Listen on');
        terminal.press('Enter');
        await terminal.shows('Require an API key');
        terminal.press('Enter');
        await terminal.shows('Apply now?');
        expect(await readdir(folder)).toEqual([]);
        terminal.press('Enter');
        const screen = await terminal.shows(/exit=\d+/, 40_000);
        expect(screen).toContain('exit=0');
        expect(screen).toMatch(/https:\/\/localhost:\d+\/mcp/);
        expect(screen.replaceAll('\n', '')).toContain('mcp-deploy init --yes --profile local --name notes');
      } finally {
        terminal.close();
      }
      const text = await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8');
      expect(text).toContain('name: notes');
      expect(text.split('\n').filter((line) => line.trimStart().startsWith('#')).length).toBeGreaterThan(5);
      expect(documentOf(await runBin(['status', '--json'], { cwd: folder }))).toMatchObject({
        server: { state: 'running' },
      });
    });
  },
  90_000,
);

testWithTools(
  ['tmux'],
  'Ctrl-C at a question leaves nothing: exit 130',
  async () => {
    await withFolder(async (folder) => {
      const terminal = new Terminal({
        socket: join(folder, '../', `tmux-${process.pid}-b.sock`),
        cwd: folder,
        command: `HOME=${folder} ${command('init')}`,
      });
      try {
        await terminal.shows('Where does it run?');
        terminal.press('Enter');
        await terminal.shows('Command or URL of your MCP server');
        terminal.press('C-c');
        expect(await terminal.shows(/exit=\d+/)).toContain('exit=130');
      } finally {
        terminal.close();
      }
      expect(await readdir(folder)).toEqual([]);
    });
  },
  60_000,
);

test('without a terminal init asks nothing and writes a file that apply takes', async () => {
  await withFolder(async (folder) => {
    const init = await runBin(
      ['init', '--name', 'notes', '--names', 'localhost,127.0.0.1', '--', 'node', './server.js'],
      { cwd: folder },
    );
    expect(init.exitCode, init.stderr).toBe(0);
    expect(await readdir(folder)).toEqual(['.mcp-deploy', 'mcp-deploy.yaml']);
    const text = await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8');
    expect(text).toContain('command: node');
    // An editor without a network finds the schema where the first line says.
    const [, schema = ''] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? [];
    const own = await readFile(new URL('../../schema/mcp-deploy.schema.json', import.meta.url), 'utf8');
    expect(await readFile(join(folder, schema), 'utf8')).toBe(own);
    expect(init.stderr).toContain('mcp-deploy init --yes --profile local --name notes');
    expect((await runBin(['plan', '--check'], { cwd: folder })).exitCode).toBe(1);

    // A second init changes only what it was told, and keeps the user's comments.
    const again = await runBin(['init', '--name', 'notebook'], { cwd: folder });
    expect(again.exitCode, again.stderr).toBe(0);
    const edited = await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8');
    expect(edited).toBe(text.replace('name: notes', 'name: notebook'));

    // That of another version is replaced, and all of it goes.
    await writeFile(join(folder, schema), '{}');
    expect((await runBin(['init', '--name', 'other'], { cwd: folder })).exitCode).toBe(0);
    expect(await readFile(join(folder, schema), 'utf8')).toBe(own);
    const removed = await runBin(['uninstall', '--yes'], { cwd: folder });
    expect(removed.exitCode, removed.stderr).toBe(0);
    expect(await readdir(folder)).toEqual(['mcp-deploy.yaml']);
  });
}, 60_000);

test('an answers file sets up and applies in one run without a terminal: one JSON document, exit 0', async () => {
  await withFolder(async (folder) => {
    await writeFile(join(folder, 'answers.yaml'), 'version: 1\nname: ${SITE_NAME}\nlisten: localhost:0\n');
    const refused = await runBin(['init', '--answers', 'answers.yaml', '--json'], { cwd: folder });
    expect(documentOf(refused, 2)).toMatchObject({ ok: false });
    expect(refused.stderr).toContain('answers.yaml:2:7  name needs SITE_NAME, which is not set');
    expect(await readdir(folder)).toEqual(['answers.yaml']);

    await writeFile(join(folder, 'answers.yaml'), 'version: 1\nname: ${SITE_NAME}\n');
    const init = await runBin(
      ['init', '--answers', 'answers.yaml', '--apply', '--json', '--write-answers', 'again.json'],
      { cwd: folder, env: { SITE_NAME: 'scripted' } },
    );
    const document = documentOf(init);
    expect(document).toMatchObject({ ok: true, applied: true, changed: true, profile: 'local', verified: {} });
    expect(document['answers']).toMatchObject({ name: 'scripted', apply: true });
    const again = await runBin(['init', '--answers', 'again.json', '--json'], { cwd: folder });
    expect(documentOf(again)).toMatchObject({ ok: true, applied: true, changed: false, url: document['url'] });

    // A flag goes before the file.
    const renamed = await runBin(['init', '--answers', 'again.json', '--name', 'other', '--no-apply', '--json'], {
      cwd: folder,
    });
    expect(documentOf(renamed)).toMatchObject({ applied: false, answers: { name: 'other', apply: false } });
  });
}, 60_000);

test('without a terminal, what only a person knows is named with its flag; what does not fit is refused and changes nothing', async () => {
  await withFolder(async (folder) => {
    const missing = await runBin(['init', '--profile', 'linux-nginx', '--certificate', 'letsencrypt'], { cwd: folder });
    expect(missing.exitCode).toBe(2);
    expect(missing.stderr).toContain('--server-name');
    expect(missing.stderr).toContain('serverName: in the answers file');

    const mac = await runBin(['init', '--profile', 'macos', '--apply', '--json'], { cwd: folder });
    if (process.platform !== 'darwin') expect(documentOf(mac, 3)).toMatchObject({ ok: false });

    for (const [words, said] of [
      [['--profile', 'linux-ngnix'], '--profile linux-nginx'],
      [['--answers', 'nowhere.yaml'], 'nowhere.yaml is not there'],
      [['--server-name', 'https://x'], '--server-name'],
      [['--certificate', 'own'], 'private-ca, letsencrypt, files'],
      [['--env', 'A=b', '--', 'true'], '--env A=…'],
    ] as const) {
      const refused = await runBin(['init', ...words], { cwd: folder });
      expect(refused.exitCode, refused.stderr).toBe(2);
      expect(refused.stderr).toContain(said);
    }
    expect(await readdir(folder)).toEqual([]);
  });
}, 60_000);

test('files for containers are written together; those of somebody else are not overwritten', async () => {
  await withFolder(async (folder) => {
    const words = ['init', '--profile', 'docker', '--name', 'notes', '--apply', '--json'];
    const first = documentOf<{ files: readonly string[] }>(await runBin(words, { cwd: folder }));
    expect(first).toMatchObject({ ok: true, applied: false, profile: 'docker', plan: null });
    expect(first.files).toContain(join(folder, 'deploy/docker/compose.yaml'));
    expect(await readFile(join(folder, 'deploy/docker/compose.yaml'), 'utf8')).toContain('notes');
    await writeFile(join(folder, 'deploy/docker/compose.yaml'), 'mine\n');
    const refused = await runBin(words, { cwd: folder });
    expect(refused.exitCode).toBe(3);
    expect(await readFile(join(folder, 'deploy/docker/compose.yaml'), 'utf8')).toBe('mine\n');
    expect((await runBin([...words, '--yes'], { cwd: folder })).exitCode).toBe(0);
  });
}, 60_000);
