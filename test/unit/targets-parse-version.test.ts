import { expect, test } from 'vitest';
import { isAtLeast, parseVersion, type Version } from '../../src/targets/parse-version.ts';

test.each<[string, Version]>([
  ['1.22.1', [1, 22, 1]],
  ['1.25', [1, 25, 0]],
  ['2', [2, 0, 0]],
  ['nginx version: nginx/1.22.1', [1, 22, 1]],
  ['nginx/1.29.7 (Ubuntu)', [1, 29, 7]],
  ['v2.10.2 h1:fLb2Ddd=', [2, 10, 2]],
  ['2.6.2', [2, 6, 2]],
  ['systemd 252 (252.38-1~deb12u1)', [252, 0, 0]],
  ['nginx@1.18.0', [1, 18, 0]],
])('%j is read as a program prints it', (text, version) => {
  expect(parseVersion(text)).toEqual(version);
});

test.each(['', 'newest', 'nginx', 'x1.2', '-1'])('%j is refused', (text) => {
  expect(() => parseVersion(text)).toThrow(/is not a version/);
});

test.each<[Version, Version, boolean]>([
  [[1, 25, 1], [1, 25, 1], true],
  [[1, 25, 0], [1, 25, 1], false],
  [[1, 100, 0], [1, 25, 1], true],
  [[2, 0, 0], [1, 25, 1], true],
  [[1, 9, 9], [1, 18, 0], false],
])('%j is at least %j: %s', (version, wanted, is) => {
  expect(isAtLeast(version, wanted)).toBe(is);
});
