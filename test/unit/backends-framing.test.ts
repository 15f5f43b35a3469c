import { describe, expect, test } from 'vitest';
import { createLineReader } from '../../src/server/backends/line-reader.ts';
import { findResponseSpan } from '../../src/server/backends/response-span.ts';
import { guessResponseId, readRpcMessage } from '../../src/server/backends/rpc-message.ts';

function readAll(chunks: readonly Buffer[], maxLineBytes = 1_000): { lines: string[]; oversized: string[] } {
  const lines: string[] = [];
  const oversized: string[] = [];
  const reader = createLineReader({
    maxLineBytes,
    onLine: (line) => lines.push(line),
    onOversized: (beginning) => oversized.push(beginning),
  });
  for (const chunk of chunks) reader.push(chunk);
  reader.end();
  return { lines, oversized };
}

describe('the line reader', () => {
  const text = 'one\r\n\ntwo ü€😀\nthree\r\n{"last":"without end"}';

  test.each(Array.from({ length: 40 }, (_, size) => size + 1))('gives the same lines in chunks of %d bytes', (size) => {
    const bytes = Buffer.from(text);
    const chunks: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
    expect(readAll(chunks).lines).toEqual(['one', 'two ü€😀', 'three', '{"last":"without end"}']);
  });

  test('a line over the limit is reported by its beginning, and the next one is read', () => {
    const long = Buffer.from(`start${'x'.repeat(2_000)}\nnext\n`);
    const whole = readAll([long]);
    expect(whole.lines).toEqual(['next']);
    expect(whole.oversized[0]).toMatch(/^startx/);
    const pieces = Array.from({ length: 21 }, (_, i) => long.subarray(i * 100, (i + 1) * 100));
    expect(readAll(pieces)).toEqual({ lines: ['next'], oversized: [expect.stringMatching(/^startx/)] });
  });

  test('a line that never ends is reported as soon as it is over the limit', () => {
    const oversized: string[] = [];
    const reader = createLineReader({
      maxLineBytes: 1_000,
      onLine: () => {},
      onOversized: (beginning) => oversized.push(beginning),
    });
    for (let i = 0; i < 3; i++) reader.push(Buffer.alloc(400, 120));
    expect(oversized).toHaveLength(1);
    for (let i = 0; i < 100; i++) reader.push(Buffer.alloc(400, 120));
    expect(oversized).toHaveLength(1);
  });

  test('many lines of one chunk may be longer together than one line may be', () => {
    expect(readAll([Buffer.from('a'.repeat(900).concat('\n').repeat(5))]).lines).toHaveLength(5);
  });

  test('a line of 20 MB in small chunks is put together', () => {
    const chunk = Buffer.alloc(65_536, 120);
    const { lines } = readAll([...Array.from({ length: 320 }, () => chunk), Buffer.from('\n')], 64_000_000);
    expect(lines[0]).toHaveLength(320 * 65_536);
  });
});

