/**
 * When a child that ended is started again. Every end in a row doubles the
 * pause; a child that keeps failing at its start is given up for a while, so
 * that a crash loop costs a bounded number of processes.
 */
export interface RestartPolicy {
  /**
   * The child has ended. `failedStart`: it did not get to serve. Tells when to
   * try again, and whether that is a pause after giving up.
   */
  onEnded(nowMs: number, failedStart: boolean): { readonly retryAt: number; readonly broken: boolean };
  /** The child has served long enough to forget its past. */
  onStable(): void;
}

const firstDelayMs = 250;
const maxDelayMs = 30_000;
const failedStartsToBreak = 5;
const failureWindowMs = 60_000;
const brokenMs = 60_000;
/** A child that lives this long is not in a loop. */
export const STABLE_AFTER_MS = 10_000;

/** `random` gives 0..1 and spreads the restarts of several upstreams by 20 %. */
export function createRestartPolicy(random: () => number): RestartPolicy {
  let endsInARow = 0;
  let failedStarts: number[] = [];
  let tripped = false;
  return {
    onEnded(nowMs, failedStart) {
      if (failedStart) {
        failedStarts = failedStarts.filter((at) => nowMs - at < failureWindowMs);
        failedStarts.push(nowMs);
        if (tripped || failedStarts.length >= failedStartsToBreak) {
          tripped = true;
          failedStarts = [];
          endsInARow = 0;
          return { retryAt: nowMs + brokenMs, broken: true };
        }
      } else {
        tripped = false;
      }
      const delayMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(endsInARow, 10));
      endsInARow++;
      return { retryAt: nowMs + Math.round(delayMs * (0.9 + 0.2 * random())), broken: false };
    },
    onStable() {
      endsInARow = 0;
      failedStarts = [];
      tripped = false;
    },
  };
}
