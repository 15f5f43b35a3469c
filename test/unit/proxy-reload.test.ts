import { expect, test } from 'vitest';
import { proxyCheckOf, proxySiteFiles } from '../../src/targets/proxy-reload.ts';

test.each([
  [
    ['/usr/sbin/nginx', '-p', '/x', '-s', 'reload'],
    ['/usr/sbin/nginx', '-p', '/x', '-t', '-q'],
  ],
  [
    ['systemctl', 'reload', 'nginx.service'],
    ['nginx', '-t', '-q'],
  ],
  [
    ['caddy', 'reload', '--config', '/x/Caddyfile', '--adapter', 'caddyfile', '--force', '--address', 'localhost:1'],
    ['caddy', 'validate', '--config', '/x/Caddyfile', '--adapter', 'caddyfile'],
  ],
  [['docker', 'kill', '-s', 'HUP', 'proxy'], null],
  [['nginx', '-t'], null],
  [['systemctl', 'reload', 'haproxy'], null],
])('before %j the proxy is asked %j', (reload, check) => {
  expect(proxyCheckOf(reload)).toEqual(check);
});

test('each rendered proxy has a place and a reload, with and without systemd', () => {
  expect(proxySiteFiles({ name: 'notes' }, true)).toEqual([
    { program: 'nginx', siteFile: '/etc/nginx/conf.d/mcp-notes.conf', reload: ['systemctl', 'reload', 'nginx'] },
    {
      program: 'caddy',
      siteFile: '/etc/caddy/Caddyfile.d/mcp-notes.caddyfile',
      reload: ['systemctl', 'reload', 'caddy'],
    },
    { program: 'haproxy', siteFile: '/etc/haproxy/conf.d/mcp-notes.cfg', reload: ['systemctl', 'reload', 'haproxy'] },
  ]);
  // Caddy compares configurations: without --force it would read no certificate anew.
  expect(proxySiteFiles({ name: 'notes' }, false).map(({ reload }) => reload.at(-1))).toEqual(['reload', '--force']);
});
