import { describe, expect, test } from 'vitest';
import { createAddressGate } from '../../src/server/policy/address-gate.ts';

const gateOf = (given: Partial<Parameters<typeof createAddressGate>[0]>) =>
  createAddressGate({ allowFrom: [], denyFrom: [], healthFrom: 'everyone', ...given });

test('without a list there is no gate', () => {
  expect(gateOf({})).toBeNull();
});

describe.each<[string, Partial<Parameters<typeof createAddressGate>[0]>, readonly string[], readonly string[]]>([
  ['an IPv4 block', { allowFrom: ['10.0.0.0/8'] }, ['10.1.2.3', '::ffff:10.1.2.3'], ['11.0.0.1', '::1', 'unix']],
  ['one address', { allowFrom: ['192.0.2.7'] }, ['192.0.2.7'], ['192.0.2.8', '192.0.2.70']],
  ['an IPv6 block', { allowFrom: ['2001:db8::/32'] }, ['2001:db8::1', '2001:db8:ffff::2'], ['2001:db9::1', '10.0.0.1']],
  [
    'loopback',
    { allowFrom: ['loopback'] },
    ['127.0.0.1', '127.9.9.9', '::1', 'unix', '::ffff:127.0.0.1'],
    ['10.0.0.1'],
  ],
  ['what is denied', { denyFrom: ['203.0.113.0/24'] }, ['198.51.100.1', '::1'], ['203.0.113.9', '::ffff:203.0.113.9']],
  [
    'what is denied within what is allowed',
    { allowFrom: ['10.0.0.0/8', 'loopback'], denyFrom: ['10.66.0.0/16'] },
    ['10.65.0.1', '127.0.0.1'],
    ['10.66.0.1', '192.0.2.1'],
  ],
  ['an unknown address', { allowFrom: ['0.0.0.0/0', '::/0'] }, ['192.0.2.1', '2001:db8::1'], ['unknown', '']],
])('%s', (_title, lists, inside, outside) => {
  const gate = gateOf(lists);
  test.each(inside)('%s comes in, also the second time', (address) => {
    expect([gate?.admits(address), gate?.admits(address)]).toEqual([true, true]);
  });
  test.each(outside)('%s stays out, also the second time', (address) => {
    expect([gate?.admits(address), gate?.admits(address)]).toEqual([false, false]);
  });
});

test('health has a list of its own, which is everyone as it comes', () => {
  expect(gateOf({ allowFrom: ['10.0.0.1'] })?.admitsHealth('192.0.2.1')).toBe(true);
  const gate = gateOf({ allowFrom: ['10.0.0.1'], healthFrom: ['192.0.2.0/24'] });
  expect(gate?.admitsHealth('192.0.2.1')).toBe(true);
  expect(gate?.admitsHealth('10.0.0.1')).toBe(false);
  expect(gateOf({ healthFrom: ['192.0.2.1'] })?.admits('198.51.100.1')).toBe(true);
});

test('what is remembered stays right when more addresses come than are remembered', () => {
  const gate = gateOf({ allowFrom: ['10.0.0.0/9'] });
  for (let round = 0; round < 2; round++) {
    for (let n = 0; n < 3_000; n++) {
      const address = `10.${n % 256}.${n >> 8}.1`;
      expect(gate?.admits(address)).toBe(n % 256 < 128);
    }
  }
});

test.each(['10.0.0.0/33', 'localhost', '10.0.0', 'fe80::1%eth0', '*', '::/129'])(
  '%s is no entry of a list',
  (entry) => {
    expect(() => gateOf({ denyFrom: [entry] })).toThrow(/server\.denyFrom/);
  },
);
