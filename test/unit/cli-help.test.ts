import { describe, expect, test } from 'vitest';
import { completeWords, type Completions } from '../../src/cli/complete-words.ts';
import { allCommands } from '../../src/cli/describe-program.ts';
import { manualPage } from '../../src/cli/manual-page.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { realWorld } from '../../src/cli/world.ts';

const program = buildProgram(realWorld(), () => Promise.resolve(0)).describe();
/** `serve` has its help in the server. */
const leaves = allCommands(program).filter(({ children, words }) => children.length === 0 && words[0] !== 'serve');

describe.each(leaves.map((command) => [command.words.join(' '), command] as const))('%s', (name, { footer }) => {
  test('has examples of itself and exit codes in its help', () => {
    expect(footer).toMatch(/^Examples$/m);
    expect(footer).toMatch(/^Exit codes\n {2}0 /m);
    const examples = footer.slice(footer.indexOf('Examples')).split('\n\n')[0] ?? '';
    expect(examples).toContain(`mcp-deploy ${name}`);
  });

  test('every example is a command with flags that exist', () => {
    const examples = footer.matchAll(/^ +(?:source <\()?mcp-deploy (.*)$/gm);
    for (const [, line = ''] of examples) {
      const words = (line.split(/ {2,}| -- | \| |[)>]/)[0] ?? '').split(' ').filter((word) => word !== '');
      const at = allCommands(program).findLast(
        ({ words: path }) => path.length > 0 && path.every((word, index) => words[index] === word),
      );
      expect(at, line).toBeDefined();
      const known = at?.flags.flatMap(({ names }) => names) ?? [];
      for (const flag of words.filter((word) => /^--?[a-z]/.test(word))) expect(known, line).toContain(flag);
    }
  });
});

describe('completion', () => {
  const known = {
    clients: ['claude-code', 'cursor'],
    targets: ['nginx', 'caddy'],
    codes: ['tls/name', 'stream/buffered'],
    categories: ['tls', 'stream'],
    labels: ['laptop', 'ci'],
  };
  const complete = (...words: string[]): string[] | 'files' => {
    const found: Completions = completeWords(program, words, known);
    return found === 'files' ? found : found.words.map(({ word }) => word);
  };

  test.each<[string[], string[] | 'files']>([
    [['cli'], ['client']],
    [['client', 're'], ['remove']],
    [
      ['client', 'add', ''],
      ['claude-code', 'cursor'],
    ],
    [['client', 'add', '--url', 'https://x/', 'cu'], ['cursor']],
    [['client', 'add', '--force', 'cl'], ['claude-code']],
    [['client', 'print', 's'], ['server.json']],
    [['client', 'add', 'cursor', '--dr'], ['--dry-run']],
    [['client', 'add', '--key-file', ''], 'files'],
    [
      ['keys', 'rotate', ''],
      ['laptop', 'ci'],
    ],
    [['keys', 'create', ''], []],
    [['explain', 't'], ['tls/name']],
    [
      ['doctor', '--only', ''],
      ['tls', 'stream', 'tls/name', 'stream/buffered'],
    ],
    [['render', 'nginx', 'c'], ['caddy']],
    [['up', '--', 'npx', ''], 'files'],
    [['--json', 'hist'], ['history']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['init', '--profile', 'linux-'],
      ['linux-nginx', 'linux-caddy', 'linux-haproxy', 'linux-user'],
    ],
    [
      ['init', '--certificate', ''],
      ['private-ca', 'letsencrypt', 'files'],
    ],
    [['init', '--answers', ''], 'files'],
    [['help', 'unin'], ['uninstall']],
    [['nothing', ''], 'files'],
  ])('%j', (words, expected) => {
    if (words[0] === 'nothing') expect(complete(...words)).toEqual([]);
    else expect(complete(...words)).toEqual(expected);
  });

  test('what is for scripts alone is not offered', () => {
    expect(complete('comp')).toEqual(['completion']);
  });
});

test('the manual page has every command, and text cannot end it early', () => {
  const page = manualPage(program, { version: '1.2.3', date: '2026-01-02' });
  for (const { words } of leaves) expect(page).toContain(`.SS "${words.join(' ').replaceAll('-', String.raw`\-`)}"`);
  const hostile = { ...program, summary: '.so /etc/passwd\n\'x \\fB"', footer: '' };
  const lines = manualPage(hostile, { version: '1', date: '2026-01-02' }).split('\n');
  expect(lines.filter((line) => /^[.']so|^'x/.test(line))).toEqual([]);
});
