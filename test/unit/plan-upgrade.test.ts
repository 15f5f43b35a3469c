import { expect, test } from 'vitest';
import { compareVersions, isVersion } from '../../src/plan/compare-versions.ts';
import { describeSettingsMoves } from '../../src/plan/describe-settings-moves.ts';
import { refuseDowngrade, versionOfRelease } from '../../src/plan/refuse-downgrade.ts';
import type { ReleaseRecord } from '../../src/plan/facts.ts';

/** In rising order, as the specification has them, and some of ours. */
const rising = [
  '0.0.9',
  '0.1.0',
  '0.9.0',
  '0.10.0',
  '1.0.0-alpha',
  '1.0.0-alpha.1',
  '1.0.0-alpha.beta',
  '1.0.0-beta',
  '1.0.0-beta.2',
  '1.0.0-beta.11',
  '1.0.0-rc.1',
  '1.0.0',
  '2.1.1',
  '10.0.0',
];

test('every version is older than those behind it, and build metadata does not count', () => {
  for (const [at, one] of rising.entries()) {
    for (const [against, other] of rising.entries()) {
      expect([one, other, Math.sign(compareVersions(one, other) ?? Number.NaN)]).toEqual([
        one,
        other,
        Math.sign(at - against),
      ]);
    }
  }
  expect(compareVersions('1.0.0+a', '1.0.0+b')).toBe(0);
});

test.each(['', '1', '1.2', 'v1.2.3', '1.2.3 ', '1.2.x', '../1.2.3', '1.2.3-', '99999999999.0.0'])(
  '%j is no version',
  (text) => {
    expect(isVersion(text)).toBe(false);
    expect(compareVersions(text, '1.0.0')).toBeNull();
  },
);

test('settings that are new, gone or of another value are named with their way, and never with a value', () => {
  const before = { name: 'a', server: { listen: 'x', old: 1, list: [1] }, auth: { key: 'secret' } };
  const after = { name: 'a', server: { listen: 'x', list: [1, 2], fresh: { deep: 1 } }, auth: { key: 'other' } };
  expect(describeSettingsMoves(before, after)).toEqual([
    { path: 'auth.key', state: 'changed' },
    { path: 'server.fresh', state: 'new' },
    { path: 'server.list', state: 'changed' },
    { path: 'server.old', state: 'gone' },
  ]);
  expect(describeSettingsMoves(before, before)).toEqual([]);
});

const record: ReleaseRecord = {
  release: 3,
  appliedAt: '2026-01-01T00:00:00.000Z',
  toolVersion: '1.2.0',
  desired: {},
  files: {},
  directories: [],
};

test.each<[string, Partial<ReleaseRecord> | null, string, boolean]>([
  ['the same version goes on', {}, '1.2.0', false],
  ['a newer one goes on', {}, '1.3.0', false],
  ['an older one is refused', {}, '1.1.9', true],
  [
    'what counts is the build, not who applied it',
    { build: { version: '1.0.0', sha256: 'a', folder: 1 } },
    '1.1.0',
    false,
  ],
  ['without a release there is nothing to go back from', null, '0.0.1', false],
  ['a record that names no version says nothing', { toolVersion: 'test' }, '0.0.1', false],
])('%s', (_, changes, serverVersion, isRefused) => {
  const release = changes === null ? null : { ...record, ...changes };
  const run = (): void => refuseDowngrade({ release, serverVersion });
  if (isRefused) expect(run).toThrow(`runs mcp-deploy ${versionOfRelease(record)}, and this is the older`);
  else expect(run).not.toThrow();
});
