import { describe, expect, test } from 'vitest';
import { continueJournal, isUnfinished, parseJournal } from '../../src/apply/journal.ts';
import type { FileSystem } from '../../src/apply/ports.ts';
import type { Plan } from '../../src/plan/types.ts';

const plan: Plan = {
  schemaVersion: 1,
  deployment: 'x',
  purpose: 'apply',
  release: 1,
  steps: [],
  notices: [],
  desired: null,
};
const header = (purpose: Plan['purpose'] = 'apply'): string =>
  JSON.stringify({
    type: 'plan',
    schemaVersion: 1,
    startedAt: 't',
    toolVersion: '0',
    stateDir: '/s',
    plan: { ...plan, purpose },
  });
const begin = (index: number): string => JSON.stringify({ type: 'begin', index, step: `s${index}`, preImages: [] });
const line = (type: string, rest: object = {}): string => JSON.stringify({ type, ...rest });

describe('a journal that is read', () => {
  test.each([
    ['nothing begun', [], [], null, true],
    ['one step', [begin(0), line('done', { index: 0 })], [0], null, true],
    ['an ending', [begin(0), line('commit', { at: 't' })], [0], 'commit', false],
    ['undone', [begin(0), line('undone', { index: 0 }), line('rolled-back', { at: 't' })], [0], 'rolled-back', false],
    ['a torn line in the middle, as a full disk leaves it', [begin(0), '{"type":"be', begin(1)], [0, 1], null, true],
  ] as const)('%s', (_what, lines, begun, ending, unfinished) => {
    const journal = parseJournal('/j/1-apply.jsonl', `${[header(), ...lines].join('\n')}\n`);
    expect(journal?.state.begun.map(({ index }) => index)).toEqual(begun);
    expect(journal?.state.ending).toBe(ending);
    expect(journal === null ? null : isUnfinished(journal.state)).toBe(unfinished);
    expect(journal?.endsCleanly).toBe(true);
  });

  test('a torn last line has not happened', () => {
    const journal = parseJournal('/j/1-apply.jsonl', `${header()}\n${begin(0)}\n${begin(1).slice(0, -3)}`);
    expect(journal?.state.begun).toHaveLength(1);
    expect(journal?.endsCleanly).toBe(false);
  });

  test('a committed uninstall is unfinished as long as its journal is there', () => {
    const journal = parseJournal('/j/1-uninstall.jsonl', `${header('uninstall')}\n${line('commit')}\n`);
    expect(journal === null ? null : isUnfinished(journal.state)).toBe(true);
  });

  test.each(['', 'hello', '{"type":"begin"}', '[]', 'null'])('%j is no journal', (text) => {
    expect(parseJournal('/j', text)).toBe(null);
  });
});

test('a line that was cut off does not swallow the next one', async () => {
  let text = `${header()}\n`;
  let fails = false;
  const files = {
    appendDurably: (_path: string, written: string) => {
      if (fails) {
        text += written.slice(0, 7);
        return Promise.reject(new Error('disk full'));
      }
      text += `${written}\n`;
      return Promise.resolve();
    },
  } as unknown as FileSystem;
  const read = parseJournal('/j/1-apply.jsonl', text);
  if (read === null) throw new Error('no journal');
  const journal = continueJournal(files, read.state);
  fails = true;
  await expect(journal.append({ type: 'begin', index: 0, step: 's', preImages: [] })).rejects.toThrow('disk full');
  expect(journal.state().begun).toEqual([]);
  fails = false;
  await journal.append({ type: 'rolled-back', at: 't' });
  expect(parseJournal('/j/1-apply.jsonl', text)?.state.ending).toBe('rolled-back');
});
