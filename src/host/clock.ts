import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../apply/ports.ts';

/** The real clock. `sleep` rejects with an AbortError when its signal aborts. */
export function createClock(): Clock {
  return {
    now: () => new Date().toISOString(),
    sleep: (ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }),
    elapsed: () => performance.now(),
  };
}