describe('the response scanner', () => {
  function resultOf(line: string): string | null {
    const span = findResponseSpan(line);
    return span === null ? null : `${span.id} ${line.slice(span.start, span.end)}`;
  }

  test.each([
    ['{"jsonrpc":"2.0","id":7,"result":{}}', '7 {}'],
    ['{"result":{"a":[1,2.5e-3,true,null,false]},"jsonrpc":"2.0","id":12}', '12 {"a":[1,2.5e-3,true,null,false]}'],
    [
      '{"jsonrpc": "2.0", "id": 3, "result": {"text": "a \\"quoted\\" } ] thing\\\\"}}',
      '3 {"text": "a \\"quoted\\" } ] thing\\\\"}',
    ],
    [
      '{"id":0,"result":{"id":99,"result":{"jsonrpc":"1.0"}},"jsonrpc":"2.0"}  ',
      '0 {"id":99,"result":{"jsonrpc":"1.0"}}',
    ],
  ])('%s gives id and result', (line, expected) => {
    expect(resultOf(line)).toBe(expected);
    expect(JSON.parse(expected.slice(expected.indexOf(' ')))).toBeTypeOf('object');
  });

  test.each([
    ['an error', '{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"x"}}'],
    ['a request', '{"jsonrpc":"2.0","id":7,"method":"ping"}'],
    ['a notification', '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'],
    ['a batch', '[{"jsonrpc":"2.0","id":7,"result":{}}]'],
    ['two ids', '{"jsonrpc":"2.0","id":7,"id":8,"result":{}}'],
    ['two results', '{"jsonrpc":"2.0","id":7,"result":{},"result":{"evil":1}}'],
    ['another member', '{"jsonrpc":"2.0","id":7,"result":{},"extra":1}'],
    ['an escaped member name', '{"jsonrpc":"2.0","\\u0069d":7,"result":{}}'],
    ['a string id', '{"jsonrpc":"2.0","id":"7","result":{}}'],
    ['a negative id', '{"jsonrpc":"2.0","id":-7,"result":{}}'],
    ['an id in scientific writing', '{"jsonrpc":"2.0","id":7e1,"result":{}}'],
    ['an id that is too long', '{"jsonrpc":"2.0","id":12345678901234567,"result":{}}'],
    ['no version', '{"id":7,"result":{}}'],
    ['a result that is no object', '{"jsonrpc":"2.0","id":7,"result":[1]}'],
    ['an unfinished result', '{"jsonrpc":"2.0","id":7,"result":{"a":"b}'],
    ['a value that JSON does not have', '{"jsonrpc":"2.0","id":7,"result":{"a":NaN}}'],
    ['text after the end', '{"jsonrpc":"2.0","id":7,"result":{}} {"jsonrpc":"2.0","id":8,"result":{}}'],
    ['a raw tab in a string', '{"jsonrpc":"2.0","id":7,"result":{"a":"\t"}}'],
    ['a raw carriage return', '{"jsonrpc":"2.0","id":7,\r"result":{}}'],
    ['nothing', '{}'],
    ['outside text', 'Server started'],
  ])('%s is left to the full parser', (_what, line) => {
    expect(findResponseSpan(line)).toBeNull();
  });

  test('what it finds in random results is what JSON.parse finds', () => {
    let seed = 1;
    const random = (below: number): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    const value = (depth: number): unknown => {
      switch (random(depth > 4 ? 5 : 7)) {
        case 0:
          return ['', 'a"b', '\\', '\\"', '}]', '😀', '"id":5', '\u0001\n'][random(8)];
        case 1:
          return (random(2_000_001) - 1_000_000) / 7;
        case 2:
          return null;
        case 3:
          return true;
        case 4:
          return false;
        case 5:
          return Array.from({ length: random(4) }, () => value(depth + 1));
        default:
          return Object.fromEntries(Array.from({ length: random(4) }, (_, i) => [`k"${i}`, value(depth + 1)]));
      }
    };
    for (let i = 0; i < 2_000; i++) {
      const message = { result: { v: value(0) }, jsonrpc: '2.0', id: i };
      const line = JSON.stringify(message);
      const span = findResponseSpan(line);
      expect(span?.id).toBe(i);
      expect(JSON.parse(line.slice(span?.start, span?.end))).toEqual(JSON.parse(JSON.stringify(message.result)));
    }
  });

  test('a deeply nested result does not exhaust the stack', () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    expect(findResponseSpan(`{"jsonrpc":"2.0","id":1,"result":{"a":${deep}}}`)?.id).toBe(1);
  });
});

describe('a message after a full parse', () => {
  test.each([
    ['a string id counts as our number', { id: '41', result: {} }, { kind: 'result', id: 41, resultJson: '{}' }],
    [
      'an error without a code is a bad answer',
      { id: 1, error: { message: 'x' } },
      { kind: 'error', id: 1, error: null },
    ],
    [
      'an error without a message gets one',
      { id: 1, error: { code: 5 } },
      { kind: 'error', id: 1, error: { code: 5, message: expect.any(String) as string } },
    ],
    ['a request keeps its id', { id: 'x', method: 'ping' }, { kind: 'request', id: 'x', method: 'ping', params: {} }],
    ['an id of another kind is nothing', { id: null, result: {} }, { kind: 'other' }],
    ['a number is nothing', 5, { kind: 'other' }],
  ])('%s', (_what, message, expected) => {
    expect(readRpcMessage(message)).toEqual(expected);
  });

  test.each([
    ['{"jsonrpc":"2.0","id":12,"result":{"a":NaN}}', 12],
    ['{"jsonrpc": "2.0", "id": 12, "result"', 12],
    ['{"result":{},"jsonrpc":"2.0","id":12', undefined],
    ['hello', undefined],
  ])('the id of broken text %s is %s', (text, id) => {
    expect(guessResponseId(text)).toBe(id);
  });
});
