import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { binFile, documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { Terminal } from '../helpers/terminal.ts';
import { test } from 'vitest';
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
        command: command('init'),
      });
      try {
        await terminal.shows('Command that starts your MCP server');
        expect(await readdir(folder)).toEqual([]);
        terminal.press('Enter');
        await terminal.shows('Name of the deployment');
        terminal.press('C-u');
        terminal.type('Not A Name');
        terminal.press('Enter');
        await terminal.shows('not-a-name');
        terminal.press('C-u');
        terminal.type('notes');
        terminal.press('Enter');
        await terminal.shows('Listen on');
        terminal.press('Enter');
        await terminal.shows('Names and addresses');
        terminal.press('Enter');
        await terminal.shows('Public name');
        terminal.type('mcp.example.com');
        terminal.press('Enter');
        await terminal.shows('Require an API key');
        terminal.press('Enter');
        await terminal.shows('Apply now?');
        expect(await readdir(folder)).toEqual([]);
        terminal.press('Enter');
        const screen = await terminal.shows(/exit=\d+/, 40_000);
        expect(screen).toContain('exit=0');
        expect(screen).toMatch(/https:\/\/localhost:\d+\/mcp/);
        expect(screen).toContain('mcp-deploy init --yes --name notes');
      } finally {
        terminal.close();
      }
      const text = await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8');
      expect(text).toContain('name: notes');
      expect(text).toContain('mcp.example.com');
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
        command: command('init'),
      });
      try {
        await terminal.shows('Command that starts your MCP server');
        terminal.press('Enter');
        await terminal.shows('Name of the deployment');
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
    expect(await readdir(folder)).toEqual(['mcp-deploy.yaml']);
    const text = await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8');
    expect(text).toContain('command: node');
    expect(init.stderr).toContain('mcp-deploy init --yes --name notes');
    expect((await runBin(['plan', '--check'], { cwd: folder })).exitCode).toBe(1);

    // A second init changes only what it was told, and keeps the user's comments.
    const again = await runBin(['init', '--name', 'notebook'], { cwd: folder });
    expect(again.exitCode, again.stderr).toBe(0);
    const edited = await readFile(join(folder, 'mcp-deploy.yaml'), 'utf8');
    expect(edited).toBe(text.replace('name: notes', 'name: notebook'));
  });
}, 60_000);
