import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createAuditChain } from '../../src/server/observe/audit-chain.ts';
import { renderAuditFields } from '../../src/server/observe/audit-line.ts';
import { environmentTable } from '../../src/server/environment.ts';
import { describeServe } from '../../src/server/serve-flags.ts';

const file = new URL('../../docs/serve.md', import.meta.url);
const head = '| variable | form | meaning |\n|---|---|---|\n';
const cell = (text: string): string => text.replaceAll('|', '\\|');
const table = environmentTable
  .map(({ name, form, meaning }) => `| \`${name}\` | ${cell(form)} | ${cell(meaning)} |\n`)
  .join('');

test('docs/serve.md has the environment table of the code (UPDATE_GOLDEN=1 writes it)', () => {
  const [before = '', after = ''] = readFileSync(file, 'utf8').split(head);
  const rest = after.slice(after.indexOf('\n\n'));
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, before + head + table.trimEnd() + rest);
  expect(readFileSync(file, 'utf8')).toContain(`${head}${table}\n`);
});

test('docs/serve.md has every flag of the help, and no other', () => {
  const flagsIn = (text: string): string[] => [...new Set(text.match(/(?<![\w-])--[a-z][a-z-]+/g))].toSorted();
  const flags = /## Flags\n([\s\S]*?)\n## /.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  const help = /\n\n {2}--config[\s\S]*?\n\n/.exec(describeServe())?.[0] ?? '';
  expect(flagsIn(flags)).toEqual(flagsIn(help));
});

test('docs/serve.md has every field of an audit line, and no other', () => {
  const fields = renderAuditFields({
    request: 'r',
    id: 1,
    method: 'tools/call',
    status: 'ok',
    tool: 'echo',
    durationSeconds: 1,
    key: 'k',
    address: 'a',
    era: 'modern',
    session: null,
    upstream: null,
    bytesIn: 1,
    bytesOut: 1,
    error: null,
  });
  const line = createAuditChain(null).seal([fields], 1, () => ({ bytes: 0, hash: null }));
  const section = /## Audit file\n([\s\S]*?)\n## /.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  const rows = section.split('\n').filter((row) => row.startsWith('| `'));
  const named = rows.flatMap((row) => (row.split('|')[1] ?? '').match(/[a-z_]+/g) ?? []);
  expect(named).toEqual(Object.keys(JSON.parse(line) as object));
});
