import { createHash } from 'node:crypto';
import type { Redis, RedisOptions } from 'ioredis';
import type { Log } from '../observe/log.ts';
import { throttledWarning } from '../observe/throttled-warning.ts';
import type { RedisTarget } from './redis-target.ts';

/**
 * The one connection to Redis of this process, for everything that replicas share. Nothing ever waits for it: while it
 * is down, or owes too many answers, a command is refused at once, and an answer that does not come within a second
 * ends the connection.
 */
export interface SharedRedis {
  /** Commands are taken now. Look here first where a refusal would be common: it costs an Error. */
  readonly isUp: boolean;
  /** Every key starts with this. */
  readonly prefix: string;
  /** Commands that failed, and connections that were lost or not made. */
  readonly errors: number;
  /**
   * Sends one command; what is sent within one turn goes out in one write.
   * @throws RedisUnavailable (as a rejection) when it was not answered; the error of Redis when it was refused.
   */
  send(command: string, args: readonly (string | number | Buffer)[]): Promise<unknown>;
  /** Runs a script, by its digest where Redis knows it. Rejects as `send`. */
  run(script: RedisScript, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>;
  /** Called every time that Redis can be used again. */
  onUp(listener: () => void): void;
  close(): void;
}

/** Redis cannot be asked now, or did not answer in time. The command may have run. */
class RedisUnavailable extends Error {
  override name = 'RedisUnavailable';
}

export interface RedisScript {
  readonly text: string;
  readonly digest: string;
}

/** A Lua script and the digest that Redis keeps it under. */
export function defineScript(text: string): RedisScript {
  return { text, digest: createHash('sha1').update(text).digest('hex') };
}

export interface SharedRedisTimes {
  /** An answer takes at most this long. */
  readonly answerMs?: number;
  /** A quiet connection is asked for a sign of life this often. */
  readonly pingMs?: number;
  /** Longest wait before the next try to connect; the first one is a twentieth of it. */
  readonly retryMs?: number;
}

/** Commands without an answer; more are refused. */
const mostUnanswered = 1_000;

/** Connects in the background and keeps at it; the client is loaded only now. Never throws for a Redis that is not there. */
export function createSharedRedis(target: RedisTarget, log: Log, times: SharedRedisTimes = {}): SharedRedis {
  const { answerMs = 1_000, pingMs = 1_000, retryMs = 2_000 } = times;
  const warn = throttledWarning(log, 'redis.unavailable');
  const listeners: (() => void)[] = [];
  let client: Redis | null = null;
  let isUp = false;
  let closed = false;
  let errors = 0;
  let unanswered = 0;
  let again: NodeJS.Timeout | undefined;

  function failed(why: string): void {
    errors++;
    warn({ why, redis: target.shown });
  }

  function lost(): void {
    if (!isUp) return;
    isUp = false;
    if (!closed) failed('the connection was lost');
  }

  async function connect(): Promise<void> {
    const { Redis: Client } = await import('ioredis');
    if (closed) return;
    const options: Omit<RedisOptions, 'replyMapping'> = {
      ...target.options,
      connectTimeout: 2_000,
      commandTimeout: answerMs,
      sentinelCommandTimeout: answerMs,
      // A command for a Redis that is not there is of no use when it comes back.
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      enableAutoPipelining: false,
      disableClientInfo: true,
      connectionName: 'mcp-deploy',
      retryStrategy: (tries) => waitBefore(tries, retryMs),
      sentinelRetryStrategy: (tries) => waitBefore(tries, retryMs),
      // The old master after a failover: ask again who is the master.
      reconnectOnError: (error) => (/^(?:READONLY|UNBLOCKED|MASTERDOWN)/.test(error.message) ? 1 : false),
    };
    const redis = new Client(options);
    client = redis;
    redis.on('ready', () => {
      isUp = true;
      log.info('redis.connected', { redis: target.shown });
      for (const listener of listeners) listener();
    });
    redis.on('close', lost);
    // Its client gives up for good when a Sentinel tells of a failover while another is being asked who the master is.
    redis.on('end', () => {
      if (closed) return;
      lost();
      again = setTimeout(() => void redis.connect().catch(() => {}), waitBefore(1, retryMs));
    });
    redis.on('error', (error: Error) => {
      if (!closed) failed(error.message);
    });
  }

  function ask(command: string, args: readonly (string | number | Buffer)[]): Promise<unknown> {
    const redis = client;
    if (redis === null || !isUp) return Promise.reject(new RedisUnavailable('Redis is not connected.'));
    if (unanswered >= mostUnanswered) return Promise.reject(new RedisUnavailable('Redis owes too many answers.'));
    unanswered++;
    return redis.call(command, [...args]).then(
      (answer: unknown) => {
        unanswered--;
        return answer;
      },
      (error: unknown) => {
        unanswered--;
        throw told(redis, error);
      },
    );
  }

  /** What went wrong, without the command: its values are nobody's business. */
  function told(redis: Redis, error: unknown): Error {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof Error && error.name === 'ReplyError') {
      if (message.startsWith('NOSCRIPT')) return new Error(message);
      failed(message);
      return new Error(message);
    }
    // One that hangs, stopped or behind a dead network, is left and looked for again.
    if (message === 'Command timed out' && redis === client && isUp) {
      lost();
      redis.disconnect(true);
    }
    return new RedisUnavailable(message);
  }

  const ping = setInterval(() => {
    if (isUp) ask('PING', []).catch(() => {});
  }, pingMs);
  ping.unref();
  connect().catch((error: unknown) => failed(error instanceof Error ? error.message : String(error)));

  return {
    get isUp() {
      return isUp;
    },
    prefix: target.prefix,
    get errors() {
      return errors;
    },
    send: ask,
    async run(script, keys, args) {
      try {
        return await ask('EVALSHA', [script.digest, keys.length, ...keys, ...args]);
      } catch (error) {
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return ask('EVAL', [script.text, keys.length, ...keys, ...args]);
      }
    },
    onUp(listener) {
      listeners.push(listener);
      if (isUp) listener();
    },
    close() {
      closed = true;
      isUp = false;
      clearInterval(ping);
      clearTimeout(again);
      client?.disconnect();
    },
  };
}

/** Doubles from a twentieth of the longest wait, and differs a little from replica to replica. */
function waitBefore(tries: number, longestMs: number): number {
  const waitMs = Math.min(longestMs, (longestMs / 20) * 2 ** Math.min(tries - 1, 10));
  return Math.round(waitMs * (0.75 + Math.random() / 2));
}
