/** An answer that another process has kept. */
export interface FoundAnswer {
  /** JSON text of the result. */
  readonly json: string;
  readonly ageMs: number;
  readonly leftMs: number;
}

/** The answers of one upstream that replicas keep for each other. Nothing here throws. */
export interface SharedShelf {
  /** What lies in memory was not forgotten by others, as far as can be told. */
  readonly isCurrent: boolean;
  /** Another process has forgotten all: what lies in memory is old. One listener. */
  onForgotten(listener: () => void): void;
  /**
   * Calls `found` once, within a few milliseconds, with the answer or null, and with a ticket to keep a new one with;
   * without a ticket it is not to be kept there.
   * @param method of the call that the answer is for
   * @returns false while it is not worth while to ask: `found` is not called then
   */
  get(key: string, method: string, found: (answer: FoundAnswer | null, ticket: string | null) => void): boolean;
  put(key: string, json: string, ttlMs: number, ticket: string): void;
  /** Forgets all answers, for every process. */
  clear(): void;
}
