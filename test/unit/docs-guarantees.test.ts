import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const at = (path: string): URL => new URL(`../../${path}`, import.meta.url);
const document = readFileSync(at('docs/guarantees.md'), 'utf8');
const promises = document.split('\n').filter((line) => /^\| (?!when |-)/.test(line));

test('every promise names its tests, and each of them is there and has tests', () => {
  expect(promises.length).toBeGreaterThan(20);
  const unproven = promises.filter((promise) => !promise.includes('.test.ts`'));
  expect(unproven).toEqual([]);
  const files = [...new Set(document.match(/test\/[\w/-]+\.test\.ts/g))];
  const missing = files.filter(
    (file) => !existsSync(at(file)) || !/^\s*(?:test|check)\b|testWithTools\(/m.test(readFileSync(at(file), 'utf8')),
  );
  expect(missing).toEqual([]);
});

test('the documents that it links to are there', () => {
  const links = [...document.matchAll(/\]\(\.\.\/([^)]+)\)/g)].map(([, path]) => path ?? '');
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter((path) => !existsSync(at(path)))).toEqual([]);
});
