import { createHash } from 'node:crypto';
import type { Log } from '../observe/log.ts';
import { throttledWarning } from '../observe/throttled-warning.ts';
import type { LimitShape, LimitSharing } from '../policy/limit-sharing.ts';
import { defineScript, type SharedRedis } from './shared-redis.ts';

/** Counts limits together with every process that uses the same Redis and the same prefix. */
export interface RedisLimits {
  readonly sharing: LimitSharing;
  /** Since when the sums are not known, on the clock of `performance.now()`; null while they are. */
  readonly failingSinceMs: number | null;
  close(): void;
}

/** Buckets in one exchange: Redis is held up for about a millisecond. */
const mostAtOnce = 500;
/** Buckets that wait for the exchange under way; what more is used of others is not told. */
const mostPending = 20_000;
/** With many replicas a bucket can be this many bursts below nothing. */
const deepestDebt = 16;
const lookEveryMs = 250;
const longestName = 120;

/**
 * Adds what was used of buckets and answers what is used now, and how long their windows still run.
 * KEYS: the buckets. ARGV: `bucket` with tokens per ms and the deepest debt, or `window` with its length in ms and 0;
 * then an amount for each key. A key ends when there is nothing to remember. The time is that of Redis (5 or newer).
 */
const countScript = defineScript(`
local kind, first, second = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local out = {}
if kind == 'window' then
  for i, key in ipairs(KEYS) do
    local used = redis.call('INCRBY', key, ARGV[i + 3])
    local left = redis.call('PTTL', key)
    if left < 0 then
      redis.call('PEXPIRE', key, first)
      left = first
    end
    out[2 * i - 1] = tostring(math.max(0, used))
    out[2 * i] = left
  end
  return out
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for i, key in ipairs(KEYS) do
  local known = redis.call('HMGET', key, 'used', 'at')
  local used = tonumber(known[1] or '0')
  local at = tonumber(known[2] or now)
  used = math.max(0, used - math.max(0, now - at) * first) + tonumber(ARGV[i + 3])
  used = math.max(0, math.min(second, used))
  redis.call('HSET', key, 'used', string.format('%.6f', used), 'at', now)
  redis.call('PEXPIRE', key, math.ceil(used / first) + 1000)
  out[2 * i - 1] = string.format('%.6f', used)
  out[2 * i] = 0
end
return out
`);

interface Topic {
  readonly shape: readonly [kind: string, first: string, second: string];
  readonly listener: (bucket: string, used: number, leftMs: number) => void;
  pending: Map<string, number>;
  isAsking: boolean;
}

/**
 * Every process decides alone and at once; Redis keeps the sums, and each exchange brings the level of a bucket here to
 * what all together have used. What cannot be told because Redis is gone is forgotten.
 */
export function createRedisLimits(redis: SharedRedis, log: Log): RedisLimits {
  const topics = new Map<string, Topic>();
  const warn = throttledWarning(log, 'limits.counted-alone');
  let failingSinceMs: number | null = performance.now();
  let wasWarned = false;

  function failed(): void {
    failingSinceMs ??= performance.now();
  }

  function succeeded(): void {
    failingSinceMs = null;
    if (wasWarned) log.info('limits.counted-together');
    wasWarned = false;
  }

  async function exchange(name: string, topic: Topic): Promise<void> {
    topic.isAsking = true;
    try {
      while (topic.pending.size > 0) {
        const all = [...topic.pending];
        const batch = all.slice(0, mostAtOnce);
        topic.pending = new Map(all.slice(mostAtOnce));
        const keys = batch.map(([bucket]) => keyOf(name, topic.shape, bucket));
        const amounts = batch.map(([, amount]) => amount);
        const answer = (await redis.run(countScript, keys, [...topic.shape, ...amounts])) as (string | number)[];
        for (const [at, [bucket]] of batch.entries()) {
          // What was published meanwhile is used too.
          const used = Number(answer[2 * at]) + (topic.pending.get(bucket) ?? 0);
          topic.listener(bucket, used, Number(answer[2 * at + 1]));
        }
        succeeded();
      }
    } catch {
      // The connection has counted and said why.
      topic.pending.clear();
      failed();
    } finally {
      topic.isAsking = false;
    }
  }

  function keyOf(topic: string, [kind]: Topic['shape'], bucket: string): string {
    const name = bucket.length <= longestName ? bucket : createHash('sha256').update(bucket).digest('hex');
    return `${redis.prefix}limit:${kind}:${topic}:${name}`;
  }

  /** Sees an outage also while nobody calls, and its end also while every call is refused. */
  const look = setInterval(() => {
    if (!redis.isUp) failed();
    else if (failingSinceMs !== null) {
      redis.run(countScript, [`${redis.prefix}limit:probe`], ['window', 1_000, 0, 1]).then(succeeded, failed);
    }
    if (failingSinceMs === null || performance.now() - failingSinceMs < 1_000) return;
    if (!wasWarned) warn({ why: 'Redis cannot be asked, or does not take what is written' });
    wasWarned = true;
  }, lookEveryMs);
  look.unref();

  return {
    sharing: {
      publish(name, deltas) {
        const topic = topics.get(name);
        if (topic === undefined || !redis.isUp) return;
        const { pending } = topic;
        for (const [bucket, amount] of deltas) {
          const before = pending.get(bucket);
          if (before !== undefined || pending.size < mostPending) pending.set(bucket, (before ?? 0) + amount);
        }
        if (!topic.isAsking) void exchange(name, topic);
      },
      onRemote() {
        // Sums say it all.
      },
      onTotal(name, shape, listener) {
        topics.set(name, { shape: describeShape(shape), listener, pending: new Map(), isAsking: false });
      },
    },
    get failingSinceMs() {
      return failingSinceMs;
    },
    close: () => clearInterval(look),
  };
}

function describeShape(shape: LimitShape): Topic['shape'] {
  if (shape.kind === 'window') return ['window', String(shape.windowMs), '0'];
  return ['bucket', shape.tokensPerMs.toFixed(12), String(deepestDebt * shape.capacity)];
}
