import { expect, test } from 'vitest';
import { wordsForHosts } from '../../src/cli/run-on-hosts.ts';
import { readSshHost } from '../../src/cli/ssh-host.ts';

test.each([
  ['mcp.example.com', 'mcp.example.com', null],
  ['deploy@mcp.example.com', 'deploy@mcp.example.com', null],
  ['one', 'one', null],
  ['root@10.0.0.7', 'root@10.0.0.7', null],
  ['a@fe80::1', 'a@fe80::1', null],
  ['x_y', 'x_y', null],
  ['b:22', 'b', 22],
  ['deploy@b.example.com:2222', 'deploy@b.example.com', 2222],
  ['root@[::1]:22', 'root@::1', 22],
])('%s is a host', (text, destination, port) => {
  expect(readSshHost(text)).toEqual({ text, destination, port });
});

test.each([
  '-oProxyCommand=touch /tmp/x',
  'a@-oProxyCommand=x',
  '-a@b',
  '',
  'a@',
  '@b',
  'a b',
  'a;b',
  'a\nb',
  '$(id)',
  'a@b@c',
  'ssh://a',
  'b:0',
  'b:70000',
  'b:-p',
  '-b:22',
  '[b]:22',
  '[-o]:22',
  'b:22:22',
  '--',
])('%j is none, and reaches no ssh', (text) => {
  expect(() => readSshHost(text)).toThrow('is not a host');
});

test('a host is told the command without the words that say where it is, and how to answer here', () => {
  const given = ['--host', 'a', 'rollback', '--json', '3', '--host=b', '--file', 'x.yaml', '-y', '--wait', '60'];
  expect(wordsForHosts('rollback', given)).toEqual(['3', '--wait', '60']);
});
