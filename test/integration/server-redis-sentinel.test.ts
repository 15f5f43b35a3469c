import { createServer, type AddressInfo, type Socket } from 'node:net';
import { expect } from 'vitest';
import { createLog } from '../../src/server/observe/log.ts';
import { createSharedRedis } from '../../src/server/shared-state/shared-redis.ts';
import { startRedis } from '../helpers/redis.ts';
import { testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// A real Sentinel cannot be told when to speak; the real failover is in server-redis-under-load.test.ts.

interface FakeSentinel {
  readonly port: number;
  /** How often it was asked who the master is. */
  readonly asked: number;
  close(): Promise<void>;
}

/** A Sentinel that, asked for the second time who the master is, first tells everyone of a failover. */
async function startFakeSentinel(masterPort: number): Promise<FakeSentinel> {
  const open = new Set<Socket>();
  const subscribed = new Set<Socket>();
  let asked = 0;
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket) && subscribed.delete(socket));
    socket.on('data', (data) => {
      for (const [command] of data.toString().matchAll(/\*\d+\r\n[^*]+/g)) answer(socket, command);
    });
  });
  function answer(socket: Socket, command: string): void {
    if (command.includes('get-master-addr-by-name')) {
      asked++;
      if (asked === 2) for (const each of subscribed) each.write(list('>', 'message', '+switch-master', 'main'));
      setTimeout(() => socket.write(list('*', '127.0.0.1', String(masterPort))), asked === 2 ? 100 : 0);
    } else if (command.includes('+switch-master')) {
      subscribed.add(socket);
      socket.write('>3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n');
    } else socket.write('+OK\r\n');
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get asked() {
      return asked;
    },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** @param kind an array, or in RESP 3 what was not asked for */
function list(kind: '*' | '>', ...parts: readonly string[]): string {
  return `${kind}${parts.length}\r\n${parts.map((part) => `$${part.length}\r\n${part}\r\n`).join('')}`;
}

testWithTools(
  ['redis-server'],
  'a failover that is told of while the master is being asked for does not end the search for it',
  async () => {
    const store = await startRedis();
    const sentinel = await startFakeSentinel(store.port);
    const options = { sentinels: [{ host: '127.0.0.1', port: sentinel.port }], name: 'main', failoverDetector: true };
    const log = createLog({ level: 'error', write() {} });
    const shared = createSharedRedis({ options, prefix: 'test:', shown: 'test' }, log, { retryMs: 200 });
    try {
      await waitUntil(() => shared.isUp, 10_000, 'the first connection');
      // It listens for failovers as soon as it is connected.
      await new Promise((resolve) => setTimeout(resolve, 200));
      await store.kill();
      await waitUntil(() => sentinel.asked >= 2, 10_000, 'the master to be asked for again');
      await store.restart();
      await waitUntil(() => shared.isUp, 10_000, 'the connection after the failover');
      expect(await shared.send('PING', [])).toBe('PONG');
    } finally {
      shared.close();
      await sentinel.close();
      await store.close();
    }
  },
);
