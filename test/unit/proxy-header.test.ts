import { describe, expect, test } from 'vitest';
import { parseProxyHeader } from '../../src/server/http/proxy-header.ts';

const signature = '0d0a0d0a000d0a515549540a';
const v2 = (rest: string): Buffer => Buffer.from(signature + rest, 'hex');
const line = (text: string): Buffer => Buffer.from(text, 'latin1');
const from4 = '2111000ccb0071077f000001c35001bb';
const from6 = '2121002420010db800000000000000000000000100000000000000000000000000000001c35001bb';

describe('a whole header gives the address and its own length', () => {
  test.each([
    ['version 1, IPv4', line('PROXY TCP4 203.0.113.7 127.0.0.1 50000 443\r\nGET /'), '203.0.113.7', 44],
    ['version 1, IPv6', line('PROXY TCP6 2001:db8::1 ::1 50000 443\r\n'), '2001:db8::1', 38],
    ['version 1, the proxy itself', line('PROXY UNKNOWN\r\n'), null, 15],
    ['version 1, unknown with more words', line('PROXY UNKNOWN ffff:f...f:ffff 65535\r\n'), null, 37],
    ['version 2, IPv4', v2(`${from4}aabb`), '203.0.113.7', 28],
    ['version 2, IPv6', v2(from6), '2001:db8::1', 52],
    ['version 2, IPv4 with fields after it', v2('21110011cb0071077f000001c35001bb0400020000ff'), '203.0.113.7', 33],
    ['version 2, the proxy itself', v2('20000000'), null, 16],
    ['version 2, a Unix socket', v2(`213100d8${'00'.repeat(216)}`), null, 232],
  ])('%s', (_title, bytes, address, length) => {
    expect(parseProxyHeader(bytes)).toEqual({ state: 'read', address, length });
  });
});

test('IPv4 mapped into IPv6 comes out in the form that the reader of addresses knows', () => {
  const bytes = v2(`21210024${'00'.repeat(10)}ffffcb007107${'00'.repeat(16)}c35001bb`);
  expect(parseProxyHeader(bytes)).toMatchObject({ address: '::ffff:203.0.113.7' });
});

describe('every beginning of a header asks for more, and no beginning is taken for a header', () => {
  test.each([
    ['version 1', line('PROXY TCP4 203.0.113.7 127.0.0.1 50000 443\r\n')],
    ['version 2', v2(from6)],
  ])('%s', (_title, bytes) => {
    for (let length = 0; length < bytes.length; length++) {
      expect(parseProxyHeader(bytes.subarray(0, length)), String(length)).toEqual({ state: 'more' });
    }
  });
});

describe('what is no header is left to the client', () => {
  test.each([
    ['HTTP', line('POST /mcp HTTP/1.1\r\n')],
    ['PUT, which begins alike', line('PUT / HTTP/1.1\r\n')],
    ['a TLS ClientHello', Buffer.from('16030100c8', 'hex')],
    ['line ends in front of a request', line('\r\n\r\nGET / HTTP/1.1')],
  ])('%s', (_title, bytes) => {
    expect(parseProxyHeader(bytes)).toEqual({ state: 'absent' });
  });
});

describe('a broken header is said to be broken', () => {
  test.each([
    ['a line without an end', line(`PROXY TCP4 ${'1'.repeat(100)}`)],
    ['a family of its own', line('PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n')],
    ['a name for an address', line('PROXY TCP4 localhost 127.0.0.1 50000 443\r\n')],
    ['IPv6 where IPv4 is said', line('PROXY TCP4 ::1 127.0.0.1 50000 443\r\n')],
    ['a port beyond ports', line('PROXY TCP4 1.2.3.4 127.0.0.1 70000 443\r\n')],
    ['a word too many', line('PROXY TCP4 1.2.3.4 127.0.0.1 5000 443 x\r\n')],
    ['version 3', v2('31110000')],
    ['an unknown command', v2('22110000')],
    ['addresses that are cut off', v2('21110004cb007107')],
    ['a length beyond reason', v2(`2111ffff${'00'.repeat(32)}`)],
  ])('%s', (_title, bytes) => {
    expect(parseProxyHeader(bytes).state).toBe('broken');
  });
});
