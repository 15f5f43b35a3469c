import { expect, test } from 'vitest';
import { wordsForHosts } from '../../src/cli/run-on-hosts.ts';
import { readSshHost } from '../../src/cli/ssh-host.ts';

test.each(['mcp.example.com', 'deploy@mcp.example.com', 'one', 'root@10.0.0.7', 'a@fe80::1', 'x_y'])(
  '%s is a host',
  (text) => {
    expect(readSshHost(text)).toBe(text);
  },
);

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
  'b:22',
  '--',
])('%j is none, and reaches no ssh', (text) => {
  expect(() => readSshHost(text)).toThrow('is not a host');
});

test('a host is told the command without the words that say where it is, and how to answer here', () => {
  const given = ['--host', 'a', 'rollback', '--json', '3', '--host=b', '--file', 'x.yaml', '-y', '--wait', '60'];
  expect(wordsForHosts('rollback', given)).toEqual(['3', '--wait', '60']);
});
