import { randomUUID } from 'node:crypto';
import type { Log } from '../observe/log.ts';
import { throttledWarning } from '../observe/throttled-warning.ts';
import { createEventBudget, type EventBudget } from './event-log.ts';
import { Session } from './session.ts';
import type { SharedSession, SharedSessions } from './shared-sessions.ts';

/** How long a call goes on after its client lost the answer stream, so that it may resume. */
const resumeWithinMs = 60_000;
/** What all sessions together keep for resumption, in characters. */
const eventBudgetChars = 64 * 1_048_576;
/** A session silent for this long may be ended to make room for a new one. */
const evictableAfterMs = 30_000;

export interface SessionLimits {
  readonly idleSeconds: number;
  readonly max: number;
}

/** All legacy sessions of this server: bounded in number, ended after silence. */
export class SessionStore {
  readonly #sessions = new Map<string, Session>();
  #idleMs = 0;
  #max = 0;
  readonly #log: Log;
  readonly #onEnd: (sessionId: string) => void;
  readonly #budget: EventBudget = createEventBudget(eventBudgetChars);
  #timer: NodeJS.Timeout | undefined;
  readonly #warnOfForeign: (details: Readonly<Record<string, unknown>>) => void;
  readonly #makeId: () => string;
  #shared: SharedSessions | null = null;
  #closing = false;
  /** Keys that were ended so far. */
  #keysEnded = 0;
  #takenOver = 0;

  /** @param makeId gives ids that cannot be guessed; with several workers they tell the session's worker */
  constructor(limits: SessionLimits, log: Log, onEnd: (sessionId: string) => void, makeId: () => string = randomUUID) {
    this.#makeId = makeId;
    this.#log = log;
    this.#warnOfForeign = throttledWarning(log, 'session-of-another-key');
    this.#onEnd = onEnd;
    this.useLimits(limits);
  }

  /** Other limits from now on; sessions beyond a smaller cap live until they end. */
  useLimits({ idleSeconds, max }: SessionLimits): void {
    this.#idleMs = idleSeconds * 1_000;
    this.#max = max;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#sweep(), Math.min(15_000, this.#idleMs / 4));
    this.#timer.unref();
  }

  /** From now on sessions that are shared are left there for other servers; null: nowhere. */
  useShared(shared: SharedSessions | null): void {
    this.#shared = shared;
  }

