import { expect, test } from 'vitest';
import { describeLogLine, describeLogTail } from '../../src/apply/log-lines.ts';

test.each([
  [
    '{"time":"2026-02-03T12:03:04.567Z","level":"error","event":"upstream.exited","upstream":"files","code":1}',
    '12:03:04 error upstream.exited upstream=files code=1',
  ],
  ['{"level":"info","event":"x","text":"two words","list":[1,2]}', 'info x text="two words" list=[1,2]'],
  ['Error: ENOENT: no such file', 'Error: ENOENT: no such file'],
  ['{"half":', '{"half":'],
  ['[1]', '[1]'],
  ['null', 'null'],
  ['\u001b[31mred\u001b[0m\u0007\tdone', '[31mred[0m  done'],
  ['{"event":"x","text":"\\u001b[2J"}', 'x text=[2J'],
])('%j reads %j', (line, text) => {
  expect(describeLogLine(line)).toBe(text);
});

test('a long line is cut', () => {
  expect(describeLogLine('x'.repeat(10_000))).toHaveLength(401);
});

test('the tail is the last lines, without empty ones', () => {
  const text = Array.from({ length: 50 }, (_, index) => `line ${index}\n\n`).join('');
  expect(describeLogTail(text)).toEqual(Array.from({ length: 20 }, (_, index) => `line ${index + 30}`));
  expect(describeLogTail('')).toEqual([]);
});
