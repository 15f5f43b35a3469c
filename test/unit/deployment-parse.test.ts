import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { judgeShape } from '../../src/deployment/judge-shape.ts';
import { formatProblems, parseDeployment } from '../../src/deployment/parse-deployment.ts';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { settingsOf, unwrap, type Schema } from '../../src/deployment/schema-walk.ts';
import { formatPath } from '../../src/deployment/setting-path.ts';
import { seededRandom } from '../helpers/seeded-random.ts';

/**
 * Each case is NAME.yaml and NAME.txt: what a person sees for that file, or
 * "ok" and the settings that differ from the defaults. UPDATE_GOLDEN=1 writes the .txt files anew.
 */
const folder = new URL('../golden/deployment', import.meta.url).pathname;

describe('golden deployment files', () => {
  const cases = readdirSync(folder).filter((name) => name.endsWith('.yaml'));
  test('there are cases', () => expect(cases.length).toBeGreaterThan(30));
  test.each(cases)('%s', (name) => {
    const text = readFileSync(join(folder, name), 'utf8');
    const parsed = parseDeployment(text, { file: 'mcp-deploy.yaml' });
    const seen = parsed.ok
      ? `ok\n${JSON.stringify(parsed.deployment, null, 2)}\n`
      : `${formatProblems(parsed.problems, 'mcp-deploy.yaml')}\n`;
    const expectedFile = join(folder, `${basename(name, '.yaml')}.txt`);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(expectedFile, seen);
    expect(seen).toBe(readFileSync(expectedFile, 'utf8'));
  });
});

function problemsOf(text: string) {
  const parsed = parseDeployment(text, { file: 'x.yaml' });
  return parsed.ok ? [] : parsed.problems;
}

test.each([
  ['docker', true, []],
  ['swarm', true, []],
  ['none', true, ['server.sessions.store says redis, but no Redis is named']],
  ['swarm', false, ['server.sessions.store says redis, but no Redis is named']],
])('sessions in Redis by service.manager: %s, with one beside the containers: %s', (manager, redis, expected) => {
  const text = `version: 1
service: { manager: ${manager} }
container: { redis: ${redis} }
server: { sessions: { store: redis } }
`;
  expect(problemsOf(text).map(({ path, message }) => `${path} ${message}`)).toEqual(expected);
});

