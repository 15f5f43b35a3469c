import { createHash } from 'node:crypto';
import type { Log } from '../observe/log.ts';
import { throttledWarning } from '../observe/throttled-warning.ts';
import { legacyRevisions } from '../protocol/revisions.ts';
import type { SharedSession, SharedSessions, ToldSession } from '../protocol/shared-sessions.ts';
import { defineScript, type SharedRedis } from './shared-redis.ts';

export interface RedisSessions extends SharedSessions {
  /** From now on they are left there; null: nowhere. */
  use(redis: SharedRedis | null, idleSeconds: number): void;
}

/** A request waits this long for a session of another server; then it is unknown. */
const boundMs = 500;
const mostLooks = 200;
const mostAtOnce = 500;
/** Longer than a server may need to tell that one is still used. */
const spareMs = 60_000;
const largestChars = 20_000;
/** As ids are made here: a UUID, perhaps with a worker before and a server after it. */
const idForm = /^[\w.-]{36,200}$/;

/** KEYS: session. ARGV: process, key, data, times moved, milliseconds. */
const putScript = defineScript(`
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'key', ARGV[2], 'data', ARGV[3], 'moves', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
`);

/** KEYS: session. ARGV: process. */
const removeScript = defineScript(`
if redis.pcall('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`);

/** KEYS: session. ARGV: process, key, milliseconds, most characters. Gives data and times moved; of another key, 'foreign'. */
const takeScript = defineScript(`
local key = redis.pcall('HGET', KEYS[1], 'key')
if type(key) ~= 'string' then return false end
if key ~= ARGV[2] then return 'foreign' end
if redis.call('HSTRLEN', KEYS[1], 'data') > tonumber(ARGV[4]) then return false end
redis.call('HSET', KEYS[1], 'owner', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {redis.call('HGET', KEYS[1], 'data'), redis.call('HINCRBY', KEYS[1], 'moves', 1)}
`);

/** KEYS: sessions. ARGV: process, milliseconds. For each: 0 not there, 1 its own, 2 of another process. */
const refreshScript = defineScript(`
local out = {}
for i, key in ipairs(KEYS) do
  local owner = redis.pcall('HGET', key, 'owner')
  if owner == ARGV[1] then
    redis.call('PEXPIRE', key, ARGV[2])
    out[i] = 1
  elseif type(owner) == 'string' then
    out[i] = 2
  else
    out[i] = 0
  end
end
return out
`);

/**
 * Redis as the place where servers leave their legacy sessions: who they belong to and what initialize agreed on. It is
 * asked for ids that are not known, and never on the way of a call of a session that is.
 * @param process a name that no other process has
 */
export function createRedisSessions(process: string, log: Log): RedisSessions {
  const warnOfForeign = throttledWarning(log, 'session-of-another-key');
  let redis: SharedRedis | null = null;
  let livesMs = spareMs;
  let looks = 0;

  /** Who reads Redis learns no ids. */
  const keyOf = (at: SharedRedis, id: string): string =>
    `${at.prefix}session:${createHash('sha256').update(id).digest('base64url')}`;

  function put({ id, keyId, revision, clientCapabilities, moves }: ToldSession): void {
    if (redis === null || !redis.isUp) return;
    const data = JSON.stringify({ revision, clientCapabilities });
    // The connection counts and says what failed; it is told again with the next refresh.
    redis.run(putScript, [keyOf(redis, id)], [process, keyId, data, moves, livesMs]).catch(() => {});
  }

  async function refreshSome(
    at: SharedRedis,
    some: readonly ToldSession[],
    moved: (id: string) => void,
  ): Promise<void> {
    const keys = some.map(({ id }) => keyOf(at, id));
    const answer = (await at.run(refreshScript, keys, [process, livesMs])) as unknown[];
    for (const [index, session] of some.entries()) {
      if (answer[index] === 0) put(session);
      else if (answer[index] === 2) moved(session.id);
    }
  }

  async function ask(at: SharedRedis, id: string, keyId: string): Promise<SharedSession | null> {
    looks++;
    try {
      const answer = await at.run(takeScript, [keyOf(at, id)], [process, keyId, livesMs, largestChars]);
      if (answer === 'foreign') warnOfForeign({ keyId });
      return parseSession(answer);
    } catch {
      return null;
    } finally {
      looks--;
    }
  }

  return {
    use(connection, idleSeconds) {
      redis = connection;
      livesMs = idleSeconds * 1_000 + spareMs;
    },
    put,
    remove(id) {
      if (redis?.isUp === true) redis.run(removeScript, [keyOf(redis, id)], [process]).catch(() => {});
    },
    take(id, keyId, found) {
      const asked = redis;
      if (asked === null || !asked.isUp || looks >= mostLooks || !idForm.test(id)) return false;
      let waits = true;
      const finish = (session: SharedSession | null): void => {
        if (!waits) return;
        waits = false;
        clearTimeout(timer);
        found(session);
      };
      const timer = setTimeout(() => finish(null), boundMs);
      void ask(asked, id, keyId).then(finish);
      return true;
    },
    refresh(sessions, moved) {
      const asked = redis;
      if (asked === null || !asked.isUp) return;
      for (let from = 0; from < sessions.length; from += mostAtOnce) {
        refreshSome(asked, sessions.slice(from, from + mostAtOnce), moved).catch(() => {});
      }
    },
  };
}

/** What another server has left, or somebody else: anything but a session is null. Pure. */
export function parseSession(answer: unknown): SharedSession | null {
  if (!Array.isArray(answer)) return null;
  const [data, moves] = answer as unknown[];
  if (typeof data !== 'string' || typeof moves !== 'number' || !Number.isSafeInteger(moves) || moves < 1) return null;
  try {
    const read: unknown = JSON.parse(data);
    if (!isRecord(read)) return null;
    const { revision, clientCapabilities } = read;
    if (typeof revision !== 'string' || !legacyRevisions.includes(revision) || !isRecord(clientCapabilities))
      return null;
    return { revision, clientCapabilities, moves };
  } catch {
    return null;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
