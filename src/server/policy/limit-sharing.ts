/** How much of one bucket was consumed: its name and the number of tokens. */
export type LimitDelta = readonly [bucket: string, amount: number];

/**
 * Lets limiters of several processes count together. Each decides alone and at once; what it let through is told to the
 * others a moment later, and they take it off their own. Knows no transport. A limiter that starts late knows nothing
 * of what was consumed before.
 */
export interface LimitSharing {
  /** Tells the others what was consumed here since the last time. `topic` names the limiter. */
  publish(topic: string, deltas: readonly LimitDelta[]): void;
  /** Called with what was consumed elsewhere; one listener for each topic, the last one counts. */
  onRemote(topic: string, listener: (deltas: readonly LimitDelta[]) => void): void;
  /**
   * Where something keeps the sums of all: what is used of a bucket, everything published here included, and how long
   * its window still runs. Answers to `publish`, for the buckets that were published.
   */
  onTotal?(topic: string, shape: LimitShape, listener: (bucket: string, used: number, leftMs: number) => void): void;
}

/** How what is used of a bucket goes away again: evenly, or all at the end of its window. */
export type LimitShape =
  | { readonly kind: 'bucket'; readonly capacity: number; readonly tokensPerMs: number }
  | { readonly kind: 'window'; readonly windowMs: number };

/** What was consumed here and is not told yet. */
export interface Unshared {
  /** `urgentFrom`: with this much of one bucket untold it is told at the end of this turn. */
  add(bucket: string, amount: number, urgentFrom: number): void;
  /** What of a bucket is not told yet. */
  amountOf(bucket: string): number;
}

/** At most this often, unless much was consumed at once. */
const shareEveryMs = 50;
/** Buckets in one message. */
const mostAtOnce = 5_000;

/** Gathers what one limiter consumes and publishes it every 50 ms, or at once when one bucket is being emptied. */
export function createUnshared(topic: string, sharing: LimitSharing): Unshared {
  let untold = new Map<string, number>();
  let timer: NodeJS.Timeout | null = null;
  let soon: NodeJS.Immediate | null = null;

  function tell(): void {
    if (timer !== null) clearTimeout(timer);
    if (soon !== null) clearImmediate(soon);
    timer = null;
    soon = null;
    const deltas = [...untold];
    untold = new Map();
    for (let at = 0; at < deltas.length; at += mostAtOnce) sharing.publish(topic, deltas.slice(at, at + mostAtOnce));
  }

  return {
    amountOf: (bucket) => untold.get(bucket) ?? 0,
    add(bucket, amount, urgentFrom) {
      const sum = (untold.get(bucket) ?? 0) + amount;
      untold.set(bucket, sum);
      if (sum >= urgentFrom) soon ??= setImmediate(tell);
      else timer ??= setTimeout(tell, shareEveryMs).unref();
    },
  };
}

/** Stands for a sharing that can be exchanged while limiters hold on to it. */
export function createSwitchedSharing(): LimitSharing & { use(sharing: LimitSharing | null): void } {
  const listeners: ((sharing: LimitSharing) => void)[] = [];
  let now: LimitSharing | null = null;
  const listen = (listener: (sharing: LimitSharing) => void): void => {
    listeners.push(listener);
    if (now !== null) listener(now);
  };
  return {
    publish: (topic, deltas) => now?.publish(topic, deltas),
    onRemote: (topic, listener) => listen((sharing) => sharing.onRemote(topic, listener)),
    onTotal: (topic, shape, listener) => listen((sharing) => sharing.onTotal?.(topic, shape, listener)),
    use(sharing) {
      if (sharing === now) return;
      now = sharing;
      if (sharing !== null) for (const listener of listeners) listener(sharing);
    },
  };
}

/** Tells all of them, and listens to all of them. Null for none. */
export function combineSharing(given: readonly (LimitSharing | null)[]): LimitSharing | null {
  const all = given.filter((sharing) => sharing !== null);
  const [only] = all;
  if (all.length < 2) return only ?? null;
  return {
    publish(topic, deltas) {
      for (const sharing of all) sharing.publish(topic, deltas);
    },
    onRemote(topic, listener) {
      for (const sharing of all) sharing.onRemote(topic, listener);
    },
    onTotal(topic, shape, listener) {
      for (const sharing of all) sharing.onTotal?.(topic, shape, listener);
    },
  };
}
