import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { formatIpAddress, parseIpAddress } from '../../src/pki/ip-address.ts';
import { matchesName } from '../../src/pki/matches-name.ts';
import { parseCertificateName, parseCertificateNames } from '../../src/pki/names.ts';

describe('a name that a certificate can carry is read', () => {
  test.each([
    ['localhost', 'dns', 'localhost'],
    ['MCP.Example.COM', 'dns', 'mcp.example.com'],
    ['mcp.example.com.', 'dns', 'mcp.example.com'],
    ['*.example.com', 'dns', '*.example.com'],
    ['a-b.c1.example', 'dns', 'a-b.c1.example'],
    ['3com.example', 'dns', '3com.example'],
    ['xn--bcher-kva.example', 'dns', 'xn--bcher-kva.example'],
    ['bücher.example', 'dns', 'xn--bcher-kva.example'],
    ['BÜCHER.example', 'dns', 'xn--bcher-kva.example'],
    ['*.bücher.example', 'dns', '*.xn--bcher-kva.example'],
    ['日本語。jp', 'dns', 'xn--wgv71a119e.jp'],
    [`${'a'.repeat(63)}.example`, 'dns', `${'a'.repeat(63)}.example`],
    ['127.0.0.1', 'ip', '127.0.0.1'],
    ['255.255.255.255', 'ip', '255.255.255.255'],
    ['::1', 'ip', '::1'],
    ['[::1]', 'ip', '::1'],
    ['::', 'ip', '::'],
    ['2001:DB8:0:0:0:0:0:1', 'ip', '2001:db8::1'],
    ['::ffff:192.0.2.7', 'ip', '::ffff:c000:207'],
    ['1:2:3:4:5:6:7:8', 'ip', '1:2:3:4:5:6:7:8'],
  ])('%s', (text, kind, value) => {
    expect(parseCertificateName(text)).toEqual({ kind, value });
  });
});

describe('anything else is refused with the reason', () => {
  test.each([
    ['', /empty/],
    [' ', /white space/],
    ['my host', /white space/],
    ['host\n', /white space/],
    ['host\u0000', /"\\u0000"/],
    ['host;rm', /";"/],
    ['a}b', /"}"/],
    ['{a', /"{"/],
    ['a"b', /which host names cannot have/],
    ['a,b', /","/],
    ['$(id)', /"\$"/],
    ['https://mcp.example.com', /URL/],
    ['https://mcp.example.com/mcp', /URL/],
    ['mcp.example.com/mcp', /contains a \//],
    ['10.0.0.0/8', /contains a \//],
    ['localhost:8443', /port/],
    ['127.0.0.1:8443', /port/],
    ['[::1]:8443', /port/],
    ['[::1', /not an IPv6/],
    ['[x]', /no IPv6 address between/],
    ['me@example.com', /@/],
    ['fe80::1%eth0', /zone/],
    ['1::2::3', /not an IPv6/],
    ['my_host', /underscore/],
    ['*', /whole first label/],
    ['*.', /empty label/],
    ['*.com', /two labels/],
    ['*.localhost', /two labels/],
    ['a.*.example.com', /whole first label/],
    ['w*.example.com', /whole first label/],
    ['*a.example.com', /whole first label/],
    ['*.*.example.com', /whole first label/],
    ['.example.com', /empty label/],
    ['a..b', /empty label/],
    ['.', /empty label/],
    ['-a.example', /inner hyphens/],
    ['a-.example', /inner hyphens/],
    ['256.1.1.1', /IPv4/],
    ['127.1', /IPv4/],
    ['0x7f.1', /IPv4/],
    ['01.2.3.4', /IPv4/],
    ['1234', /IPv4/],
    ['１２７.0.0.1', /IPv4/],
    ['xn--\u00fc.example', /internationalised/],
    [`${'a'.repeat(64)}.example`, /63/],
    [`${'a.'.repeat(127)}example`, /253/],
    ['a'.repeat(100_000), /longer than any name/],
  ])('%j', (text, reason) => {
    let error: unknown;
    try {
      parseCertificateName(text);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).why).toMatch(reason);
    expect((error as UserError).message).not.toMatch(/[\u0000-\u001f]/);
    expect((error as UserError).next).toMatch(/mcp\.example\.com/);
  });
});

test('the same name in two spellings is one name', () => {
  expect(
    parseCertificateNames(['A.example', 'a.example.', '::1', '0:0:0:0:0:0:0:1']).map((name) => name.value),
  ).toEqual(['a.example', '::1']);
});

test('no name at all is refused', () => {
  expect(() => parseCertificateNames([])).toThrow(UserError);
});

test('addresses survive the way to octets and back', () => {
  for (const address of ['0.0.0.0', '192.0.2.7', '::', '::1', '1::', '2001:db8::8:800:200c:417a', '::ffff:c000:207']) {
    const octets = parseIpAddress(address);
    expect(octets).not.toBeNull();
    expect(formatIpAddress(octets ?? Buffer.alloc(0))).toBe(address);
  }
});

test('what is no address is none', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.4.',
    '1.2.3.04',
    'a.b.c.d',
    ':',
    ':::',
    '1:2',
    '::1%lo',
    '[::1]',
    '12345::',
    '::g',
  ]) {
    expect(parseIpAddress(text), text).toBeNull();
  }
  expect(formatIpAddress(Buffer.alloc(5))).toBeNull();
});

describe('a host is covered by the names of a certificate', () => {
  test.each([
    [['localhost'], 'localhost', true],
    [['localhost'], 'LOCALHOST', true],
    [['localhost'], 'localhost.', true],
    [['MCP.example.com'], 'mcp.example.com', true],
    [['mcp.example.com'], 'example.com', false],
    [['example.com'], 'mcp.example.com', false],
    [['*.example.com'], 'mcp.example.com', true],
    [['*.example.com'], 'example.com', false],
    [['*.example.com'], 'a.b.example.com', false],
    [['*.example.com'], '.example.com', false],
    [['*.example.com'], 'mcp.example.com.evil.org', false],
    [['*.com'], 'example.com', false],
    [['*'], 'localhost', false],
    [['w*.example.com'], 'www.example.com', false],
    [['xn--bcher-kva.example'], 'bücher.example', true],
    [['127.0.0.1'], '127.0.0.1', true],
    [['127.0.0.1'], '127.0.0.2', false],
    [['::1'], '[::1]', true],
    [['::1'], '0:0:0:0:0:0:0:1', true],
    [['0:0:0:0:0:0:0:1'], '::1', true],
    [['DNS:127.0.0.1'], '127.0.0.1', false],
    [['*.0.0.1'], '127.0.0.1', false],
    [['a.example', 'b.example'], 'b.example', true],
    [[], 'localhost', false],
    [[''], '', false],
  ])('%j covers %s: %s', (names, host, expected) => {
    expect(matchesName(names, host)).toBe(expected);
  });
});
