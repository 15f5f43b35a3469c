import { describe, expect, test } from 'vitest';
import { hideSecrets } from '../../src/deployment/hide-secrets.ts';
import { encodeHeaderValue, nameHeaders } from '../../src/server/backends/modern-request-headers.ts';
import { readParamHeaders } from '../../src/server/backends/param-headers.ts';
import { SseReader } from '../../src/server/backends/sse-reader.ts';

function read(stream: string, pieceBytes: number, maxEventBytes = 1_000) {
  const events: string[] = [];
  let oversized = 0;
  const reader = new SseReader({ maxEventBytes, onEvent: (data) => events.push(data), onOversized: () => oversized++ });
  const bytes = Buffer.from(stream);
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes));
  return { events, oversized, lastEventId: reader.lastEventId, retryMs: reader.retryMs };
}

describe('an event stream', () => {
  const cases: [string, string, string[]][] = [
    ['one event', 'data: {"a":1}\n\n', ['{"a":1}']],
    ['CRLF and CR', 'data: a\r\n\r\ndata: b\r\rdata: c\n\n', ['a', 'b', 'c']],
    ['lines are joined', 'data: a\ndata:b\ndata:  c\n\n', ['a\nb\n c']],
    ['comments, other fields and empty data', ': hi\n\nevent: message\ndata: ä✓\nfoo: x\n\ndata:\n\ndata\n\n', ['ä✓']],
    ['a byte order mark', '\uFEFFdata: a\n\n', ['a']],
    ['an unfinished event is none', 'data: a\n\ndata: b\n', ['a']],
  ];
  test.each(cases)('%s, in pieces of any size', (_name, stream, events) => {
    for (const pieceBytes of [1, 2, 3, 7, 1_000]) expect(read(stream, pieceBytes).events).toEqual(events);
  });

  test('id and retry are kept, and an event above the limit ends the reading', () => {
    expect(read('id: 7\nretry: 250\ndata: a\n\nretry: soon\n\n', 5)).toMatchObject({ lastEventId: '7', retryMs: 250 });
    expect(read(`data: ok\n\ndata: ${'x'.repeat(2_000)}\n\n`, 64)).toMatchObject({ events: ['ok'], oversized: 1 });
  });
});

test('headers repeat method, name and the arguments that a tool asks for', () => {
  expect(nameHeaders('tools/call', { name: 'a b' })).toEqual({ 'mcp-method': 'tools/call', 'mcp-name': 'a b' });
  expect(nameHeaders('tools/list', {})).toEqual({ 'mcp-method': 'tools/list' });
  expect(encodeHeaderValue(' é\r\n')).toBe(`=?base64?${Buffer.from(' é\r\n').toString('base64')}?=`);
  const properties = {
    region: { type: 'string', 'x-mcp-header': 'Region' },
    in: { properties: { n: { 'x-mcp-header': 'N' } } },
  };
  const headers = readParamHeaders([{ name: 't', inputSchema: { properties } }, null]);
  expect(headers.headersFor({ name: 't', arguments: { region: 'eu', in: { n: 2 } } })).toEqual({
    'mcp-param-region': 'eu',
    'mcp-param-n': '2',
  });
  expect(headers.headersFor({ name: 't', arguments: {} })).toEqual({});
  expect(headers.headersFor({ name: 'constructor' })).toBeUndefined();
});

test('headers and environments of upstreams and tools are hidden where the file is shown, references are not', () => {
  const shown = hideSecrets(`server:
  upstreams: { a: { url: "https://x", headers: { A: s3cret, B: "Bearer \${KEY}" } } }
  tools:
    b: { http: { url: "https://x", headers: { A: s3cret } } }
    c: { command: { command: x, args: [--token, s3cret], env: { T: s3cret } } }
`);
  expect(shown).not.toContain('s3cret');
  expect(shown).toContain('https://x');
});
