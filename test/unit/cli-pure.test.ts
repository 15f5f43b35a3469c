import { Chalk } from 'chalk';
import { describe, expect, test } from 'vitest';
import { EnvironmentError, UserError } from '../../src/deployment/errors.ts';
import { formatFailure } from '../../src/cli/output/output.ts';
import { slugFrom } from '../../src/cli/slug.ts';
import { judgeListen, judgeName, judgeNames, judgeServerName, splitCommand } from '../../src/cli/wizard/questions.ts';
import { quoteCommand } from '../../src/cli/quote-command.ts';

const plain = new Chalk({ level: 0 });

test('a failure says what, why, the outside words and the next command, in this order', () => {
  const error = new EnvironmentError('Port 8443 is taken.', {
    why: 'nginx (pid 812) holds it.',
    excerpt: ['line of nginx'],
    next: 'mcp-deploy up --listen localhost:9443',
  });
  expect(formatFailure(error, plain)).toBe(
    [
      '  error   Port 8443 is taken.',
      '          nginx (pid 812) holds it.',
      '            line of nginx',
      '  next    mcp-deploy up --listen localhost:9443',
      '',
    ].join('\n'),
  );
  expect(error.exitCode).toBe(3);
  expect(new UserError('x').exitCode).toBe(2);
});

describe('a name from any text', () => {
  const names: readonly [string, string][] = [
    ['My Server', 'my-server'],
    ['Über/Straße 7', 'u-ber-stra-e-7'],
    ['---', 'fallback'],
    ['', 'fallback'],
    ['a'.repeat(80), 'a'.repeat(40)],
    [`${'a'.repeat(39)}--b`, 'a'.repeat(39)],
  ];
  for (const [text, slug] of names) test(JSON.stringify(text), () => expect(slugFrom(text, 'fallback')).toBe(slug));
});

describe('a command line is split as a shell splits words and quotes', () => {
  const commands: readonly [string, string[] | null][] = [
    ['npx -y thing', ['npx', '-y', 'thing']],
    [`node "my server.js" 'a b' ""`, ['node', 'my server.js', 'a b', '']],
    ['a\\ b c', ['a b', 'c']],
    [`"a \\"quoted\\" word"`, ['a "quoted" word']],
    [`'single \\ stays'`, ['single \\ stays']],
    ['', []],
    ['open "quote', null],
    ['$HOME `x` ; rm', ['$HOME', '`x`', ';', 'rm']],
  ];
  for (const [text, words] of commands) test(JSON.stringify(text), () => expect(splitCommand(text)).toEqual(words));

  test('quoting and splitting again gives the same words', () => {
    for (const words of [['a b', "it's", '', '$x', 'plain', 'new\nline', '"']]) {
      expect(splitCommand(quoteCommand(words))).toEqual(words);
    }
  });
});

test('wizard answers are judged with a sentence that shows a right one', () => {
  expect(judgeName('ok-name')).toBe(true);
  expect(judgeName('Not Ok')).toContain('not-ok');
  expect(judgeName('')).not.toBe(true);
  expect(judgeListen('localhost:8443')).toBe(true);
  expect(judgeListen('8443')).toContain('localhost:8443');
  expect(judgeNames('localhost, 127.0.0.1')).toBe(true);
  expect(judgeNames('')).toContain('localhost');
  expect(judgeNames('http://x')).not.toBe(true);
  expect(judgeServerName('')).toBe(true);
  expect(judgeServerName('*.example.com')).toContain('mcp.example.com');
});