describe('texts that no editor would show', () => {
  test('a byte order mark is no part of the file and does not move columns', () => {
    expect(parseDeployment('\uFEFFversion: 1\n', { file: 'x' }).ok).toBe(true);
    expect(problemsOf('\uFEFFvorsion: 1\n')[0]).toMatchObject({ line: 1, column: 1, path: 'vorsion' });
  });

  test('lines may end with CR LF', () => {
    expect(parseDeployment('version: 1\r\nserver:\r\n  path: /a\r\n', { file: 'x' })).toMatchObject({
      ok: true,
      deployment: { server: { path: '/a' } },
    });
    expect(problemsOf('version: 1\r\nserver:\r\n  pth: /a\r\n')).toMatchObject([{ line: 3, column: 3 }]);
  });

  test('a file over 1 MiB is refused before it is parsed', () => {
    expect(problemsOf(`version: 1\n# ${'x'.repeat(1_048_576)}`)).toMatchObject([
      { message: 'the file is larger than 1 MiB' },
    ]);
    expect(problemsOf(`version: 1\n# ${'x'.repeat(1_000_000)}`)).toEqual([]);
  });

  test('ten thousand brackets in each other are a problem, not a crash', () => {
    expect(problemsOf(`version: 1\nname: ${'['.repeat(10_000)}`).length).toBeGreaterThan(0);
    expect(problemsOf(`version: 1\nname: ${'['.repeat(10_000)}${']'.repeat(10_000)}`).length).toBeGreaterThan(0);
    expect(problemsOf(`version: 1\nname: ${'{a: '.repeat(5_000)}`).length).toBeGreaterThan(0);
    expect(problemsOf(`version: 1\nname: ${'- '.repeat(20_000)}`).length).toBeGreaterThan(0);
    expect(problemsOf('? '.repeat(20_000)).length).toBeGreaterThan(0);
    expect(problemsOf(`- ${'- '.repeat(20_000)}`).length).toBeGreaterThan(0);
    expect(problemsOf(`version: 1\nname: ${'&a '.repeat(20_000)}`).length).toBeGreaterThan(0);
  });

  test('YAML 1.1 is not read as YAML 1.1', () => {
    expect(problemsOf('%YAML 1.1\n---\nversion: 1\nauth: { required: no }\n')).toMatchObject([
      { path: 'auth.required', message: 'must be true or false, not text', hint: 'write false' },
    ]);
  });

  test('noise is refused in words and never throws', () => {
    const random = seededRandom(7);
    const pieces = [
      'version: 1',
      '\n',
      '  ',
      ':',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '#',
      '&a ',
      '*a',
      '!t ',
      '|',
      '>',
      '%',
      '@',
      '\t',
      '\u0000',
      'é',
      '\uD800',
      '---',
      '...',
      '? ',
      '<<',
      'server',
      'tls',
      'null',
      '1e9',
      '~',
    ];
    for (let round = 0; round < 600; round += 1) {
      const text = Array.from({ length: 1 + random.below(30) }, () => random.pick(pieces)).join('');
      for (const problem of problemsOf(text)) {
        expect(problem.message, JSON.stringify(text)).not.toMatch(/undefined|\[object|Invalid input/);
        expect(problem.line, JSON.stringify(text)).toBeGreaterThan(0);
        expect(problem.column, JSON.stringify(text)).toBeGreaterThan(0);
      }
    }
  });
});

describe('the walk and the schema', () => {
  const values: readonly unknown[] = [
    null,
    true,
    false,
    0,
    1,
    -1,
    1.5,
    1e300,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '',
    'x',
    'off',
    'on',
    '1',
    'localhost:1',
    [],
    [1],
    ['localhost:1'],
    {},
    { a: 1 },
    { source: 'off' },
    { requests: 1 },
    { command: 'x' },
    { x: { command: 'x' } },
    { x: null },
  ];
  const settings = listSettings();
  /** Set beside the misspelt one by `companions`, so no suggestion for it. */
  const alreadySet = new Set([
    'version',
    'source',
    'command',
    'url',
    'requests',
    'certificate',
    'key',
    'keyId',
    'keyFile',
  ]);

  test('agree on every value at every setting', { timeout: 120_000 }, () => {
    expect(settings.length).toBeGreaterThan(40);
    // Gathered, since an expectation for each of the many thousand values would take most of the time.
    const apart: string[] = [];
    for (const path of settings) {
      for (const value of values) {
        const data = withValue(path, value);
        const { problems, sound } = judgeShape(deploymentSchema, data);
        // A section without content is the same as none: the only point in which the walk is kinder.
        const isTaken = deploymentSchema.safeParse(data).success || (value === null && problems.length === 0);
        const isSound = sound === undefined || deploymentSchema.safeParse(sound).success;
        if ((problems.length === 0) === isTaken && isSound) continue;
        apart.push(`${formatPath(path)} = ${JSON.stringify(value)}${isSound ? '' : ': what is left is not sound'}`);
      }
    }
    expect(apart).toEqual([]);
  });

  test('no sentence is in the words of the schema library', () => {
    for (const path of settings) {
      for (const value of values) {
        for (const { message, hint } of judgeShape(deploymentSchema, withValue(path, value)).problems) {
          const said = `${formatPath(path)} ${message} / ${hint ?? ''}`;
          expect(said).not.toMatch(
            /Invalid|expected|received|Unrecognized|Too (?:small|big)|pattern|undefined|\[object/,
          );
          expect(message).toMatch(/^(?:must|is|cannot|does|has) /);
        }
      }
    }
  });

  test('every setting misspelt by one letter is recognised', () => {
    for (const path of settings.filter((each) => typeof each.at(-1) === 'string')) {
      const name = String(path.at(-1));
      if (name.length < 4 || alreadySet.has(name) || path.at(-1) === 'name') continue;
      const misspelt = name.slice(0, -2) + name.slice(-1);
      const data = withValue([...path.slice(0, -1), misspelt], 'x');
      const hints = judgeShape(deploymentSchema, data).problems.map((problem) => problem.hint);
      expect(hints, formatPath(path)).toContain(`did you mean "${name}"?`);
    }
  });
});

/** The path of every setting, with `name` for names of the user. */
function listSettings(): (string | number)[][] {
  const found: (string | number)[][] = [];
  const visit = (schema: Schema, path: (string | number)[]): void => {
    const settings = settingsOf(schema);
    const { def } = unwrap(schema)._zod;
    if (path.length > 0) found.push(path);
    if (settings !== null) for (const [key, child] of Object.entries(settings)) visit(child, [...path, key]);
    else if (def.type === 'record') visit(def.valueType as Schema, [...path, 'name']);
    else if (def.type === 'array') visit(def.element as Schema, [...path, 0]);
  };
  visit(deploymentSchema, []);
  return found;
}

function withValue(path: readonly (string | number)[], value: unknown): unknown {
  const base: Record<string, unknown> = { version: 1 };
  let inner = value;
  for (const [index, part] of [...path.entries()].toReversed()) {
    if (index === 0) base[String(part)] = inner;
    else if (typeof part === 'number') inner = [inner];
    else inner = { ...companions(path.slice(0, index), part), [part]: inner };
  }
  return base;
}

/** What must stand beside a setting so that only the setting itself can be wrong. */
function companions(parent: readonly (string | number)[], setting: string): Record<string, unknown> {
  if (parent[0] === 'tls') {
    const files = setting === 'certificate' || setting === 'key';
    if (parent.length === 2) return { keyId: 'a', keyFile: 'a' };
    if (!files && !/^(?:names?|source|validDays?)$/.test(setting) && setting !== 'validDas' && setting !== 'nams') {
      return { source: 'acme', names: ['a.example.com'] };
    }
    return files ? { source: 'files', certificate: 'a', key: 'a' } : { source: 'private-ca' };
  }
  if (parent.join('.') === 'server.upstreams.name') {
    return /^(?:url|head|caF)/.test(setting) ? { url: 'https://x.example/mcp' } : { command: 'x' };
  }
  if (parent[1] === 'tools') {
    if (parent.length === 3) {
      const form = /^(?:ht|comma|modu)/.test(setting) ? {} : { module: { path: 'x' } };
      return setting.startsWith('descri') ? form : { description: 'x', ...form };
    }
    if (parent.length === 4)
      return (
        {
          http: { url: 'https://x.example' },
          command: { command: 'x' },
          module: setting.startsWith('pa') ? {} : { path: 'x' },
        }[String(parent[3])] ?? {}
      );
  }
  if (parent[0] === 'limits' && parent.length === 2) return { requests: 1 };
  return {};
}
