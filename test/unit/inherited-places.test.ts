import { expect, test } from 'vitest';
import { parseTcpTable, parseUnixTable, readInheritedPlaces } from '../../src/server/systemd/inherited-places.ts';

const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const line = (local: string, state: string, inode: number): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0\n`;

test.each([
  ['0100007F:20FB', { kind: 'tcp', host: '127.0.0.1', port: 8443 }],
  ['00000000:01BB', { kind: 'tcp', host: '', port: 443 }],
  ['00000000000000000000000001000000:20FB', { kind: 'tcp', host: '::1', port: 8443 }],
  ['00000000000000000000000000000000:20FB', { kind: 'tcp', host: '', port: 8443 }],
  ['B80D0120000000000000000001000000:0050', { kind: 'tcp', host: '2001:db8::1', port: 80 }],
])('the kernel writes %s for %o', (local, address) => {
  expect(parseTcpTable(header + line(local, '0A', 77), true)).toEqual(new Map([['77', address]]));
});

test('the order of bytes is that of the machine', () => {
  expect(parseTcpTable(header + line('7F000001:20FB', '0A', 5), false).get('5')).toMatchObject({ host: '127.0.0.1' });
});

test('connections that are no listening sockets do not count', () => {
  expect(parseTcpTable(header + line('0100007F:20FB', '01', 77), true).size).toBe(0);
});

test('a Unix socket is known by its whole path, also with blanks', () => {
  const text = `Num       RefCount Protocol Flags    Type St Inode Path
ffff8880: 00000002 00000000 00010000 0001 01 1234 /run/mcp a/b.sock
ffff8881: 00000002 00000000 00000000 0002 01 1235
ffff8882: 00000002 00000000 00010000 0001 01 1236 @abstract
`;
  expect(parseUnixTable(text)).toEqual(new Map([['1234', { kind: 'unix', path: '/run/mcp a/b.sock' }]]));
});

test.each([
  ['nothing is said', {}],
  ['they are for another process', { LISTEN_FDS: '1', LISTEN_PID: '1' }],
  ['the number is none', { LISTEN_FDS: 'x', LISTEN_PID: String(process.pid) }],
  ['the descriptor is no socket of this network', { LISTEN_FDS: '1', LISTEN_PID: String(process.pid) }],
])('no socket is taken when %s', (_why, env) => {
  expect(readInheritedPlaces(env)).toEqual([]);
});
