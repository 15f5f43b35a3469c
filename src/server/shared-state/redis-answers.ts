import { createHash, randomUUID } from 'node:crypto';
import type { FoundAnswer, SharedShelf } from '../backends/shared-shelf.ts';
import type { Log } from '../observe/log.ts';
import { throttledWarning } from '../observe/throttled-warning.ts';
import { parseSharedAnswer } from './parse-shared-answer.ts';
import { defineScript, type SharedRedis } from './shared-redis.ts';

/** Answers that replicas keep for each other. */
export interface RedisAnswers {
  /** From now on they are kept there; null: nowhere. */
  use(redis: SharedRedis | null): void;
  /**
   * Those of one upstream.
   * @param origin what the upstream is made from: only replicas that have the same share its answers
   */
  shelf(origin: string): SharedShelf;
  /** Looks by what they found, and writes by what became of them. */
  readonly lookups: Readonly<Record<LookupResult, number>>;
  readonly writes: Readonly<Record<WriteResult, number>>;
}

/** `late`: no answer within the bound; `unusable`: what was found is no answer; `skipped`: not asked, for a pause. */
export type LookupResult = 'hit' | 'miss' | 'late' | 'failed' | 'unusable' | 'skipped';
/** `outdated`: forgotten by all meanwhile; `skipped`: too large, too much under way, or a pause. */
export type WriteResult = 'written' | 'outdated' | 'failed' | 'skipped';

export interface RedisAnswersTimes {
  /** A call waits this long for Redis, then it goes to the upstream. */
  readonly boundMs?: number;
  /** First pause after Redis did not answer; doubles up to thirty times this. */
  readonly pauseMs?: number;
  /** What is kept in memory is given this long without a look at whether others have cleared it. */
  readonly currentMs?: number;
}

/** A larger answer stays in the memory of the process: reading it would hold up the exchange of the limits. */
const largestBytes = 1_048_576;
const mostLooks = 200;
const mostWrittenAtOnceBytes = 16 * 1_048_576;
/** So many looks in a row without an answer in time make a pause. */
const lateOnesToPause = 3;
const longestPause = 30;
/** Longer than any answer is kept. */
const epochLivesMs = 2 * 86_400_000;

/**
 * KEYS: epoch, answer. ARGV: an epoch for the case that there is none, how long it lives, most bytes.
 * Gives the epoch, and the answer with the time that it has left; a thing of another kind or size is none.
 */
const readScript = defineScript(`
local epoch = redis.pcall('GET', KEYS[1])
if type(epoch) ~= 'string' or #epoch ~= 36 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {ARGV[1]}
end
local size = redis.pcall('STRLEN', KEYS[2])
if type(size) ~= 'number' or size == 0 or size > tonumber(ARGV[3]) then return {epoch} end
return {epoch, redis.call('GET', KEYS[2]), redis.call('PTTL', KEYS[2])}
`);

/** KEYS: epoch, answer. ARGV: the epoch that the answer is of, the answer, its milliseconds, how long an epoch lives. */
const writeScript = defineScript(`
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`);

/**
 * Redis as a second memory of answers, which a call asks for a few milliseconds at most. Every answer is of an epoch, a
 * random word that each upstream has there: to forget all its answers is to forget the word. While Redis is gone, slow
 * or full, nothing is found and nothing is kept there, and after a few tries it is not asked for a while.
 */
