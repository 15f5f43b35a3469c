import { expect, test } from 'vitest';
import { parseSharedAnswer } from '../../src/server/shared-state/parse-shared-answer.ts';

const epoch = '00000000-0000-4000-8000-000000000000';
const good = '{"content":[{"type":"text","text":"x"}]}';

test('an answer tells its age, and what it gave itself to live is told less that', () => {
  const json = '{"content":[],"ttlMs":5000}';
  expect(parseSharedAnswer(`1 ${epoch} 4000\n${json}`, 3_000, 'tools/call')).toEqual({
    epoch,
    ageMs: 1_000,
    leftMs: 3_000,
    json: '{"content":[],"ttlMs":4000}',
  });
});

test('line breaks between its members and second names do not come through', () => {
  const json = '{"content":[],\r\n\r\n"content":[\n{"type":"text"}]}';
  const found = parseSharedAnswer(`1 ${epoch} 4000\n${json}`, 3_000, 'tools/call');
  expect(found?.json).toBe('{"content":[{"type":"text"}]}');
});

test.each([
  ['no text', null, 1_000, 'tools/call'],
  ['no head', good, 1_000, 'tools/call'],
  ['another version', `2 ${epoch} 4000\n${good}`, 1_000, 'tools/call'],
  ['an epoch that is none', `1 x 4000\n${good}`, 1_000, 'tools/call'],
  ['no time', `1 ${epoch} 0\n${good}`, 1_000, 'tools/call'],
  ['no time left', `1 ${epoch} 4000\n${good}`, 0, 'tools/call'],
  ['no end', `1 ${epoch} 4000\n${good}`, -1, 'tools/call'],
  ['broken JSON', `1 ${epoch} 4000\n{"content":[`, 1_000, 'tools/call'],
  ['a list', `1 ${epoch} 4000\n[]`, 1_000, 'tools/call'],
  ['content that is no list', `1 ${epoch} 4000\n{"content":{}}`, 1_000, 'tools/call'],
  ['parts without a type', `1 ${epoch} 4000\n{"content":[{}]}`, 1_000, 'tools/call'],
  ['the result of another method', `1 ${epoch} 4000\n${good}`, 1_000, 'resources/read'],
  ['a depth that no parser likes', `1 ${epoch} 4000\n${'['.repeat(200_000)}`, 1_000, 'tools/call'],
])('what is no answer is none: %s', (_, text, leftMs, method) => {
  expect(parseSharedAnswer(text, leftMs, method)).toBeNull();
});
