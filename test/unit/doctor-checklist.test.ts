import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';

const text = readFileSync(new URL('../../docs/doctor.md', import.meta.url), 'utf8');
const rows = (text.split('\n## Checklist\n')[1] ?? '')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.includes('| checked by |'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, item = '', by = '']) => ({ item, by }));

test('the checklist has three parts of ten items and more', () => {
  expect(text.match(/\| checked by \|/g)).toHaveLength(3);
  expect(rows.length).toBeGreaterThan(35);
});

test.each(rows.map(({ item, by }) => [item, by]))('%s: is a check, or it is said why not', (_, by) => {
  const known = new Set(catalogue.map(({ code }) => code));
  if (by.startsWith('not checked: ')) {
    expect(by.length).toBeGreaterThan(30);
    return;
  }
  const codes = [...by.matchAll(/`([^`]+)`/g)].map(([, code]) => code ?? '');
  expect(codes.length).toBeGreaterThan(0);
  expect(codes.filter((code) => !known.has(code))).toEqual([]);
});
