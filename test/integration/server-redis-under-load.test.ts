import { afterAll, beforeAll, describe, expect } from 'vitest';
import { startRedis, type RealRedis } from '../helpers/redis.ts';
import { goThrough, redisTroubles, startRedisFleet, sumIn, type RedisFleet } from '../helpers/redis-fleet.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

// One fleet for all: each trouble finds it as the ones before have left it, together and unharmed.

/** Redis closes its connections when its role changes; whoever is cut off asks again. */
async function roleOf(redis: RealRedis): Promise<string | undefined> {
  const said = await redis.ask('INFO replication').catch(() => '');
  return /^role:(\w+)/m.exec(said)?.[1];
}

let store: RealRedis;
let fleet: RedisFleet;

beforeAll(async () => {
  if (findProgram('redis-server') === null) return;
  store = await startRedis();
  fleet = await startRedisFleet(store);
});

afterAll(async () => {
  await fleet?.close();
  await store?.close();
});

describe('under load, with a Redis that is', () => {
  for (const trouble of redisTroubles) {
    testWithTools(
      ['redis-server'],
      `${trouble.name}: open goes on, closed refuses, nobody waits or gets what is another's, and all is as before`,
      async () => {
        const { open, closed, residentBytes, streams } = await goThrough(fleet, trouble, 500);
        expect([open.crossed, closed.crossed]).toEqual([[], []]);
        expect([open.wrong, closed.wrong]).toEqual([[], []]);
        expect(streams).toEqual([200, 200]);
        expect(open.answered).toBeGreaterThan(20);
        if (trouble.isHarmless === true) expect([closed.refused, closed.answered > 20]).toEqual([0, true]);
        else expect(closed.refused).toBeGreaterThan(10);
        // An answer of Redis is given up after a second: a call that had waited for it would show.
        const half = open.ms.toSorted((a, b) => a - b)[Math.floor(open.ms.length / 2)];
        expect(half).toBeLessThan(500);
        expect(residentBytes).toBeLessThan(400 * 1_048_576);
      },
      90_000,
    );
  }
});

testWithTools(
  ['redis-server', 'redis-sentinel'],
  'under load, a failover by Sentinel, after which the former master may not be written to: as any other outage, and what was counted is known to the new one',
  async () => {
    const opened: RealRedis[] = [];
    const redis = async (...given: Parameters<typeof startRedis>): Promise<RealRedis> => {
      const started = await startRedis(...given);
      opened.push(started);
      return started;
    };
    let failing: RedisFleet | undefined;
    try {
      const master = await redis();
      const copy = await redis([`replicaof 127.0.0.1 ${master.port}`]);
      const sentinel = await redis(
        [
          `sentinel monitor main 127.0.0.1 ${master.port} 1`,
          'sentinel down-after-milliseconds main 500',
          // A failover that is given up half-way leaves two masters until the next try.
          'sentinel failover-timeout main 30000',
        ],
        true,
      );
      await waitUntil(async () => (await copy.ask('INFO replication')).includes('master_link_status:up'), 15_000);
      await waitUntil(async () => (await sentinel.ask('INFO sentinel')).includes('slaves=1'), 30_000);
      failing = await startRedisFleet(master, { sentinels: [`127.0.0.1:${sentinel.port}`], master: 'main' });
      await waitUntil(async () => (await sumIn(copy)) > 0, 15_000, 'the copy to know what was counted');
      const counted = await sumIn(copy);
      const failedOver = {
        name: 'failed over',
        begin: () => master.kill(),
        async end(fleet: RedisFleet) {
          // A Sentinel that gets no processor for two seconds trusts nobody for thirty (TILT).
          const isSaid = async (): Promise<boolean> =>
            (await sentinel.ask('SENTINEL GET-MASTER-ADDR-BY-NAME main')).includes(String(copy.port));
          await waitUntil(isSaid, 100_000, 'Sentinel to name the copy');
          expect(await roleOf(copy)).toBe('master');
          fleet.store = copy;
          expect(await sumIn(copy)).toBeGreaterThanOrEqual(counted);
          await master.restart();
        },
      };
      const { open, closed, streams } = await goThrough(failing, failedOver, 300);
      expect([open.crossed, closed.crossed, open.wrong, closed.wrong]).toEqual([[], [], [], []]);
      expect([streams, open.answered > 20, closed.refused > 5]).toEqual([[200, 200], true, true]);
      // The former one comes back and is made a replica; nobody goes back to it.
      await waitUntil(async () => (await roleOf(master)) === 'slave', 100_000, 'the former master to be a replica');
      await failing.areTogether();
      const after = failing.load.next();
      expect([after.open.crossed, after.closed.crossed, after.open.wrong]).toEqual([[], [], []]);
    } finally {
      await failing?.close();
      for (const one of opened.toReversed()) await one.close();
    }
  },
  300_000,
);
