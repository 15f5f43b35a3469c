import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { binFile, documentOf, repository, runBin, withFolder } from '../helpers/cli.ts';
import { Terminal } from '../helpers/terminal.ts';
import { testWithTools } from '../helpers/tools.ts';

describe('doctor in a terminal', { timeout: 120_000 }, () => {
  testWithTools(
    ['tmux'],
    'says what it looks at in one line that goes away, and leaves what the README shows; Ctrl-C leaves nothing',
    async () => {
      await withFolder(async (cwd) => {
        documentOf(await runBin(['up', '--json'], { cwd }));
        const doctor = `${process.execPath} ${binFile} doctor`;
        const terminal = new Terminal({
          socket: join(cwd, 's'),
          cwd,
          columns: 80,
          command: `sh -c 'trap : INT; ${doctor} --only health; ${doctor}; echo "ended $?"; read again; clear; ${doctor}; echo "cut $?"; read end'`,
        });
        try {
          await terminal.shows(/^ {2}\S.* …$/m, 60_000);
          const screen = await terminal.shows('ended 0', 60_000);
          expect(screen).not.toContain('…');
          const shown = screen.slice(screen.indexOf('  Path', screen.indexOf('passed in')));
          expect(labelsOf(shown)).toEqual(labelsOf(readmeSample()));
          terminal.press('Enter');
          await terminal.shows(/^ {2}\S.* …$/m, 60_000);
          terminal.press('C-c');
          expect(await terminal.shows('cut 130', 60_000)).not.toContain('…');
        } finally {
          terminal.close();
        }
      });
    },
    120_000,
  );
});

/** What the README says that doctor prints. */
function readmeSample(): string {
  const text = readFileSync(join(repository, 'README.md'), 'utf8');
  const from = text.indexOf('$ npx mcp-deploy doctor\n');
  return text.slice(from, text.indexOf('```', from));
}

/** The names of the checks in order, without what they measured. */
function labelsOf(text: string): readonly string[] {
  return [...text.matchAll(/✓ (.+?)(?=\s{2,}|\s*$)/gm)].map(([, label = '']) =>
    label.replaceAll(/\d+(?:\.\d+)*/g, 'N'),
  );
}
