import { describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { UserError } from '../../src/deployment/errors.ts';
import { editDeployment, type DeploymentChange } from '../../src/deployment/edit-deployment.ts';
import { parseDeployment } from '../../src/deployment/parse-deployment.ts';
import { inlineYaml, quoteYaml } from '../../src/deployment/quote-yaml.ts';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { formatDeployment, type DeploymentDraft } from '../../src/deployment/write-deployment.ts';
import { seededRandom, type SeededRandom } from '../helpers/seeded-random.ts';

const hostile = [
  '',
  ' ',
  'a',
  'true',
  'No',
  'null',
  '~',
  'off',
  'Y',
  '1',
  '-1',
  '1.5',
  '1e3',
  '0x1f',
  '0o7',
  '1_000',
  '12:30',
  '2001-01-01',
  '.inf',
  '-.INF',
  '.nan',
  '-',
  '--',
  '-y',
  '--flag=x',
  '- a',
  '? a',
  ': a',
  'a:',
  'a: b',
  'a:b',
  'a #b',
  '#b',
  '# b',
  '&a',
  '*a',
  '!t',
  '!!str x',
  '|',
  '>',
  '%x',
  '@x',
  '`x`',
  "it's",
  '"q"',
  '\\',
  '\\n',
  'a\nb',
  'a\r\nb',
  '\n',
  'a\n',
  '\ttab',
  'a\tb',
  ' lead',
  'trail ',
  '[a]',
  '{a: b}',
  'a, b',
  ',',
  '[',
  ']',
  '{',
  '}',
  '<<',
  '=',
  '@scope/name',
  'https://x/y?a=b#c',
  'C:\\x\\y',
  '/abs/path',
  './rel',
  '../up',
  '~/home',
  '${NAME}',
  '$${',
  'a${B:-c}d',
  '日本',
  'é',
  '💥',
  'x'.repeat(300),
  '\u0085',
  '\u2028',
  '\u2029',
  '\ufeff',
  '\u007f',
  '\u0001',
  '\u200b',
  '\ud800',
  'a\ud800b',
  '\ufffe',
  'é: ü',
  '---',
  '...',
  '--- a',
  'localhost:8443',
  '[::1]:8443',
  '127.0.0.1',
  'server:',
];

describe('quoteYaml', () => {
  test.each(hostile.map((text) => [text]))('%j reads back as the same text in block, in flow and as a key', (text) => {
    const options = { schema: 'core', merge: true } as const;
    expect((parseDocument(`a: ${quoteYaml(text)} # c\nb: 1\n`, options).toJS() as { a: unknown }).a).toBe(text);
    expect(
      (parseDocument(`a: [${quoteYaml(text)}, ${quoteYaml(text)}]\n`, options).toJS() as { a: unknown }).a,
    ).toEqual([text, text]);
    const keyed = `a: { ${quoteYaml(text)}: ${quoteYaml(text)} }\n`;
    if (text.length < 200) expect(parseDocument(keyed, options).toJS()).toEqual({ a: { [text]: text } });
    // Editors still read YAML 1.1.
    expect((parseDocument(`a: ${quoteYaml(text)}\n`, { version: '1.1' }).toJS() as { a: unknown }).a).toBe(text);
  });

  test.each([
    ['npx', 'npx'],
    ['-y', '-y'],
    ['/srv/files', '/srv/files'],
    ['localhost:8443', 'localhost:8443'],
    ['https://mcp.example.com/mcp', 'https://mcp.example.com/mcp'],
    ['@a/b', '"@a/b"'],
    ['off', '"off"'],
    ['8443', '"8443"'],
    ['a b', '"a b"'],
  ])('%j is written as %s', (text, written) => {
    expect(quoteYaml(text)).toBe(written);
  });

  test('whole values on one line', () => {
    expect(inlineYaml({ a: ['x', 'y z'], b: {}, c: [], d: true, e: 1.5, f: undefined })).toBe(
      '{ a: [x, "y z"], b: {}, c: [], d: true, e: 1.5 }',
    );
  });
});

/** A text without NUL and ${, which the meaning rules refuse. */
function text(random: SeededRandom): string {
  return random.pick(hostile.filter((each) => !each.includes('${')));
}

function someOf<T extends object>(random: SeededRandom, whole: T): Partial<T> {
  return Object.fromEntries(Object.entries(whole).filter(() => random.chance(0.5))) as Partial<T>;
}

function draft(random: SeededRandom): DeploymentDraft {
  const upstream = () => ({
    command: text(random) || 'npx',
    ...someOf(random, {
      args: Array.from({ length: random.below(5) }, () => text(random)),
      env: Object.fromEntries(Array.from({ length: random.below(3) }, (_, index) => [`NAME_${index}`, text(random)])),
      cwd: text(random),
      instances: random.pick(['shared', 'per-session', 'per-key'] as const),
      startSeconds: random.pick([0.5, 60, 600]),
      callSeconds: 1,
      maxConcurrency: 3,
    }),
  });
  const names = ['a', '0', 'true-', 'null', 'off', 'long-name-with-9'].map((name) => name.replace(/-$/, ''));
  const rate = () =>
    random.pick(['off' as const, { requests: 5, ...someOf(random, { windowSeconds: 1.5, burst: 7 }) }]);
  return someOf(random, {
    name: random.pick(['mcp', '0', 'null', 'a-b']),
    server: someOf(random, {
      listen: random.pick<string | string[]>(['localhost:1', ['localhost:1', '[::1]:2', 'unix:/a b: #c']]),
      path: random.pick(['/mcp', '/a/~b']),
      upstreams: Object.fromEntries(Array.from({ length: random.below(3) }, () => [random.pick(names), upstream()])),
      builtinTools: random.pick(['auto', 'on', 'off'] as const),
      allowedHosts: ['a.example.com', '::1'].slice(random.below(3)),
      allowedOrigins: ['https://a.example.com'],
      trustedProxies: ['10.0.0.0/8', '::1'],
      behindProxy: random.chance(0.5),
      sessions: someOf(random, { idleSeconds: 5, max: 1 }),
      keepAliveSeconds: 0.5,
      drainSeconds: 0,
    }),
    tls: random.pick([
      { source: 'off' as const },
      { source: 'files' as const, certificate: text(random) || 'x', key: text(random) || 'y' },
      {
        source: 'private-ca' as const,
        ...someOf(random, { names: ['localhost', '*.example.com', '::1'], validDays: 5 }),
      },
    ]),
    auth: someOf(random, { required: random.chance(0.5) }),
    limits: someOf(random, { perKey: rate(), global: rate(), bodyBytes: 4_096, streamsPerKey: 5 }),
    logs: someOf(random, { level: random.pick(['debug', 'info', 'warn', 'error'] as const) }),
    proxy: someOf(random, { serverName: 'a.example.com', maxBodyMegabytes: 0.5 }),
    service: someOf(random, { user: '_mcp' }),
  });
}

describe('formatDeployment', () => {
  test('what is written reads back as the same deployment, whatever was decided', () => {
    const random = seededRandom(42);
    for (let round = 0; round < 120; round += 1) {
      const wanted = draft(random);
      const written = formatDeployment(wanted);
      const parsed = parseDeployment(written, { file: 'x' });
      const problems = parsed.ok ? [] : parsed.problems;
      expect(problems, written).toEqual([]);
      expect(parsed.ok && parsed.deployment, written).toEqual(deploymentSchema.parse({ ...wanted, version: 1 }));
    }
  });

  test('every commented line is a setting that can be uncommented', () => {
    const written = formatDeployment({ server: { upstreams: { a: { command: 'x' } } } });
    const lines = written.split('\n');
    const [start] = [lines.findIndex((line) => line.startsWith('version:'))];
    const uncommented = lines
      .slice(start)
      .filter((line) => !/^ *# (?:# |[A-Z])/.test(line) && !/^ *# its /.test(line))
      .map((line) => line.replace(/^( *)# (?=[ a-zA-Z])/, '$1'))
      .join('\n');
    const parsed = parseDeployment(uncommented, { file: 'x' });
    expect(parsed.ok ? [] : parsed.problems, uncommented).toEqual([]);
    if (!parsed.ok) return;
    expect(parsed.deployment.server.publicUrl).toBe('https://mcp.example.com/mcp');
    expect(parsed.deployment.server.upstreams['a']).toMatchObject({ env: { API_TOKEN: '${API_TOKEN}' } });
    expect(parsed.deployment.proxy.serverName).toBe('mcp.example.com');
  });

  test('the file of `mcp-deploy up` is short and its lines are not long', () => {
    const written = formatDeployment({
      name: 'files',
      server: {
        listen: 'localhost:8443',
        upstreams: { everything: { command: 'npx', args: ['-y', '@modelcontextprotocol/server-everything'] } },
      },
    });
    const lines = written.split('\n');
    expect(lines.length).toBeLessThan(80);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(130);
    expect(written).toContain('args: [-y, "@modelcontextprotocol/server-everything"]');
    expect(written.endsWith('\n')).toBe(true);
    expect(written).not.toMatch(/[ \t]$/m);
  });
});

const commented = `# Ours.
version: 1   # the format

name: 'files'
server:
    # Where.
    listen:   localhost:8443  # TLS
    upstreams:

        files:
            command: npx
            args: [ -y,
                    "x" ]  # two lines
            env:
                # secret
                TOKEN: "\${TOKEN}"
        # the end of the upstreams
limits: { perKey: { requests: 5 } }   # flow
tls:
    source: private-ca
# last words
`;

describe('editDeployment', () => {
  const lineChanges = (before: string, after: string): { gone: string[]; come: string[] } => {
    const [from, to] = [before.split('\n'), after.split('\n')];
    return { gone: from.filter((line) => !to.includes(line)), come: to.filter((line) => !from.includes(line)) };
  };

  test.each<[string, DeploymentChange, string[], string[]]>([
    [
      'a plain value',
      { path: 'server.listen', value: 'localhost:9000' },
      ['    listen:   localhost:8443  # TLS'],
      ['    listen:   localhost:9000  # TLS'],
    ],
    ['a quoted value', { path: 'name', value: 'a b' }, ["name: 'files'"], ['name: "a b"']],
    [
      'a value inside of a flow map',
      { path: 'limits.perKey.requests', value: 9 },
      ['limits: { perKey: { requests: 5 } }   # flow'],
      ['limits: { perKey: { requests: 9 } }   # flow'],
    ],
    [
      'a list over two lines',
      { path: ['server', 'upstreams', 'files', 'args'], value: ['a', 'b c'] },
      ['            args: [ -y,', '                    "x" ]  # two lines'],
      ['            args: [a, "b c"]  # two lines'],
    ],
    ['a new setting of a section', { path: 'server.behindProxy', value: true }, [], ['    behindProxy: true']],
    ['a new section', { path: 'auth.required', value: false }, [], ['auth:', '  required: false']],
    [
      'a new upstream',
      { path: ['server', 'upstreams', 'b'], value: { command: 'x', args: ['1'], env: {} } },
      [],
      ['        b:', '          command: x', '          args: ["1"]', '          env: {}'],
    ],
    ['a new variable', { path: 'server.upstreams.files.env.B', value: '1' }, [], ['                B: "1"']],
    ['a removed setting', { path: 'server.listen', value: undefined }, ['    listen:   localhost:8443  # TLS'], []],
    ['the removal of what is not there', { path: 'server.path', value: undefined }, [], []],
    [
      'a list in place of text',
      { path: 'server.listen', value: ['localhost:1', '[::1]:2'] },
      ['    listen:   localhost:8443  # TLS'],
      ['    listen:   [localhost:1, "[::1]:2"]  # TLS'],
    ],
    [
      'text in place of a section',
      { path: 'limits.perKey', value: 'off' },
      ['limits: { perKey: { requests: 5 } }   # flow'],
      ['limits: { perKey: "off" }   # flow'],
    ],
  ])('%s changes its own lines and no others', (_, change, gone, come) => {
    const edited = editDeployment(commented, [change]);
    expect(lineChanges(commented, edited)).toEqual({ gone, come });
  });

  test('the same value again changes nothing', () => {
    expect(editDeployment(commented, [{ path: 'server.listen', value: 'localhost:8443' }])).toBe(commented);
    expect(editDeployment(commented, [])).toBe(commented);
  });

  test('the same value in other quotes is the same value', () => {
    expect(editDeployment(commented, [{ path: 'name', value: 'files' }])).toBe(commented);
  });

  test.each<[string, string, DeploymentChange, string]>([
    [
      'a key after a question mark',
      'version: 1\n? name\n: a\n',
      { path: 'name', value: 'b' },
      'version: 1\n? name\n: b\n',
    ],
    [
      'a flow map that gets a setting',
      'version: 1 # one\nlogs: { }\nserver: { path: /a } # two\n',
      { path: 'server.behindProxy', value: true },
      'version: 1 # one\nlogs: {}\nserver: { path: /a, behindProxy: true } # two\n',
    ],
    [
      'the last setting of a section',
      'version: 1\nserver:\n  path: /a\nname: x # y\n',
      { path: 'server.path', value: undefined },
      'version: 1\nserver: {}\nname: x # y\n',
    ],
    [
      'an anchored map that only its own place uses',
      'version: 1\nserver: &s\n  path: /a\n',
      { path: 'server.path', value: '/b' },
      'version: 1\nserver: &s\n  path: /b\n',
    ],
  ])('%s is changed too', (_, before, change, after) => {
    expect(editDeployment(before, [change])).toBe(after);
  });

  test.each<[string, string, DeploymentChange]>([
    [
      'text with an anchor that is used elsewhere',
      'name: &n a\nproxy: { serverName: *n }\n',
      { path: 'name', value: 'b' },
    ],
    ['a setting behind an alias', 'a: &a { x: 1 }\nb: *a\n', { path: 'b.x', value: 2 }],
    ['a setting of a map that aliases share', 'a: &a\n  x: 1\nb: *a\n', { path: 'a.x', value: 2 }],
  ])('%s is refused, for it would change something else', (_, before, change) => {
    expect(() => editDeployment(before, [change])).toThrow(UserError);
  });

  test('a byte order mark and CR LF stay', () => {
    const edited = editDeployment('\uFEFFversion: 1\r\nname: a\r\n', [
      { path: 'name', value: 'b' },
      { path: 'logs.level', value: 'debug' },
    ]);
    expect(edited).toBe('\uFEFFversion: 1\r\nname: b\r\nlogs:\r\n  level: debug\r\n');
  });

  test('a file without a last line break gets the new line on its own', () => {
    expect(editDeployment('version: 1', [{ path: 'name', value: 'b' }])).toBe('version: 1\nname: b\n');
  });

  test('an empty section gets its first setting', () => {
    expect(
      editDeployment('version: 1\nserver:\n  # nothing yet\nlogs: {}\n', [
        { path: 'server.path', value: '/a' },
        { path: 'logs.level', value: 'warn' },
      ]),
    ).toBe('version: 1\nserver:\n  path: /a\n  # nothing yet\nlogs:\n  level: warn\n');
  });

  test('a file that is no valid YAML is refused', () => {
    expect(() => editDeployment('a: "', [{ path: 'name', value: 'b' }])).toThrow('not valid YAML');
  });

  test('any change to any file gives the data wanted, and keeps every comment', () => {
    const random = seededRandom(11);
    const changes: readonly DeploymentChange[] = [
      { path: 'name', value: 'zz' },
      { path: 'server.listen', value: ['localhost:1'] },
      { path: 'server.upstreams.new', value: { command: 'x y', args: ['a: b'], env: { A: 'off' } } },
      { path: 'server.upstreams.a.command', value: '#!' },
      { path: 'server.upstreams.a.env', value: { Z: '1' } },
      { path: 'server.upstreams.a.cwd', value: undefined },
      { path: 'tls', value: { source: 'files', certificate: 'a', key: 'b' } },
      { path: 'tls', value: undefined },
      { path: 'limits.perKey', value: 'off' },
      { path: 'limits.perKey', value: { requests: 3, burst: 4 } },
      { path: 'logs.level', value: 'debug' },
      { path: 'proxy.serverName', value: 'a.example.com' },
    ];
    for (let round = 0; round < 120; round += 1) {
      const base = formatDeployment(draft(random));
      const before = random.chance(0.2) ? base.replaceAll('\n', '\r\n') : base;
      const change = random.pick(changes);
      const after = editDeployment(before, [change]);
      const wanted = parseDocument(before).toJS() as Record<string, unknown>;
      setIn(wanted, String(change.path).split('.'), change.value);
      const seen = parseDocument(after).toJS() as unknown;
      expect(seen, `${String(change.path)}\n${before}\n----\n${after}`).toEqual(wanted);
      if (isRemoval(change, before)) continue;
      expect(
        commentsOf(before).filter((comment) => !after.includes(comment)),
        after,
      ).toEqual([]);
    }
  });
});

/** Comments inside of what is removed or replaced go with it; those of other places stay. */
function isRemoval({ path, value }: DeploymentChange, before: string): boolean {
  const data = parseDocument(before);
  return value === undefined || data.hasIn(String(path).split('.'));
}

function commentsOf(yaml: string): string[] {
  return yaml.split(/\r?\n/).flatMap((line) => /^ *(#.*)$/.exec(line)?.[1] ?? []);
}

function setIn(data: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [part = '', ...rest] = path;
  if (rest.length === 0) {
    if (value === undefined) delete data[part];
    else data[part] = value;
    return;
  }
  const child = data[part];
  if (typeof child !== 'object' || child === null) {
    if (value === undefined) return;
    data[part] = {};
  }
  setIn(data[part] as Record<string, unknown>, rest, value);
}
