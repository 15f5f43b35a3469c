import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { binFile, documentOf, runBin, withFolder } from '../helpers/cli.ts';
import { Terminal } from '../helpers/terminal.ts';
import { testWithTools } from '../helpers/tools.ts';

test('status --watch writes a line each time where nothing can be redrawn, and Ctrl-C is its ordinary end', async () => {
  await withFolder(async (cwd) => {
    documentOf(await runBin(['up', '--json'], { cwd }));
    const until = async (args: readonly string[], lines: number) => {
      const run = runBin(['status', '--watch', '--interval', '1', ...args], {
        cwd,
        onStart: (child) => {
          let seen = '';
          child.stdout?.on('data', (text: string) => {
            seen += text;
            if (seen.split('\n').length > lines) child.kill('SIGINT');
          });
        },
      });
      return run;
    };
    const plain = await until([], 2);
    expect(plain).toMatchObject({ exitCode: 0, stderr: '' });
    expect(plain.stdout).toMatch(
      /^\d\d:\d\d:\d\d {2}ready, \d+ sessions, \d+ since the start, .*\n.* {2}ready, .*\d\/s, 0 errors/,
    );
    const documents = await until(['--json'], 1);
    expect(documents.exitCode).toBe(0);
    const [first = ''] = documents.stdout.split('\n');
    expect(JSON.parse(first)).toMatchObject({ server: { state: 'running', status: 'ready' }, traffic: { errors: 0 } });
    expect((await runBin(['status', '--watch', '--interval', '0'], { cwd })).exitCode).toBe(2);
  });
});

testWithTools(['tmux'], 'status --watch redraws in place in a narrow terminal', async () => {
  await withFolder(async (cwd) => {
    documentOf(await runBin(['up', '--json'], { cwd }));
    const place = mkdtempSync(join(tmpdir(), 'mcp-deploy-tmux-'));
    const terminal = new Terminal({
      socket: join(place, 's'),
      cwd,
      columns: 40,
      command: `sh -c 'trap : INT; ${process.execPath} ${binFile} status --watch --interval 1; echo "ended $?"; sleep 60'`,
    });
    try {
      await terminal.shows('since the start');
      const screen = await terminal.shows(/\d\.\d\/s/);
      expect(screen.match(/Endpoint/g)).toHaveLength(1);
      expect(screen.split('\n').every((line) => line.length <= 40)).toBe(true);
      terminal.press('C-c');
      await terminal.shows('ended 0');
    } finally {
      terminal.close();
      rmSync(place, { recursive: true, force: true });
    }
  });
});
