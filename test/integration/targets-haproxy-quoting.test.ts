import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { quoteHaproxy } from '../../src/render/quote/haproxy.ts';
import { callHttp } from '../helpers/http-call.ts';
import { freePorts, startHaproxy } from '../helpers/proxy-rig.ts';
import { testWithTools } from '../helpers/tools.ts';

const values: readonly string[] = [
  'plain-1.2/x:y@z',
  'two words',
  ' around ',
  '# no comment',
  '; } {',
  '"double"',
  "'single'",
  `both ' and "`,
  '$HOME and ${HOME}',
  `'$HOME' and "\${HOME}"`,
  'back\\slash\\',
  `' and \\ and \\" and \\n`,
  '%[src] 100%',
  'ä ß 🚀',
  '* ? [a] ~ ! & | < > ( ) ,',
];

testWithTools(['haproxy'], 'HAProxy reads every quoted value back as it was', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-haproxy-'));
  const [port = 0] = await freePorts(1);
  const answers = values.map(
    (value, index) =>
      `    http-request return status 200 content-type text/plain string ${quoteHaproxy(value, 'p')} if { path /${index} }`,
  );
  const file = join(folder, 'haproxy.cfg');
  writeFileSync(
    file,
    [
      'defaults',
      '    mode http',
      '    timeout connect 5s',
      '    timeout client 5s',
      '    timeout server 5s',
      'frontend f',
      `    bind 127.0.0.1:${port}`,
      ...answers,
      '',
    ].join('\n'),
  );
  const proxy = await startHaproxy(file, [port]);
  try {
    for (const [index, value] of values.entries()) {
      expect((await callHttp({ url: `http://127.0.0.1:${port}/${index}` })).body).toBe(value);
    }
  } finally {
    await proxy.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('what ends a line is refused', () => {
  for (const value of ['a\nb', 'a\rb', 'a\0b', 'a\tb', '\ud800']) {
    expect(() => quoteHaproxy(value, 'a.place')).toThrow(UserError);
  }
});
