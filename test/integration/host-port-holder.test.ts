import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { findPortHolder } from '../../src/host/port-holder.ts';

const open: Server[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

async function listen(host: string, port = 0): Promise<number> {
  const server = createServer();
  open.push(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });
  return (server.address() as AddressInfo).port;
}

test.each(['127.0.0.1', '::1', '0.0.0.0', '::'])('a listener on %s is found and named', async (host) => {
  const port = await listen(host);
  const found = await findPortHolder(port);
  expect(found.taken).toBe(true);
  if (process.platform === 'linux') {
    expect(found).toMatchObject({ pid: process.pid });
    expect(found.holder).toMatch(new RegExp(`^.+ \\(pid ${process.pid}\\)$`));
  }
});

test('a free port is free, and stays free after the look', async () => {
  const port = await listen('127.0.0.1');
  await new Promise((resolve) => open.splice(0)[0]?.close(resolve));
  expect(await findPortHolder(port)).toEqual({ taken: false, holder: null, pid: null, unit: null });
  expect(await listen('127.0.0.1', port)).toBe(port);
});

test('a listener on an address that is not asked for is not in the way', async () => {
  const port = await listen('127.0.0.2');
  expect(await findPortHolder(port, ['127.0.0.1', '::1'])).toMatchObject({ taken: false });
  expect(await findPortHolder(port)).toMatchObject({ taken: true });
});
