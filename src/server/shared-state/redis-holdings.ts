import { createHash } from 'node:crypto';
import type { Holdings, HoldingKind } from '../policy/holdings.ts';
import { defineScript, type SharedRedis } from './shared-redis.ts';

export interface RedisHoldings extends Holdings {
  close(): void;
}

export interface RedisHoldingsTimes {
  /** What is held is told this often, when it has changed. */
  readonly tellMs?: number;
  /** What a process has told counts this long; it tells it again three times meanwhile. */
  readonly leaseMs?: number;
}

/** A process tells what it holds from this share of the limit on: most keys never come near. */
const toldFromShare = 1 / 8;
/** Holders looked after at a time; what is more is counted here alone. */
const mostHolders = 10_000;
const mostAtOnce = 1_000;
/** Longer names come from outside. */
const longestName = 200;

/**
 * KEYS: one for each holder, a hash of process -> "count:until". ARGV: this process, the lease in ms, then what it holds
 * of each. Gives what the others hold. One that has ended tells nothing any more, and its lease runs out.
 */
const tellScript = defineScript(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local out = {}
for i, key in ipairs(KEYS) do
  local mine = tonumber(ARGV[i + 2])
  local size = redis.pcall('HLEN', key)
  if type(size) ~= 'number' or size > 1000 then redis.call('DEL', key) end
  if mine > 0 then
    redis.call('HSET', key, ARGV[1], string.format('%d:%.0f', mine, now + tonumber(ARGV[2])))
    redis.call('PEXPIRE', key, ARGV[2])
  else
    redis.call('HDEL', key, ARGV[1])
  end
  local others = 0
  local all = redis.call('HGETALL', key)
  for j = 1, #all, 2 do
    if all[j] ~= ARGV[1] then
      local count, till = string.match(all[j + 1], '^(%d+):(%d+)$')
      if count and #count < 10 and tonumber(till) > now then
        others = others + tonumber(count)
      else
        redis.call('HDEL', key, all[j])
      end
    end
  end
  out[i] = others
end
return out
`);

interface Holder {
  readonly key: string;
  readonly name: string;
  readonly heldBy: (name: string) => number;
  told: number;
  toldAt: number;
  elsewhere: number;
  /** Until then what is known of the others counts. */
  knownUntil: number;
  wantedAt: number;
}

/**
 * Lets processes keep one limit of what is held at the same time. Each decides alone and at once; what it holds is told
 * with a lease, and Redis says what the others hold. What is not known, or not any more, counts as nothing.
 * @param process a name that no other process has, the same for as long as this one lives
 */
export function createRedisHoldings(
  redis: SharedRedis,
  process: string,
  { tellMs = 100, leaseMs = 3_000 }: RedisHoldingsTimes = {},
): RedisHoldings {
  const holders = new Map<string, Holder>();
  let isTelling = false;
  let soon: NodeJS.Immediate | null = null;

  async function tell(): Promise<void> {
    if (isTelling || !redis.isUp) return;
    const now = performance.now();
    const due = [...holders.values()].filter(
      ({ heldBy, name, told, toldAt }) => heldBy(name) !== told || now - toldAt >= leaseMs / 3,
    );
    isTelling = true;
    try {
      for (let at = 0; at < due.length; at += mostAtOnce) await tellSome(due.slice(at, at + mostAtOnce));
    } catch {
      // The connection has counted and said why.
    } finally {
      isTelling = false;
    }
  }

  async function tellSome(some: readonly Holder[]): Promise<void> {
    const held = some.map(({ heldBy, name }) => heldBy(name));
    const keys = some.map(({ key }) => key);
    const answer = (await redis.run(tellScript, keys, [process, leaseMs, ...held])) as unknown[];
    const now = performance.now();
    for (const [at, holder] of some.entries()) {
      const elsewhere = Number(answer[at]);
      holder.told = held[at] ?? 0;
      holder.toldAt = now;
      holder.elsewhere = Number.isFinite(elsewhere) ? elsewhere : 0;
      holder.knownUntil = now + leaseMs;
      // Nobody wants more of it, and nothing of it is left to tell.
      if (holder.told === 0 && now - holder.wantedAt >= leaseMs) holders.delete(holder.key);
    }
  }

  function find(key: string, name: string, heldBy: Holder['heldBy']): Holder | null {
    const known = holders.get(key);
    if (known !== undefined) return known;
    if (holders.size >= mostHolders) return null;
    const never = Number.NEGATIVE_INFINITY;
    const made: Holder = {
      key,
      name,
      heldBy,
      told: 0,
      toldAt: never,
      elsewhere: 0,
      knownUntil: never,
      wantedAt: never,
    };
    holders.set(key, made);
    return made;
  }

  const timer = setInterval(() => void tell(), tellMs).unref();

  return {
    kind(name, heldBy): HoldingKind {
      const prefix = `${redis.prefix}held:${name}:`;
      return {
        elsewhere(holder, held, most) {
          if (held + 1 < most * toldFromShare && holders.size === 0) return 0;
          const shown = holder.length <= longestName ? holder : createHash('sha256').update(holder).digest('hex');
          const key = prefix + shown;
          if (held + 1 < most * toldFromShare && !holders.has(key)) return 0;
          const found = find(key, holder, heldBy);
          if (found === null) return 0;
          const now = performance.now();
          found.wantedAt = now;
          if (held + 1 - found.told >= most * toldFromShare) {
            soon ??= setImmediate(() => {
              soon = null;
              void tell();
            });
          }
          return now < found.knownUntil ? found.elsewhere : 0;
        },
      };
    },
    close() {
      clearInterval(timer);
      if (soon !== null) clearImmediate(soon);
      holders.clear();
    },
  };
}