export function createRedisAnswers(log: Log, times: RedisAnswersTimes = {}): RedisAnswers {
  const { boundMs = 25, pauseMs = 1_000, currentMs = 1_000 } = times;
  const lookups = { hit: 0, miss: 0, late: 0, failed: 0, unusable: 0, skipped: 0 };
  const writes = { written: 0, outdated: 0, failed: 0, skipped: 0 };
  const warn = throttledWarning(log, 'cache.alone');
  let redis: SharedRedis | null = null;
  let looks = 0;
  let bytesUnderWay = 0;
  let lateInARow = 0;
  let pauses = 0;
  let pausedUntil = 0;
  let writesPausedUntil = 0;

  function pause(why: string): void {
    const now = performance.now();
    if (now < pausedUntil) return;
    const forMs = pauseMs * Math.min(longestPause, 2 ** pauses);
    pauses = Math.min(pauses + 1, 10);
    pausedUntil = now + forMs;
    warn({ why, pauseSeconds: forMs / 1_000 });
  }

  function answeredInTime(): void {
    lateInARow = 0;
    if (pauses === 0) return;
    pauses = 0;
    log.info('cache.shared');
  }

  function shelf(origin: string): SharedShelf {
    const id = createHash('sha256').update(origin).digest('base64url').slice(0, 22);
    let onForgotten = (): void => {};
    let epoch: string | null = null;
    let seenAt = Number.NEGATIVE_INFINITY;
    let isCleared = true;
    let clears = 0;
    let clearAgainAt = 0;

    function noteEpoch(found: string): void {
      seenAt = performance.now();
      const before = epoch;
      epoch = found;
      if (before !== null && before !== found) onForgotten();
    }

    async function tellClear(): Promise<void> {
      clearAgainAt = performance.now() + pauseMs;
      const asked = redis;
      if (asked === null || !asked.isUp) return;
      const last = ++clears;
      try {
        await asked.send('DEL', [`${asked.prefix}answers:${id}`]);
        if (last === clears) isCleared = true;
      } catch {
        // Said again before anything is asked for.
      }
    }

    async function write(asked: SharedRedis, key: string, json: string, px: number, ticket: string): Promise<void> {
      const bytes = Buffer.byteLength(json);
      bytesUnderWay += bytes;
      const keys = [`${asked.prefix}answers:${id}`, `${asked.prefix}answer:${id}:${key}`];
      try {
        const done = await asked.run(writeScript, keys, [ticket, `1 ${ticket} ${px}\n${json}`, px, epochLivesMs]);
        writes[done === 1 ? 'written' : 'outdated']++;
      } catch {
        writes.failed++;
        writesPausedUntil = performance.now() + pauseMs;
        warn({ why: 'Redis does not take what is written', pauseSeconds: pauseMs / 1_000 });
      } finally {
        bytesUnderWay -= bytes;
      }
    }

    function isUsable(): boolean {
      if (redis === null || !redis.isUp) return false;
      const now = performance.now();
      if (!isCleared && now >= clearAgainAt) void tellClear();
      // After a pause one look tries whether it is over.
      return isCleared && now >= pausedUntil && looks < (pauses === 0 ? mostLooks : 1);
    }

    return {
      get isCurrent() {
        return performance.now() - seenAt < currentMs || !isUsable();
      },
      onForgotten(listener) {
        onForgotten = listener;
      },
      get(key, method, found) {
        const asked = redis;
        if (asked === null || !isUsable()) {
          lookups.skipped++;
          return false;
        }
        let waits = true;
        const finish = (result: LookupResult, answer: FoundAnswer | null, ticket: string | null): void => {
          if (!waits) return;
          waits = false;
          clearTimeout(timer);
          lookups[result]++;
          found(answer, ticket);
        };
        const timer = setTimeout(() => {
          lateInARow++;
          if (lateInARow >= lateOnesToPause || pauses > 0) pause('Redis is slow');
          finish('late', null, null);
        }, boundMs);
        looks++;
        const keys = [`${asked.prefix}answers:${id}`, `${asked.prefix}answer:${id}:${key}`];
        asked.run(readScript, keys, [randomUUID(), epochLivesMs, largestBytes]).then(
          (answer) => {
            looks--;
            if (asked !== redis || !isCleared) return finish('failed', null, null);
            if (waits) answeredInTime();
            const [now, text, leftMs] = Array.isArray(answer) ? (answer as unknown[]) : [];
            if (typeof now !== 'string') return finish('failed', null, null);
            noteEpoch(now);
            if (text === undefined) return finish('miss', null, now);
            const kept = parseSharedAnswer(text, leftMs, method);
            if (kept === null) return finish('unusable', null, now);
            return kept.epoch === now ? finish('hit', kept, now) : finish('miss', null, now);
          },
          () => {
            looks--;
            if (asked === redis) pause('Redis did not answer, or does not take what is written');
            finish('failed', null, null);
          },
        );
        return true;
      },
      put(key, json, ttlMs, ticket) {
        const now = performance.now();
        const asked = redis;
        const bytes = Buffer.byteLength(json);
        const isTooMuch = bytes > largestBytes - 200 || bytesUnderWay + bytes > mostWrittenAtOnceBytes;
        if (
          asked === null ||
          !asked.isUp ||
          !isCleared ||
          isTooMuch ||
          now < Math.max(writesPausedUntil, pausedUntil)
        ) {
          writes.skipped++;
          return;
        }
        void write(asked, key, json, Math.max(1, Math.round(ttlMs)), ticket);
      },
      clear() {
        epoch = null;
        isCleared = false;
        void tellClear();
      },
    };
  }

  return {
    use(connection) {
      if (connection === redis) return;
      redis = connection;
      // One that comes back is asked at once.
      connection?.onUp(() => {
        if (connection === redis) pausedUntil = 0;
      });
    },
    shelf,
    lookups,
    writes,
  };
}
