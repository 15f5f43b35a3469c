/** What a server has to know of a legacy session to go on with it. */
export interface SharedSession {
  readonly revision: string;
  readonly clientCapabilities: Record<string, unknown>;
  /** How often it went from one server to another, this time included. */
  readonly moves: number;
}

/** A session as the server that has it tells it. */
export interface ToldSession extends SharedSession {
  readonly id: string;
  readonly keyId: string;
}

/** Where servers leave their legacy sessions for each other. Nothing here throws or is waited for. */
export interface SharedSessions {
  /** Leaves it there, as one of this server. */
  put(session: ToldSession): void;
  /** Nobody else is to go on with it. Does nothing where another server has taken it over. */
  remove(id: string): void;
  /**
   * Takes a session over from whoever has it, and calls `found` once, within a bounded time: null where there is none
   * of this id and this key.
   * @returns false while it is not worth while to ask: `found` is not called then
   */
  take(id: string, keyId: string, found: (session: SharedSession | null) => void): boolean;
  /**
   * Keeps those that were used alive; what is missing there is put again.
   * @param moved called for those that another server has taken over
   */
  refresh(sessions: readonly ToldSession[], moved: (id: string) => void): void;
}
