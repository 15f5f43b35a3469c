import { createUnshared, type LimitSharing } from './limit-sharing.ts';
import { networkOfAddress } from './network-of-address.ts';

const FAILURES_ALLOWED = 10;
const WINDOW_MS = 60_000;
const LONGEST_WAIT_SECONDS = 60;
const MOST_ADDRESSES = 10_000;

export interface GuessBackoff {
  /** Counts a wrong key. Seconds that this address should wait, or 0 while it may still be a slip. */
  failed(address: string): number;
  /** Addresses remembered. */
  readonly size: number;
}

interface Guesser {
  failures: number;
  sinceMs: number;
  waitSeconds: number;
  quietFromMs: number;
}

/**
 * Slows down guessing per address: after 10 wrong keys within a minute the wait starts at a second and doubles up
 * to a minute, until the address has left the door alone for a minute. At most 10,000 addresses are remembered,
 * the longest silent go first. Only failures come here, so that nobody behind the same NAT is locked out.
 * With `sharing` the failures at other processes count too.
 * @param now epoch ms.
 * @param topic what the processes tell each other; one for each kind of secret, whose slips do not add up
 */
export function createGuessBackoff(
  now: () => number,
  sharing: LimitSharing | null = null,
  topic: 'wrong-keys' | 'wrong-tokens' = 'wrong-keys',
): GuessBackoff {
  const guessers = new Map<string, Guesser>();
  const unshared = sharing === null ? null : createUnshared(topic, sharing);

  /** One failure, or several that were seen elsewhere. */
  function count(source: string, failures: number): number {
    const nowMs = now();
    let guesser = guessers.get(source);
    if (guesser === undefined || isForgiven(guesser, nowMs)) {
      guesser = { failures: 0, sinceMs: nowMs, waitSeconds: 0, quietFromMs: nowMs };
    }
    // To the end of the Map: its order is then the order of the last failure.
    guessers.delete(source);
    guessers.set(source, guesser);
    if (guessers.size > MOST_ADDRESSES) {
      for (const oldest of guessers.keys()) {
        guessers.delete(oldest);
        break;
      }
    }
    // Beyond these the wait is the longest anyway.
    for (let left = Math.min(failures, 2 * FAILURES_ALLOWED); left > 0; left--) {
      guesser.failures += 1;
      if (guesser.failures > FAILURES_ALLOWED) {
        guesser.waitSeconds = Math.min(LONGEST_WAIT_SECONDS, Math.max(1, guesser.waitSeconds * 2));
      }
    }
    guesser.quietFromMs = nowMs + guesser.waitSeconds * 1_000;
    return guesser.waitSeconds;
  }

  sharing?.onRemote(topic, (deltas) => {
    for (const [source, failures] of deltas) count(source, failures);
  });

  // Of all together, where something keeps their sum.
  sharing?.onTotal?.(topic, { kind: 'window', windowMs: WINDOW_MS }, (source, failures) => {
    const guesser = guessers.get(source);
    const known = guesser === undefined || isForgiven(guesser, now()) ? 0 : guesser.failures;
    if (failures > known) count(source, failures - known);
  });

  return {
    failed(address) {
      const source = networkOfAddress(address);
      unshared?.add(source, 1, FAILURES_ALLOWED / 2);
      return count(source, 1);
    },
    get size() {
      return guessers.size;
    },
  };
}

function isForgiven(guesser: Guesser, nowMs: number): boolean {
  if (guesser.waitSeconds === 0) return nowMs - guesser.sinceMs >= WINDOW_MS;
  return nowMs - guesser.quietFromMs >= WINDOW_MS;
}
