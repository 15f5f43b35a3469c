import { describe, expect, test } from 'vitest';
import { describeNetworkFailure } from '../../src/doctor/network-failure.ts';
import { printable } from '../../src/doctor/printable.ts';
import { wrapText } from '../../src/doctor/report/wrap-text.ts';
import { echoText, pickSafeTool, type ListedTool } from '../../src/doctor/safe-tool.ts';

const coded = (code: string, message = 'x', cause?: unknown): Error =>
  Object.assign(new Error(message, { cause }), { code });

describe('a network failure is told from its code', () => {
  const wrongVersion = 'write EPROTO 80:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../x.c:350:';
  const cases: readonly (readonly [what: string, thrown: unknown, kind: string, code: string | null])[] = [
    ['of Node', coded('ECONNREFUSED'), 'refused', 'ECONNREFUSED'],
    ['under a fetch error', new TypeError('fetch failed', { cause: coded('ENOTFOUND') }), 'name-unknown', 'ENOTFOUND'],
    [
      'of the first address of several',
      new AggregateError([coded('ECONNREFUSED'), coded('ENETUNREACH')]),
      'refused',
      'ECONNREFUSED',
    ],
    ['of OpenSSL for a chain', coded('SELF_SIGNED_CERT_IN_CHAIN'), 'untrusted', 'SELF_SIGNED_CERT_IN_CHAIN'],
    ['of plain HTTP', coded('EPROTO', wrongVersion), 'not-tls', 'EPROTO'],
    [
      'of another TLS complaint',
      coded('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'),
      'tls-refused',
      'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    ],
    ['of a time-out', new DOMException('late', 'TimeoutError'), 'timed-out', 'ETIMEDOUT'],
    ['of an interrupt', new DOMException('stop', 'AbortError'), 'aborted', 'ABORT_ERR'],
    ['that is not known', coded('EODD', 'odd'), 'other', 'EODD'],
    ['that is no error', 'text', 'other', null],
  ];
  test.each(cases)('%s', (_, thrown, kind, code) => {
    expect(describeNetworkFailure(thrown)).toMatchObject({ kind, code });
  });

  test('of errors that cause each other, without end', () => {
    const one = new Error('one');
    const other = new Error('other', { cause: one });
    one.cause = other;
    expect(describeNetworkFailure(one).kind).toBe('other');
  });
});

describe('only a tool that cannot do harm is called', () => {
  const tool = (
    name: string,
    schema: ListedTool['inputSchema'],
    annotations?: ListedTool['annotations'],
  ): ListedTool => ({
    name,
    inputSchema: schema,
    annotations,
  });
  const text = { properties: { message: { type: 'string' } }, required: ['message'] };
  const cases: readonly (readonly [
    fact: string,
    tools: readonly ListedTool[],
    called: ReturnType<typeof pickSafeTool>,
  ])[] = [
    ['echo with one text', [tool('rm', {}), tool('echo', text)], { tool: 'echo', arguments: { message: echoText } }],
    ['not echo with a number', [tool('echo', { properties: { n: { type: 'number' } } })], null],
    [
      'not echo with two texts',
      [tool('echo', { properties: { a: { type: 'string' }, file: { type: 'string' } } })],
      null,
    ],
    ['not echo with something else required', [tool('echo', { ...text, required: ['message', 'path'] })], null],
    ['a read-only one without arguments', [tool('now', {}, { readOnlyHint: true })], { tool: 'now', arguments: {} }],
    ['not a read-only one with required arguments', [tool('read', text, { readOnlyHint: true })], null],
    ['not one that only says so by name', [tool('get_time', {})], null],
    ['not one whose hint is no boolean', [tool('now', {}, { readOnlyHint: 'yes' })], null],
    [
      'rather one that stays inside',
      [tool('search', {}, { readOnlyHint: true }), tool('now', {}, { readOnlyHint: true, openWorldHint: false })],
      { tool: 'now', arguments: {} },
    ],
    ['none of none', [], null],
  ];
  test.each(cases)('%s', (_, tools, called) => {
    expect(pickSafeTool(tools)).toEqual(called);
  });
});

test('printable text keeps letters of every script and loses what steers a terminal', () => {
  expect(printable('é 你好 \u001b[31mred\u0007 \u202eevil\u009b1m\nnext')).toBe('é 你好 [31mred evil1m\nnext');
});

test('text is broken at spaces and a word too long is cut', () => {
  expect(wrapText('one two  three\nfour', 9)).toEqual(['one two', 'three', 'four']);
  expect(wrapText('abcdefghij', 4)).toEqual(['abcd', 'efgh', 'ij']);
  expect(wrapText('', 4)).toEqual([]);
});
