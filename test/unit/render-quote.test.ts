import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { UserError } from '../../src/deployment/errors.ts';
import { quoteCaddyfile } from '../../src/render/quote/caddyfile.ts';
import { quoteDockerfileExec } from '../../src/render/quote/dockerfile.ts';
import { quoteEnvFileLine } from '../../src/render/quote/env-file.ts';
import { quoteNginx } from '../../src/render/quote/nginx.ts';
import { quotePlist } from '../../src/render/quote/plist.ts';
import { quoteShell } from '../../src/render/quote/shell.ts';
import {
  quoteSystemdEnvironment,
  quoteSystemdExec,
  quoteSystemdValue,
  quoteSystemdWord,
} from '../../src/render/quote/systemd.ts';
import { quoteCompose, quoteYaml } from '../../src/render/quote/yaml.ts';
import { runTool, testWithTools } from '../helpers/tools.ts';

const refused = Symbol('refused');
type Expected = string | typeof refused;

const formats = {
  nginx: (value: string) => quoteNginx(value, 'a.place'),
  caddyfile: (value: string) => quoteCaddyfile(value, 'a.place'),
  systemdValue: (value: string) => quoteSystemdValue(value, 'a.place'),
  systemdWord: (value: string) => quoteSystemdWord(value, 'a.place'),
  systemdExec: (value: string) => quoteSystemdExec(value, 'a.place'),
  systemdEnvironment: (value: string) => quoteSystemdEnvironment('N', value, 'a.place'),
  plist: (value: string) => quotePlist(value, 'a.place'),
  yaml: (value: string) => quoteYaml(value, 'a.place'),
  compose: (value: string) => quoteCompose(value, 'a.place'),
  dockerfile: (value: string) => quoteDockerfileExec([value], 'a.place'),
  shell: (value: string) => quoteShell(value, 'a.place'),
  envFile: (value: string) => quoteEnvFileLine('N', value, 'a.place'),
} as const;

type Format = keyof typeof formats;

