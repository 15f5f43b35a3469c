import { expect, test } from 'vitest';
import type { FileFact, HostFacts, ReleaseRecord } from '../../src/plan/facts.ts';
import { placedFileSteps, placedOfRelease, type PlacedFile, type PlacedFiles } from '../../src/plan/plan-sent-files.ts';
import { emptyHost } from '../helpers/host-facts.ts';

const fileFact = (sha256: string, mode: number): FileFact => ({ sha256, mode });

const stateDir = '/opt/mcp-deploy/notes';
const code: PlacedFile = {
  from: '/tmp/t/tools/a.mjs',
  path: '/srv/notes/tools/a.mjs',
  sha256: 'aa',
  isExecutable: false,
  isSecret: false,
  setting: 'server.tools.a.module.path',
};
const secret: PlacedFile = {
  from: '/tmp/t/ci.key',
  path: '/srv/notes/ci.key',
  sha256: 'bb',
  isExecutable: false,
  isSecret: true,
  setting: 'auth.keys[0].secret',
};
const placed = (more: Partial<PlacedFiles> = {}): PlacedFiles => ({
  files: [code, secret],
  folders: [],
  missing: [],
  leftOut: [],
  ...more,
});
const release = (more: Partial<ReleaseRecord>): ReleaseRecord => ({
  release: 3,
  appliedAt: '',
  toolVersion: '1',
  desired: {},
  files: {},
  directories: [],
  ...more,
});
const factsOf = (more: Partial<HostFacts>): HostFacts =>
  emptyHost({
    baseDir: '/srv/notes',
    stateDir,
    deploymentFile: { path: '/srv/notes/mcp-deploy.yaml', text: '' },
    directories: ['/srv/notes/tools', `${stateDir}/sent`],
    ...more,
  });
const kept = { [`${stateDir}/sent/aa`]: fileFact('aa', 0o600), [`${stateDir}/sent/bb`]: fileFact('bb', 0o600) };
const steps = (facts: HostFacts, wanted = placed()): string[] =>
  placedFileSteps(wanted, 'mcp', facts).steps.map(({ action }) =>
    action.type === 'copy-file'
      ? `${action.from} -> ${action.path} ${action.mode.toString(8)} ${action.owner?.user ?? '-'}:${action.owner?.group ?? '-'}`
      : `${action.type} ${'path' in action ? action.path : ''}`,
  );

test('code is for root to change and for the service to read, a secret is for the service alone, and a release keeps both', () => {
  expect(steps(factsOf({ directories: [] }))).toEqual([
    'make-directory /srv/notes/tools',
    `make-directory ${stateDir}/sent`,
    `/tmp/t/tools/a.mjs -> ${stateDir}/sent/aa 600 -:-`,
    '/tmp/t/tools/a.mjs -> /srv/notes/tools/a.mjs 640 root:mcp',
    `/tmp/t/ci.key -> ${stateDir}/sent/bb 600 -:-`,
    '/tmp/t/ci.key -> /srv/notes/ci.key 600 mcp:mcp',
  ]);
});

test('what is as it should be is left alone; what is not named any more goes, unless somebody edited it', () => {
  const files = {
    ...kept,
    '/srv/notes/tools/a.mjs': fileFact('aa', 0o640),
    '/srv/notes/ci.key': fileFact('bb', 0o600),
    '/srv/notes/old.mjs': fileFact('cc', 0o640),
    '/srv/notes/edited.mjs': fileFact('dd', 0o640),
  };
  const written = {
    '/srv/notes/mcp-deploy.yaml': fileFact('ee', 0o644),
    '/srv/notes/old.mjs': fileFact('cc', 0o640),
    '/srv/notes/edited.mjs': fileFact('ff', 0o640),
  };
  expect(steps(factsOf({ files, release: release({ files: written }) }))).toEqual(['remove-file /srv/notes/old.mjs']);
});

test('a file that somebody edited or put there is kept aside', () => {
  const files = {
    ...kept,
    '/srv/notes/tools/a.mjs': fileFact('zz', 0o640),
    '/srv/notes/ci.key': fileFact('bb', 0o600),
  };
  expect(steps(factsOf({ files, release: release({}) }))).toEqual([
    '/srv/notes/tools/a.mjs -> /srv/notes/tools/a.mjs.mcp-deploy-4 600 -:-',
    '/tmp/t/tools/a.mjs -> /srv/notes/tools/a.mjs 640 root:mcp',
  ]);
});

test('what must be there and is not is refused in one sentence', () => {
  const missing = [{ path: '/opt/x.mjs', setting: 'server.tools.x.module.path' }];
  expect(() => steps(factsOf({}), placed({ missing }))).toThrow(
    '/opt/x.mjs is not on this host, and server.tools.x.module.path names it.',
  );
});

test('an earlier release brings its files from where they are kept', () => {
  const { from: _from, ...record } = code;
  expect(placedOfRelease(release({ sent: [record] }), stateDir)?.files).toEqual([
    { ...record, from: `${stateDir}/sent/aa` },
  ]);
  expect(placedOfRelease(release({}), stateDir)).toBeNull();

  // Not kept, as after a restore: what is there already will do, anything else is refused.
  const again = placed({ files: [{ ...code, from: `${stateDir}/sent/aa` }] });
  expect(steps(factsOf({ files: { [code.path]: fileFact('aa', 0o640) } }), again)).toEqual([
    `${code.path} -> ${stateDir}/sent/aa 600 -:-`,
  ]);
  expect(() => steps(factsOf({ files: {} }), again)).toThrow('tools/a.mjs of that release is not kept any more');
});
