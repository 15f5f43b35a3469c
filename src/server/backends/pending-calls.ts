import type { BackendCall, CancelCall, RpcId } from '../types.ts';
import { isSameSession } from './abandoned-calls.ts';
import type { LineWriter } from './line-writer.ts';

/** One client's call on its way to a child. */
export interface Pending {
  readonly id: number;
  readonly call: BackendCall;
  readonly deadline: number;
  /** The caller's own token, when it asked for progress. */
  readonly progressToken: RpcId | undefined;
  /** Rounds of input_required already answered for this call. */
  readonly rounds: number;
  /** What is still to be written. */
  line: string;
  /** What stands for the call now: the same call under another id, or how to cancel it elsewhere. */
  next: Pending | CancelCall | null;
}

/** A call that was accepted but not sent. Whoever takes it over says how to cancel it from then on. */
export interface UnsentCall {
  readonly call: BackendCall;
  readonly handOver: (cancel: CancelCall) => void;
}

export interface PendingOptions {
  readonly maxConcurrency: number;
  readonly timeoutMs: number;
  readonly writer: LineWriter;
  /** Time is up for a call; it is out of the table already. `sent`: the child may be working on it. */
  readonly onExpired: (pending: Pending, sent: boolean) => void;
  /** The child has read nothing for as long as a call may take. */
  readonly onStuck: () => void;
}

/**
 * The calls of clients on one child: those that were sent, and a bounded queue
 * of those that wait because the child is at its limit or does not read.
 * Ids grow and all calls have the same time, so that the order of insertion is
 * also the order of deadlines and one timer serves all.
 */
export class PendingCalls {
  readonly #options: PendingOptions;
  readonly #sent = new Map<number, Pending>();
  readonly #queue = new Map<number, Pending>();
  #queuedCharacters = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: PendingOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#sent.size + this.#queue.size;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** The queue is full: nothing more is taken. */
  get isFull(): boolean {
    return (this.#queue.size >= maxQueuedCalls || this.#queuedCharacters >= maxQueuedCharacters) && !this.#maySend();
  }

  /** Sends the call now or when it is its turn. */
  add(id: number, call: BackendCall, progressToken: RpcId | undefined, line: string, rounds: number): Pending {
    const maySend = this.#queue.size === 0 && this.#maySend();
    const pending = this.#newPending(id, call, progressToken, line, rounds);
    if (maySend) {
      this.#send(pending);
    } else {
      this.#queue.set(id, pending);
      this.#queuedCharacters += line.length;
    }
    return pending;
  }

  /** Keeps the place of a sent call while its client is being asked, so that cancel and time-out find it. */
  addAsking(id: number, before: Pending): Pending {
    const pending = this.#newPending(id, before.call, undefined, '', before.rounds);
    before.next = pending;
    this.#sent.set(id, pending);
    return pending;
  }

  find(id: number): Pending | undefined {
    return this.#sent.get(id);
  }

  /** Takes a sent call out. */
  take(id: number): Pending | undefined {
    const pending = this.#sent.get(id);
    if (pending !== undefined) this.#sent.delete(id);
    return pending;
  }

  /** Takes a call out that its client gave up. Returns what the child may be working on for it, or null. */
  cancel(given: Pending, reason: string): Pending | null {
    let pending = given;
    while (pending.next !== null) {
      if (typeof pending.next === 'function') {
        pending.next(reason);
        return null;
      }
      pending = pending.next;
    }
    if (this.#unqueue(pending)) return null;
    return this.#sent.delete(pending.id) ? pending : null;
  }

  sendQueued(): void {
    while (this.#queue.size > 0 && this.#maySend()) {
      const first = this.#queue.values().next();
      if (first.done === true) return;
      this.#unqueue(first.value);
      this.#send(first.value);
    }
  }

  /**
   * The only call in flight, or the latest of several of the same session: the
   * one that what the child sends on its own must belong to. Null otherwise. Calls
   * may be left out of the question.
   */
  onlyCall(isExcluded: (call: BackendCall) => boolean = () => false): BackendCall | null {
    let found: BackendCall | null = null;
    for (const { call } of this.#sent.values()) {
      if (isExcluded(call)) continue;
      if (found !== null && !isSameSession(found.sessionId, call.sessionId)) return null;
      found = call;
    }
    return found;
  }

  /** Whether this holds for every call that was sent. */
  every(holds: (call: BackendCall) => boolean): boolean {
    for (const { call } of this.#sent.values()) if (!holds(call)) return false;
    return true;
  }

  /** Empties the table. */
  close(): { readonly sent: readonly BackendCall[]; readonly unsent: readonly UnsentCall[] } {
    if (this.#timer !== null) clearTimeout(this.#timer);
    const sent = Array.from(this.#sent.values(), (pending) => pending.call);
    const unsent = Array.from(this.#queue.values(), (pending) => ({
      call: pending.call,
      handOver: (cancel: CancelCall) => {
        pending.next = cancel;
      },
    }));
    this.#sent.clear();
    this.#queue.clear();
    return { sent, unsent };
  }

  #maySend(): boolean {
    return !this.#options.writer.full && this.#sent.size < this.#options.maxConcurrency;
  }

  #newPending(id: number, call: BackendCall, progressToken: RpcId | undefined, line: string, rounds: number): Pending {
    const deadline = Date.now() + this.#options.timeoutMs;
    if (this.#timer === null) this.#armTimer(deadline);
    return { id, call, deadline, progressToken, rounds, line, next: null };
  }

  #send(pending: Pending): void {
    this.#sent.set(pending.id, pending);
    this.#options.writer.write(pending.line);
    pending.line = '';
  }

  #unqueue(pending: Pending): boolean {
    if (!this.#queue.delete(pending.id)) return false;
    this.#queuedCharacters -= pending.line.length;
    return true;
  }

  /** Waits for the oldest call, and is not touched when calls come and go. */
  #armTimer(deadline: number): void {
    this.#timer = setTimeout(() => this.#expire(), Math.max(1, deadline - Date.now()));
    this.#timer.unref();
  }

  #expire(): void {
    this.#timer = null;
    const now = Date.now();
    const { timeoutMs, writer, onExpired, onStuck } = this.#options;
    for (const pending of this.#queue.values()) {
      if (pending.deadline > now) break;
      this.#unqueue(pending);
      onExpired(pending, false);
    }
    for (const pending of this.#sent.values()) {
      if (pending.deadline > now) break;
      this.#sent.delete(pending.id);
      onExpired(pending, true);
    }
    const { blockedSince } = writer;
    const stuckAt = blockedSince === 0 ? Number.POSITIVE_INFINITY : blockedSince + Math.min(stuckInputMs, timeoutMs);
    if (stuckAt <= now) {
      onStuck();
      return;
    }
    const first = this.#sent.values().next();
    const oldest = first.done === true ? this.#queue.values().next() : first;
    const next = Math.min(stuckAt, oldest.done === true ? Number.POSITIVE_INFINITY : oldest.value.deadline);
    if (next !== Number.POSITIVE_INFINITY && this.#timer === null) this.#armTimer(next);
  }
}

const maxQueuedCalls = 1_024;
const maxQueuedCharacters = 64 * 1_024 * 1_024;
/** A child that has read nothing for this long while calls ran out of time will not come back. */
const stuckInputMs = 30_000;
