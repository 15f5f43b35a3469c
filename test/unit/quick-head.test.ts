import { expect, test, describe } from 'vitest';
import { mostQuickBodyBytes, parseQuickHead } from '../../src/server/http/quick/quick-head.ts';

const plain = ['POST /mcp HTTP/1.1', 'Host: localhost:8080', 'Content-Type: application/json', 'Content-Length: 12'];

function head(...lines: readonly string[]): string {
  return `${lines.join('\r\n')}\r\n`;
}

/** The plain head with one line more. */
function plus(line: string): string {
  return head(...plain, line);
}

describe('what is plain is read', () => {
  test('a POST with its headers by lower-case names', () => {
    expect(parseQuickHead(head(...plain, 'X-API-Key:abc', 'Connection: Keep-Alive'))).toEqual({
      url: '/mcp',
      headers: {
        host: 'localhost:8080',
        'content-type': 'application/json',
        'content-length': '12',
        'x-api-key': 'abc',
        connection: 'Keep-Alive',
      },
      bodyBytes: 12,
    });
  });

  test('values keep their spaces and colons', () => {
    expect(parseQuickHead(plus('Accept: application/json,  text/event-stream; q=0.5:x'))?.headers.accept).toBe(
      'application/json,  text/event-stream; q=0.5:x',
    );
  });

  test('a body may be empty, and as large as the bound', () => {
    expect(parseQuickHead(head('POST / HTTP/1.1', 'Host: a', 'Content-Length: 0'))?.bodyBytes).toBe(0);
    expect(parseQuickHead(head('POST / HTTP/1.1', 'Host: a', `Content-Length: ${mostQuickBodyBytes}`))?.bodyBytes).toBe(
      mostQuickBodyBytes,
    );
  });
});

describe('what is not plain is left to node:http', () => {
  test.each([
    ['another method', head('GET /mcp HTTP/1.1', ...plain.slice(1))],
    ['a method in lower case', head('post /mcp HTTP/1.1', ...plain.slice(1))],
    ['HTTP/1.0', head('POST /mcp HTTP/1.0', ...plain.slice(1))],
    ['an absolute address', head('POST http://a/mcp HTTP/1.1', ...plain.slice(1))],
    ['a space in the address', head('POST /m cp HTTP/1.1', ...plain.slice(1))],
    ['two spaces', head('POST  /mcp HTTP/1.1', ...plain.slice(1))],
    ['a letter beyond ASCII in the address', head('POST /m\u00e4 HTTP/1.1', ...plain.slice(1))],
    ['an empty line first', `\r\n${head(...plain)}`],
    ['line ends without CR', `${plain.join('\n')}\n`],
    ['a CR in a value', plus('X-A: a\rb')],
    ['a LF in a value', plus('X-A: a\nContent-Length: 3')],
    ['a NUL in a value', plus('X-A: a\u0000b')],
    ['a tab before a value', plus('X-A:\ta')],
    ['two spaces before a value', plus('X-A:  a')],
    ['a space after a value', plus('X-A: a ')],
    ['an empty value', plus('X-A:')],
    ['a letter beyond ASCII in a value', plus('X-A: \u00e4')],
    ['a space before the colon', plus('X-A : a')],
    ['a folded line', plus('X-A: a\r\n b')],
    ['a line without a colon', plus('X-A')],
    ['an underscore in a name', plus('X_A: a')],
    ['a name of what every object has', plus('constructor: a')],
    ['the same header twice', plus('Content-Type: text/plain')],
    ['the same header twice in other letters', plus('hOST: other')],
    ['two lengths that agree', plus('Content-Length: 12')],
    ['a transfer coding', plus('Transfer-Encoding: chunked')],
    ['a transfer coding beside the length, in other letters', plus('tRANSFER-eNCODING: identity')],
    ['an expectation', plus('Expect: 100-continue')],
    ['an upgrade', plus('Upgrade: h2c')],
    ['trailers', plus('TE: trailers')],
    ['the end of the connection', plus('Connection: close')],
    ['options of the connection', plus('Connection: keep-alive, Upgrade')],
    ['no host', head('POST /mcp HTTP/1.1', 'Content-Length: 12', 'X-A: a')],
    ['no length', head('POST /mcp HTTP/1.1', 'Host: a', 'X-A: a')],
    ['a length with a sign', head('POST /mcp HTTP/1.1', 'Host: a', 'Content-Length: +12')],
    ['a length with a zero in front', head('POST /mcp HTTP/1.1', 'Host: a', 'Content-Length: 012')],
    ['a length in hexadecimal', head('POST /mcp HTTP/1.1', 'Host: a', 'Content-Length: 0x1f')],
    ['a list of lengths', head('POST /mcp HTTP/1.1', 'Host: a', 'Content-Length: 12, 12')],
    ['a length beyond the bound', head('POST / HTTP/1.1', 'Host: a', `Content-Length: ${mostQuickBodyBytes + 1}`)],
    ['65 headers', head(...plain, ...Array.from({ length: 62 }, (_, at) => `X-${at}: a`))],
    ['a name of 65 letters', plus(`${'a'.repeat(65)}: a`)],
    ['only the first line', 'POST /mcp HTTP/1.1\r\n'],
    ['nothing', ''],
  ])('%s', (_what, text) => {
    expect(parseQuickHead(text)).toBeNull();
  });
});

test('a hostile head of 8 kB is judged in time that grows with its length alone', () => {
  const cost = (text: string): number => {
    const started = process.hrtime.bigint();
    for (let round = 0; round < 200; round++) parseQuickHead(text);
    return Number(process.hrtime.bigint() - started);
  };
  const hostile = (bytes: number): string => `${head(...plain)}X-A: ${'a '.repeat(bytes / 2)}\u0000`;
  cost(hostile(1_000));
  const least = (bytes: number): number => Math.min(...Array.from({ length: 7 }, () => cost(hostile(bytes))));
  // Eight times the length; a quadratic judge would take 64 times as long.
  expect(least(8_000) / least(1_000)).toBeLessThan(30);
});
