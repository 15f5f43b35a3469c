import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { repository } from '../helpers/cli.ts';

const read = (path: string): string => readFileSync(join(repository, path), 'utf8');
const [, section = ''] = read('docs/targets.md').split('## What guides get wrong\n');
const rows = [...section.matchAll(/^\| (?!in guides|---)(.+?) +\| `([^`]+)` +\| `([^`]+)` +\| `([^`]+)` +\|$/gm)].map(
  ([, fault = '', file = '', says = '', never = '']) => ({ fault, file, says, never }),
);

test('every line of the table is one that is looked at', () => {
  const lines = section.split('\n').filter((line) => line.startsWith('|'));
  expect(rows.length).toBe(lines.length - 2);
  expect(rows.length).toBeGreaterThan(10);
});

describe('what guides get wrong is answered by the file that the table names', () => {
  test.each(rows)('$fault', ({ file, says, never }) => {
    const text = read(file);
    expect(text).toContain(says);
    expect(text).not.toContain(never);
  });
});