const table: readonly { readonly value: string; readonly expected: Readonly<Record<Format, Expected>> }[] = [
  {
    value: 'plain-1.2/x:y@z',
    expected: {
      nginx: 'plain-1.2/x:y@z',
      caddyfile: 'plain-1.2/x:y@z',
      systemdValue: 'plain-1.2/x:y@z',
      systemdWord: 'plain-1.2/x:y@z',
      systemdExec: 'plain-1.2/x:y@z',
      systemdEnvironment: 'N=plain-1.2/x:y@z',
      plist: 'plain-1.2/x:y@z',
      yaml: '"plain-1.2/x:y@z"',
      compose: '"plain-1.2/x:y@z"',
      dockerfile: '["plain-1.2/x:y@z"]',
      shell: 'plain-1.2/x:y@z',
      envFile: 'N="plain-1.2/x:y@z"',
    },
  },
  {
    value: '',
    expected: {
      nginx: '""',
      caddyfile: '""',
      systemdValue: refused,
      systemdWord: '""',
      systemdExec: '""',
      systemdEnvironment: 'N=',
      plist: '',
      yaml: '""',
      compose: '""',
      dockerfile: '[""]',
      shell: "''",
      envFile: 'N=""',
    },
  },
  {
    value: '; } {',
    expected: {
      nginx: '"; } {"',
      caddyfile: refused,
      systemdValue: '; } {',
      systemdWord: '"; } {"',
      systemdExec: '"; } {"',
      systemdEnvironment: '"N=; } {"',
      plist: '; } {',
      yaml: '"; } {"',
      compose: '"; } {"',
      dockerfile: '["; } {"]',
      shell: "'; } {'",
      envFile: 'N="; } {"',
    },
  },
  {
    value: `say "hi" it's`,
    expected: {
      nginx: String.raw`"say \"hi\" it's"`,
      caddyfile: '`say "hi" it\'s`',
      systemdValue: `say "hi" it's`,
      systemdWord: String.raw`"say \"hi\" it's"`,
      systemdExec: String.raw`"say \"hi\" it's"`,
      systemdEnvironment: String.raw`"N=say \"hi\" it's"`,
      plist: `say "hi" it's`,
      yaml: String.raw`"say \"hi\" it's"`,
      compose: String.raw`"say \"hi\" it's"`,
      dockerfile: String.raw`["say \"hi\" it's"]`,
      shell: String.raw`'say "hi" it'\''s'`,
      envFile: String.raw`N="say \"hi\" it's"`,
    },
  },
  {
    value: '`tick` "both"',
    expected: {
      nginx: '"`tick` \\"both\\""',
      caddyfile: '"`tick` \\"both\\""',
      systemdValue: '`tick` "both"',
      systemdWord: '"`tick` \\"both\\""',
      systemdExec: '"`tick` \\"both\\""',
      systemdEnvironment: '"N=`tick` \\"both\\""',
      plist: '`tick` "both"',
      yaml: '"`tick` \\"both\\""',
      compose: '"`tick` \\"both\\""',
      dockerfile: '["`tick` \\"both\\""]',
      shell: '\'`tick` "both"\'',
      envFile: 'N="\\`tick\\` \\"both\\""',
    },
  },
  {
    value: 'back\\slash\\',
    expected: {
      nginx: '"back\\\\slash\\\\"',
      caddyfile: '`back\\slash\\`',
      systemdValue: refused,
      systemdWord: '"back\\\\slash\\\\"',
      systemdExec: '"back\\\\slash\\\\"',
      systemdEnvironment: '"N=back\\\\slash\\\\"',
      plist: 'back\\slash\\',
      yaml: '"back\\\\slash\\\\"',
      compose: '"back\\\\slash\\\\"',
      dockerfile: '["back\\\\slash\\\\"]',
      shell: "'back\\slash\\'",
      envFile: 'N="back\\\\slash\\\\"',
    },
  },
  {
    value: '`\\',
    expected: {
      nginx: '"`\\\\"',
      caddyfile: refused,
      systemdValue: refused,
      systemdWord: '"`\\\\"',
      systemdExec: '"`\\\\"',
      systemdEnvironment: '"N=`\\\\"',
      plist: '`\\',
      yaml: '"`\\\\"',
      compose: '"`\\\\"',
      dockerfile: '["`\\\\"]',
      shell: "'`\\'",
      envFile: 'N="\\`\\\\"',
    },
  },
  {
    value: '$HOME ${HOME} $$',
    expected: {
      nginx: refused,
      caddyfile: refused,
      systemdValue: '$HOME ${HOME} $$',
      systemdWord: '"$HOME ${HOME} $$"',
      systemdExec: '"$$HOME $${HOME} $$$$"',
      systemdEnvironment: '"N=$HOME ${HOME} $$"',
      plist: '$HOME ${HOME} $$',
      yaml: '"$HOME ${HOME} $$"',
      compose: '"$$HOME $${HOME} $$$$"',
      dockerfile: '["$HOME ${HOME} $$"]',
      shell: "'$HOME ${HOME} $$'",
      envFile: 'N="\\$HOME \\${HOME} \\$\\$"',
    },
  },
  {
    value: '{$HOME} {http.request.uri}',
    expected: {
      nginx: refused,
      caddyfile: refused,
      systemdValue: '{$HOME} {http.request.uri}',
      systemdWord: '"{$HOME} {http.request.uri}"',
      systemdExec: '"{$$HOME} {http.request.uri}"',
      systemdEnvironment: '"N={$HOME} {http.request.uri}"',
      plist: '{$HOME} {http.request.uri}',
      yaml: '"{$HOME} {http.request.uri}"',
      compose: '"{$$HOME} {http.request.uri}"',
      dockerfile: '["{$HOME} {http.request.uri}"]',
      shell: "'{$HOME} {http.request.uri}'",
      envFile: 'N="{\\$HOME} {http.request.uri}"',
    },
  },
  {
    value: '100%h %',
    expected: {
      nginx: '"100%h %"',
      caddyfile: '"100%h %"',
      systemdValue: '100%%h %%',
      systemdWord: '"100%%h %%"',
      systemdExec: '"100%%h %%"',
      systemdEnvironment: '"N=100%%h %%"',
      plist: '100%h %',
      yaml: '"100%h %"',
      compose: '"100%h %"',
      dockerfile: '["100%h %"]',
      shell: "'100%h %'",
      envFile: 'N="100%h %"',
    },
  },
  {
    value: '# <a> & b',
    expected: {
      nginx: '"# <a> & b"',
      caddyfile: '"# <a> & b"',
      systemdValue: '# <a> & b',
      systemdWord: '"# <a> & b"',
      systemdExec: '"# <a> & b"',
      systemdEnvironment: '"N=# <a> & b"',
      plist: '# &lt;a&gt; &amp; b',
      yaml: '"# <a> & b"',
      compose: '"# <a> & b"',
      dockerfile: '["# <a> & b"]',
      shell: "'# <a> & b'",
      envFile: 'N="# <a> & b"',
    },
  },
  {
    value: 'ünï 🚀',
    expected: {
      nginx: '"ünï 🚀"',
      caddyfile: '"ünï 🚀"',
      systemdValue: 'ünï 🚀',
      systemdWord: '"ünï 🚀"',
      systemdExec: '"ünï 🚀"',
      systemdEnvironment: '"N=ünï 🚀"',
      plist: 'ünï 🚀',
      yaml: '"ünï 🚀"',
      compose: '"ünï 🚀"',
      dockerfile: '["ünï 🚀"]',
      shell: "'ünï 🚀'",
      envFile: 'N="ünï 🚀"',
    },
  },
  {
    value: 'two\nlines',
    expected: {
      nginx: refused,
      caddyfile: refused,
      systemdValue: refused,
      systemdWord: refused,
      systemdExec: refused,
      systemdEnvironment: refused,
      plist: 'two\nlines',
      yaml: '"two\\nlines"',
      compose: '"two\\nlines"',
      dockerfile: refused,
      shell: "'two\nlines'",
      envFile: refused,
    },
  },
  {
    value: 'carriage\rreturn',
    expected: {
      nginx: refused,
      caddyfile: refused,
      systemdValue: refused,
      systemdWord: refused,
      systemdExec: refused,
      systemdEnvironment: refused,
      plist: 'carriage&#13;return',
      yaml: '"carriage\\rreturn"',
      compose: '"carriage\\rreturn"',
      dockerfile: refused,
      shell: "'carriage\rreturn'",
      envFile: refused,
    },
  },
];

