import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/deployment/errors.ts';
import { createAddressReader } from '../../src/server/policy/client-address.ts';

describe('without trusted proxies', () => {
  const read = createAddressReader([]);

  test.each([
    ['203.0.113.9', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['2001:db8::1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::1', '::1'],
    ['unix', 'unix'],
    [undefined, 'unknown'],
  ])('the peer %s is the client %s, whatever it claims', (peer, client) => {
    expect(read(peer, undefined)).toBe(client);
    expect(read(peer, '127.0.0.1')).toBe(client);
    expect(read(peer, '10.0.0.1, 10.0.0.2')).toBe(client);
  });
});

describe('behind trusted proxies', () => {
  const read = createAddressReader(['loopback', '10.0.0.0/8', '192.0.2.7', '2001:db8:cafe::/48']);

  test.each<[string, string | undefined, string | undefined, string]>([
    ['one proxy', '127.0.0.1', '203.0.113.9', '203.0.113.9'],
    ['a proxy on IPv6 loopback', '::1', '203.0.113.9', '203.0.113.9'],
    ['a mapped proxy address', '::ffff:10.1.2.3', '203.0.113.9', '203.0.113.9'],
    ['a proxy in an IPv6 block', '2001:db8:cafe:1::5', '2001:db8:beef::1', '2001:db8:beef::1'],
    ['two proxies', '127.0.0.1', '203.0.113.9, 10.4.4.4', '203.0.113.9'],
    ['a forged hop on the left', '127.0.0.1', '1.2.3.4, 203.0.113.9, 10.4.4.4', '203.0.113.9'],
    ['a forged trusted hop on the left', '127.0.0.1', '127.0.0.1, 10.0.0.1, 203.0.113.9', '203.0.113.9'],
    ['only trusted hops', '127.0.0.1', '10.9.9.9, 10.4.4.4', '10.9.9.9'],
    ['a mapped hop', '127.0.0.1', '::ffff:203.0.113.9', '203.0.113.9'],
    ['a mapped hop in hexadecimal', '127.0.0.1', '::FFFF:CB00:7109', '203.0.113.9'],
    ['a mapped hop in full', '127.0.0.1', '0:0:0:0:0:ffff:203.0.113.9', '203.0.113.9'],
    ['a mapped trusted hop', '127.0.0.1', '203.0.113.9, ::ffff:a00:1', '203.0.113.9'],
    ['an IPv6 hop in another spelling', '127.0.0.1', '2001:0DB8:0:0::0009', '2001:db8::9'],
    ['a hop with a zone', '127.0.0.1', 'fe80::9%eth0', 'fe80::9'],
    ['a hop with a port', '127.0.0.1', '203.0.113.9:51234', '203.0.113.9'],
    ['an IPv6 hop with a port', '127.0.0.1', '[2001:db8::9]:51234', '2001:db8::9'],
    ['an IPv6 hop in brackets', '127.0.0.1', '[2001:db8::9]', '2001:db8::9'],
    ['no header', '127.0.0.1', undefined, '127.0.0.1'],
    ['an empty header', '127.0.0.1', '', '127.0.0.1'],
    ['only commas', '127.0.0.1', ',,,', '127.0.0.1'],
    ['a word', '127.0.0.1', 'unknown', '127.0.0.1'],
    ['a word left of a proxy', '127.0.0.1', '203.0.113.9, unknown, 10.4.4.4', '10.4.4.4'],
    ['a bad octet', '127.0.0.1', '203.0.113.999', '127.0.0.1'],
    ['a hop that forges a log line', '127.0.0.1', '203.0.113.9\nlevel=error', '127.0.0.1'],
    ['a peer that is no proxy', '203.0.113.50', '10.0.0.1', '203.0.113.50'],
    ['a peer next to a trusted one', '192.0.2.8', '10.0.0.1', '192.0.2.8'],
    ['a Unix socket', 'unix', '203.0.113.9', '203.0.113.9'],
    ['a socket that is gone already', undefined, '203.0.113.9', 'unknown'],
  ])('%s', (_case, peer, header, client) => {
    expect(read(peer, header)).toBe(client);
    expect(read(peer, header)).toBe(client);
  });

  test('a header of 16 kB is read from the right and costs no more than its hops', () => {
    const header = `${'1.2.3.4, '.repeat(1_700)}203.0.113.9`;
    expect(read('127.0.0.1', header)).toBe('203.0.113.9');
    expect(read('127.0.0.1', '10.0.0.1,'.repeat(1_700))).toBe('127.0.0.1');
  });

  test('a Unix socket is not trusted unless loopback or unix is', () => {
    expect(createAddressReader(['10.0.0.0/8'])('unix', '203.0.113.9')).toBe('unix');
    expect(createAddressReader(['unix'])('unix', '203.0.113.9')).toBe('203.0.113.9');
    expect(createAddressReader(['unix'])('127.0.0.1', '203.0.113.9')).toBe('127.0.0.1');
  });
});

test.each([
  '',
  'proxy',
  '10.0.0.0/33',
  '10.0.0.0/',
  '10.0.0.0/8/8',
  '10.0.0.0/-1',
  '::/129',
  'fe80::1%eth0',
  '10.0.0',
  '*',
])('the entry %j is refused with an example', (entry) => {
  expect(() => createAddressReader([entry])).toThrow(UserError);
});
