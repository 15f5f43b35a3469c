/**
 * Calls that were given up (cancelled, out of time) while the child may still
 * work on them. What the child asks meanwhile may be for them, so it must not
 * be taken for another client's.
 */
export interface AbandonedCalls {
  add(id: number, sessionId: string | null): void;
  /** The child has answered after all. */
  forget(id: number): void;
  /** Whether one of another client than that of `sessionId` may still be at work. */
  hasOthersThan(sessionId: string | null): boolean;
}

/** Beyond this many the oldest are forgotten. */
const maxKept = 1_024;

export function createAbandonedCalls(keptMs: number): AbandonedCalls {
  const calls = new Map<number, { readonly until: number; readonly sessionId: string | null }>();
  return {
    add(id, sessionId) {
      calls.set(id, { until: Date.now() + keptMs, sessionId });
      if (calls.size <= maxKept) return;
      const oldest = calls.keys().next();
      if (oldest.done !== true) calls.delete(oldest.value);
    },
    forget(id) {
      calls.delete(id);
    },
    hasOthersThan(sessionId) {
      const now = Date.now();
      for (const [id, call] of calls) {
        if (call.until <= now) calls.delete(id);
        else if (!isSameSession(call.sessionId, sessionId)) return true;
      }
      return false;
    },
  };
}

/** Two calls without a session may come from different clients, so they never count as the same. */
export function isSameSession(one: string | null, other: string | null): boolean {
  return one !== null && one === other;
}