/** No format can carry these: the value would be cut or become another one on the way. */
const refusedEverywhere = { nul: 'nul\0', halfSurrogate: 'half \ud83d' };

describe.each(Object.keys(formats) as Format[])('%s', (format) => {
  test.each(table)('writes $value as it stands in the table', ({ value, expected }) => {
    const wanted = expected[format];
    if (typeof wanted === 'string') {
      expect(formats[format](value)).toBe(wanted);
      return;
    }
    expect(() => formats[format](value)).toThrow(UserError);
    expect(() => formats[format](value)).toThrow(/a\.place/);
  });

  test.each(Object.entries(refusedEverywhere))('refuses %s', (_name, value) => {
    expect(() => formats[format](value)).toThrow(UserError);
  });

  test('says why in words and what to do', () => {
    try {
      formats[format]('nul\0');
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({
        why: expect.stringMatching(/NUL|control/) as unknown,
        next: expect.stringContaining('a.place') as unknown,
      });
    }
  });
});

test('names of environment variables are checked, so that a name cannot bring an assignment along', () => {
  for (const name of ['', '1A', 'A B', 'A=B', 'A\nB', 'Ä']) {
    expect(() => quoteSystemdEnvironment(name, 'v', 'a.place')).toThrow(UserError);
    expect(() => quoteEnvFileLine(name, 'v', 'a.place')).toThrow(UserError);
  }
});

/** Values that every format that can carry them has to give back unchanged. */
const carried = table.map(({ value }) => value);

test('a YAML parser reads every value back', () => {
  for (const value of [...carried, 'no', '~', '1e3', '\u007f\u0085\u2028\ufeff', '\u001b[0m\t']) {
    expect(parse(quoteYaml(value, 'p'))).toBe(value);
    expect((parse(quoteCompose(value, 'p')) as string).replaceAll('$$', '$')).toBe(value);
  }
});

testWithTools(['sh'], 'a shell reads every value back from a command and from an environment file', () => {
  for (const value of carried) {
    expect(runTool('sh', ['-c', `printf %s ${quoteShell(value, 'p')}`])).toBe(value);
    if (/[\n\r]/.test(value)) continue;
    expect(runTool('sh', ['-c', `${quoteEnvFileLine('N', value, 'p')}\nprintf %s "$N"`])).toBe(value);
  }
});

testWithTools(['caddy'], 'Caddy reads every value back', () => {
  for (const value of carried.filter((text) => text !== '')) {
    let quoted;
    try {
      quoted = quoteCaddyfile(value, 'p');
    } catch {
      continue;
    }
    const adapted = JSON.parse(
      runTool('sh', [
        '-c',
        `printf %s ${quoteShell(`:1 {\n\trespond ${quoted}\n}\n`, 'p')} | caddy adapt --config /dev/stdin --adapter caddyfile 2>/dev/null`,
      ]),
    ) as unknown;
    expect(JSON.stringify(adapted)).toContain(`"body":${JSON.stringify(value)}`);
  }
});
