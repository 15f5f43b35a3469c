import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const source = join(dirname(fileURLToPath(import.meta.url)), '../src');

/** docs/design.md, "Rooms": which room may import which. The longest matching prefix is a file's room. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  deployment: [],
  pki: ['deployment'],
  render: ['deployment'],
  server: ['deployment', 'pki', 'clients'],
  targets: ['deployment', 'pki', 'render', 'server'],
  clients: ['deployment', 'render'],
  plan: ['deployment', 'pki', 'render', 'server', 'targets', 'clients'],
  doctor: ['deployment', 'pki', 'render', 'server', 'targets', 'clients', 'plan'],
  'doctor/checks': ['deployment', 'pki', 'doctor'],
  'doctor/report': ['deployment', 'render', 'doctor', 'doctor/checks'],
  'doctor/probes': ['deployment', 'pki', 'server', 'clients', 'plan', 'doctor', 'doctor/checks'],
  backup: ['deployment', 'plan'],
  apply: ['deployment', 'pki', 'render', 'server', 'targets', 'clients', 'plan'],
  host: ['deployment', 'pki', 'server', 'plan', 'backup', 'apply', 'doctor', 'doctor/probes'],
  cli: [
    'deployment',
    'pki',
    'render',
    'server',
    'targets',
    'clients',
    'plan',
    'backup',
    'doctor',
    'doctor/checks',
    'doctor/report',
    'doctor/probes',
    'apply',
    'host',
  ],
};
/** The files directly in src/doctor put probes, checks and report together. */
const doctorRoot: ReadonlySet<string> = new Set(['doctor/checks', 'doctor/report', 'doctor/probes']);

const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));

function roomOf(file: string): string {
  return (
    Object.keys(allowed)
      .filter((room) => file === room || file.startsWith(`${room}/`))
      .toSorted((a, b) => b.length - a.length)[0] ?? '(none)'
  );
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(source, file), 'utf8');
  return [...text.matchAll(/(?:from\s+|import\(\s*|import\s+)['"]([^'"]+)['"]/g)].map((match) => match[1] ?? '');
}

test('every source file stands in a room', () => {
  expect(files.filter((file) => roomOf(file) === '(none)')).toEqual([]);
});

test('imports go downwards only', () => {
  const wrong: string[] = [];
  for (const file of files) {
    const room = roomOf(file);
    for (const specifier of importsOf(file)) {
      if (!specifier.startsWith('.')) continue;
      const imported = relative(source, resolve(source, dirname(file), specifier));
      const target = roomOf(imported);
      const fine =
        target === room || (allowed[room] ?? []).includes(target) || (room === 'doctor' && doctorRoot.has(target));
      if (!fine) wrong.push(`${file} imports ${imported}`);
    }
  }
  expect(wrong).toEqual([]);
});

/** Everything that comes along with a file, our own files and packages. */
function cameAlong(entry: string): ReadonlySet<string> {
  const found = new Set<string>();
  const waiting = [entry];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (found.has(file)) continue;
    found.add(file);
    if (!file.endsWith('.ts')) continue;
    for (const specifier of importsOf(file)) {
      waiting.push(specifier.startsWith('.') ? relative(source, resolve(source, dirname(file), specifier)) : specifier);
    }
  }
  return found;
}

test('the one file of the server brings neither the command line nor its libraries along', () => {
  const along = [...cameAlong('server/main.ts')];
  expect(along).toContain('clients/index.ts');
  const foreign = /^(?:commander|chalk|@inquirer\/prompts|execa|listr2|handlebars|toml-eslint-parser)$/;
  expect(along.filter((name) => /^(?:cli|host|apply|plan|targets|doctor)\//.test(name))).toEqual([]);
  expect(along.filter((name) => foreign.test(name))).toEqual([]);
});

test('the page is put together when its first visitor comes', () => {
  const statically = files.filter((file) =>
    /^import (?!type ).*from\s+'[^']*(?:\/page|clients)\//m.test(readFileSync(join(source, file), 'utf8')),
  );
  expect(statically.filter((file) => file.startsWith('server/') && !file.startsWith('server/page/'))).toEqual([]);
});

/** Packages that belong to one room: the hot path touches no framework, and only the command line talks to a person. */
const packageHomes: Readonly<Record<string, readonly string[]>> = {
  commander: ['cli'],
  '@inquirer/prompts': ['cli'],
  chalk: ['cli'],
  listr2: ['apply'],
  execa: ['host'],
  handlebars: ['render'],
  'node-forge': ['pki'],
  'node:child_process': ['server', 'host'],
};

test('packages stay in the rooms they were taken in for', () => {
  const wrong: string[] = [];
  for (const file of files) {
    for (const specifier of importsOf(file)) {
      const home = Object.entries(packageHomes).find(
        ([name]) => specifier === name || specifier.startsWith(`${name}/`),
      );
      if (home !== undefined && !home[1].includes(roomOf(file))) wrong.push(`${file} imports ${specifier}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('nothing prints but cli/output, and nothing ends the process but bin/', () => {
  const printing = files.filter((file) =>
    /\bconsole\.(log|error|warn|info)\b/.test(readFileSync(join(source, file), 'utf8')),
  );
  const ending = files.filter((file) => /\bprocess\.exit\(/.test(readFileSync(join(source, file), 'utf8')));
  expect({ printing, ending }).toEqual({ printing: [], ending: [] });
});

test('no source file reaches 1,000 lines', () => {
  const long = files.filter((file) => readFileSync(join(source, file), 'utf8').split('\n').length >= 1_000);
  expect(long).toEqual([]);
});

test('every file and folder of ours that docs/design.md and CONTRIBUTING.md name is there', () => {
  const root = dirname(source);
  const named = ['docs/design.md', 'CONTRIBUTING.md'].flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/`((?:src|test|templates)\/[\w./-]+)`/g)].map(
      ([, path = '']) => path,
    ),
  );
  expect(named.length).toBeGreaterThan(40);
  expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
