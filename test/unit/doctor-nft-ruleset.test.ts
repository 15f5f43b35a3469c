import { expect, test } from 'vitest';
import { findDrop } from '../../src/doctor/judge-nft-ruleset.ts';

const chain = (policy: string) => ({
  chain: { family: 'inet', table: 'filter', name: 'input', hook: 'input', prio: 0, policy },
});
const rule = (...expr: readonly object[]) => ({ rule: { family: 'inet', table: 'filter', chain: 'input', expr } });
const dport = (right: unknown, op = '==') => ({
  match: { op, left: { payload: { protocol: 'tcp', field: 'dport' } }, right },
});
const established = { match: { op: 'in', left: { ct: { key: 'state' } }, right: ['established', 'related'] } };
const saddr = { match: { op: '==', left: { payload: { protocol: 'ip', field: 'saddr' } }, right: '10.0.0.1' } };
const loopback = { match: { op: '==', left: { meta: { key: 'iif' } }, right: 'lo' } };

test.each([
  ['no rule accepts it', [chain('drop'), rule(loopback, { accept: null }), rule(established, { accept: null })], true],
  ['a rule drops it', [chain('accept'), rule(dport(443), { drop: null })], true],
  ['a range that holds it is rejected', [chain('accept'), rule(dport({ range: [400, 500] }), { reject: null })], true],
  ['a set holds it', [chain('drop'), rule(dport({ set: [22, { range: [440, 450] }] }), { accept: null })], false],
  ['everything is accepted', [chain('accept')], false],
  ['another port is dropped', [chain('accept'), rule(dport(80), { drop: null })], false],
  ['one caller is dropped', [chain('accept'), rule(saddr, { drop: null })], false],
  ['some callers are accepted', [chain('drop'), rule(saddr, dport(443), { accept: null })], false],
  ['what is written by iptables is not shown', [chain('drop'), rule({ xt: null }, { accept: null })], false],
  [
    'a chain of its own accepts it',
    [
      chain('drop'),
      rule({ jump: { target: 'web' } }),
      { chain: { family: 'inet', table: 'filter', name: 'web' } },
      { rule: { family: 'inet', table: 'filter', chain: 'web', expr: [dport(443), { accept: null }] } },
    ],
    false,
  ],
  [
    'a chain of its own returns',
    [chain('drop'), rule({ jump: { target: 'web' } }), { chain: { family: 'inet', table: 'filter', name: 'web' } }],
    true,
  ],
])('%s', (_, nftables, dropped) => {
  expect(findDrop({ nftables }, 443) !== null).toBe(dropped);
});

test('what is no ruleset drops nothing', () => {
  expect(findDrop(null, 443)).toBeNull();
  expect(findDrop({ nftables: 'x' }, 443)).toBeNull();
});
