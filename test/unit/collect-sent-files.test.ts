import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { unpackTar } from 'modern-tar';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NamedFile } from '../../src/deployment/named-files.ts';
import { collectSentFiles } from '../../src/host/collect-sent-files.ts';
import { packEntries } from '../../src/host/pack-folder.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcp-sent-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function put(files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

const named = (role: NamedFile['role'], path: string, from = '.'): NamedFile => ({
  setting: `s.${path}`,
  path,
  from,
  role,
});

test('code goes with what it imports, what lies beside it in a folder, and its packages; secrets that nothing names stay', async () => {
  put({
    'main.mjs': `import { a } from './lib/a.mjs';\nimport dep from 'dep';\nconst more = await import("./more.js");`,
    'lib/a.mjs': `export const a = 1;`,
    'lib/unused.mjs': '',
    'more.js': `const { x } = require('./cjs');`,
    'cjs/index.js': '',
    'package.json': '{"type":"module"}',
    'node_modules/dep/index.js': '',
    'node_modules/.bin/dep': '',
    'other.mjs': '',
    'tools/greet.py': '',
    'tools/words/en.txt': 'hello',
    'tools/.env': 'TOKEN=1',
    'tools/server.key': 'k',
    'tools/token': 't',
    'settings.json': '{}',
    'beside-settings.json': '{}',
    'audit.key': 'a',
  });
  chmodSync(join(folder, 'tools/greet.py'), 0o755);
  mkdirSync(join(folder, 'work'));
  const found = collectSentFiles(
    [
      named('code', 'main.mjs'),
      named('code', './tools/greet.py'),
      named('word', 'settings.json'),
      named('word', 'audit.key'),
      named('word', 'not-there'),
      named('secret', 'tools/token'),
      named('folder', 'work'),
      named('code', '/usr/bin/env'),
      named('word', '/etc/hosts'),
    ],
    folder,
  );
  expect(
    found.files.map(
      ({ path, isSecret, isExecutable }) => `${path}${isSecret ? ' secret' : ''}${isExecutable ? ' x' : ''}`,
    ),
  ).toEqual([
    'audit.key secret',
    'cjs/index.js',
    'lib/a.mjs',
    'main.mjs',
    'more.js',
    'node_modules/dep/index.js',
    'package.json',
    'settings.json',
    'tools/greet.py x',
    'tools/token secret',
    'tools/words/en.txt',
  ]);
  expect(found.leftOut).toEqual(['tools/.env', 'tools/server.key']);
  expect(found.folders).toEqual(['work']);
  expect(found.elsewhere.map(({ path }) => path)).toEqual(['/usr/bin/env']);
});

test('nothing is followed out of the folder, what is named must be there, and there is an end to it', async () => {
  put({ 'own/a.mjs': '', 'big.mjs': '' });
  symlinkSync('/etc/hostname', join(folder, 'outside.pem'));
  symlinkSync('/etc', join(folder, 'own/etc'));
  symlinkSync('a.mjs', join(folder, 'own/b.mjs'));
  expect(() => collectSentFiles([named('file', 'outside.pem')], folder)).toThrow(
    'outside.pem is a link that leaves the folder',
  );
  expect(() => collectSentFiles([named('code', 'own/a.mjs')], folder)).toThrow('own/etc is a link that leaves');
  rmSync(join(folder, 'own/etc'));
  const { files } = collectSentFiles([named('code', 'own/a.mjs')], folder);
  expect(files.map(({ path }) => path)).toEqual(['own/a.mjs', 'own/b.mjs']);
  expect(() => collectSentFiles([named('file', 'gone.pem')], folder)).toThrow(
    's.gone.pem names gone.pem, and there is no such file',
  );
  expect(() => collectSentFiles([named('folder', 'gone')], folder)).toThrow('no such folder');
  truncateSync(join(folder, 'big.mjs'), 65 * 1_048_576);
  expect(() => collectSentFiles([named('code', 'big.mjs')], folder)).toThrow('is too much to send');
  expect(collectSentFiles([named('file', '../elsewhere.pem')], folder).elsewhere).toHaveLength(1);
});

test('the archive holds plain files of nobody with modes for one, the same bytes each time', async () => {
  const entries = [
    { path: 'a/b/run.sh', content: Buffer.from('x'), isExecutable: true },
    { path: 'secret', content: Buffer.from('s'), isExecutable: false },
    { path: 'work', content: null },
  ];
  const tar = await packEntries(entries);
  expect(Buffer.compare(tar, await packEntries(entries))).toBe(0);
  const unpacked = await unpackTar(tar);
  expect(
    unpacked.map(({ header }) => `${header.name} ${header.mode?.toString(8)} ${header.uid} ${header.type ?? 'file'}`),
  ).toEqual([
    'a/ 700 0 directory',
    'a/b/ 700 0 directory',
    'work/ 700 0 directory',
    'a/b/run.sh 700 0 file',
    'secret 600 0 file',
  ]);
});