  /** Sessions of other servers that this one went on with; null where none are shared. */
  get takenOver(): number | null {
    return this.#shared === null ? null : this.#takenOver;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** For what a backend has for a session: no key is involved. */
  get(id: string): Session | undefined {
    return this.#sessions.get(id);
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  /** Opens a session; null when the cap is reached and every session is in use. */
  open(keyId: string, revision: string, clientCapabilities: Record<string, unknown>): Session | null {
    if (this.#sessions.size >= this.#max && !this.#makeRoom(keyId)) return null;
    const session = new Session(this.#makeId(), keyId, revision, clientCapabilities, this.#budget);
    this.#sessions.set(session.id, session);
    return session;
  }

  /** The session, if it exists and belongs to this key. A foreign key learns nothing but "unknown". */
  find(id: string, keyId: string): Session | null {
    const session = this.#sessions.get(id);
    if (session === undefined) return null;
    if (session.keyId !== keyId) {
      this.#warnOfForeign({ keyId });
      return null;
    }
    session.touch();
    return session;
  }

  /** Lets other servers go on with it when this one is gone. */
  share(session: Session): void {
    if (this.#shared === null) return;
    session.isShared = true;
    session.toldMs = performance.now();
    this.#shared.put(session);
  }

  /** Something of it is here alone: nobody else could go on with it. */
  unshare(session: Session): void {
    if (!session.isShared) return;
    session.isShared = false;
    this.#shared?.remove(session.id);
  }

  /**
   * Asks for a session that another server has left. `found` is called once, within a bounded time.
   * @returns false where there is nothing to ask, and `found` is not called
   */
  recall(id: string, keyId: string, found: (session: Session | null) => void): boolean {
    if (this.#shared === null || this.#sessions.has(id)) return false;
    const keysEnded = this.#keysEnded;
    return this.#shared.take(id, keyId, (given) => {
      const isKept = !this.#closing && keysEnded === this.#keysEnded;
      found(given === null || !isKept ? null : this.#goOnWith(id, keyId, given));
    });
  }

  #goOnWith(id: string, keyId: string, given: SharedSession): Session | null {
    const known = this.find(id, keyId);
    if (known !== null) return known;
    if (this.#sessions.size >= this.#max && !this.#makeRoom(keyId)) return null;
    const session = new Session(id, keyId, given.revision, given.clientCapabilities, this.#budget, given.moves);
    session.isShared = true;
    session.toldMs = performance.now();
    this.#sessions.set(id, session);
    this.#takenOver++;
    this.#log.debug('session-taken-over', { keyId, moves: given.moves });
    return session;
  }

  /** Why a session was not found, for the operator and not for the client. */
  describeMissing(id: string): string {
    return this.#sessions.has(id) ? 'session of another key' : 'unknown session';
  }

  end(session: Session): void {
    if (!this.#sessions.delete(session.id)) return;
    session.end();
    this.#onEnd(session.id);
    // A server that stops leaves its sessions to the others.
    if (session.isShared && !this.#closing) this.#shared?.remove(session.id);
  }

  /** Ends every session of a key: it was revoked. */
  endAllOf(keyId: string): void {
    this.#keysEnded++;
    for (const session of this.#sessions.values()) if (session.keyId === keyId) this.end(session);
  }

  close(): void {
    this.#closing = true;
    clearInterval(this.#timer);
    for (const session of this.#sessions.values()) this.end(session);
  }

  #sweep(): void {
    const now = performance.now();
    for (const session of this.#sessions.values()) {
      session.giveUpLostAnswers(now - resumeWithinMs);
      if (now - session.lastSeenMs >= this.#idleMs && !session.isActive) this.end(session);
    }
    this.#refreshShared(now);
  }

  #refreshShared(now: number): void {
    if (this.#shared === null) return;
    const used: Session[] = [];
    for (const session of this.#sessions.values()) {
      if (!session.isShared || (session.lastSeenMs <= session.toldMs && !session.isActive)) continue;
      session.toldMs = now;
      used.push(session);
    }
    this.#shared.refresh(used, (id) => {
      const session = this.#sessions.get(id);
      // Another server goes on with it; what is under way here comes to its end first.
      if (session !== undefined && !session.isActive) this.end(session);
    });
  }

  /**
   * Ends silent sessions of the key that holds the most, longest silent first: abandoned sessions must not
   * lock everyone out until their time is over, and one busy key must not push out the others. Where none is silent,
   * a key that holds several times as many as the one that asks gives up some that nothing runs in.
   */
  #makeRoom(keyId: string): boolean {
    const silentSince = performance.now() - Math.min(evictableAfterMs, this.#idleMs / 2);
    const idle = [...this.#sessions.values()].filter((session) => !session.isActive);
    const silent = idle.filter((session) => session.lastSeenMs <= silentSince);
    const own = idle.filter((session) => session.keyId === keyId).length;
    // Who holds more than half makes room among its own.
    const mayEnd = own > this.#max / 2 ? silent.filter((session) => session.keyId === keyId) : silent;
    let ofHeaviest = heaviestKey(mayEnd);
    if (ofHeaviest.length === 0) {
      ofHeaviest = heaviestKey(idle);
      if (ofHeaviest.length <= 2 * (own + 1)) return false;
    }
    // Some at once, so that the search is not repeated for every new session.
    const ended = ofHeaviest
      .sort((a, b) => a.lastSeenMs - b.lastSeenMs)
      .slice(0, Math.max(1, Math.ceil(this.#max / 100)));
    for (const session of ended) this.end(session);
    this.#log.warn('sessions-ended-for-room', { ended: ended.length, max: this.#max });
    return true;
  }
}

/** Those of the key that has the most of them. */
function heaviestKey(sessions: readonly Session[]): Session[] {
  const perKey = new Map<string, Session[]>();
  let heaviest: Session[] = [];
  for (const session of sessions) {
    const own = perKey.get(session.keyId) ?? [];
    own.push(session);
    perKey.set(session.keyId, own);
    if (own.length > heaviest.length) heaviest = own;
  }
  return heaviest;
}
