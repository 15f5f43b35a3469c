import type { Log } from './backend-log.ts';

export interface BreakerSettings {
  /** Failures in a row that open it. */
  readonly failures: number;
  readonly resetSeconds: number;
  /** Calls that are let through at once to try, and that have to go well. */
  readonly trials: number;
}

export type BreakerState = 'closed' | 'open' | 'half-open';

/** What is shown of one breaker. */
export interface BreakerView {
  /** Name of the upstream, or `tools:NAME` for a declared tool. */
  readonly name: string;
  readonly state: BreakerState;
  /** When it lets calls try again (epoch ms); 0 while it is closed. */
  readonly retryAt: number;
  /** It holds back one caller only, whose calls alone have failed. */
  readonly onlyOneCaller: boolean;
}

/** How a call was let in; given back with its outcome. Below 0: refused. 0: like any other. Above: as a trial. */
export type Ticket = number;
export const REFUSED: Ticket = -1;
const ordinary: Ticket = 0;

/**
 * Closed -> open after failures in a row -> half-open after the reset time, for a bounded number of trial calls ->
 * closed when those go well. It counts calls; whether a process can be started at all is another question, which
 * restart-policy.ts answers.
 *
 * Failures in a row, not their share: as long as some calls go well, refusing all would make things worse. And one
 * caller must not be able to close the way for the others by calls that cannot go well: when all failures in the row
 * are of calls of one caller that reached the upstream, only this caller is held back.
 */
export class CircuitBreaker {
  readonly #name: string;
  readonly #settings: BreakerSettings;
  readonly #log: Log;
  readonly #now: () => number;
  #failures = 0;
  /** Whose calls have failed in this row: null when it is several, or when it cannot be anybody's fault. */
  #culprit: string | null = null;
  #isOpen = false;
  #openFor: string | null = null;
  #retryAt = 0;
  /** Counts the periods of trials, so that a trial of an earlier one says nothing in this one. */
  #period = 0;
  #trialsInFlight = 0;
  #trialsPassed = 0;
  #toldHalfOpen = false;
  /** One event fails many calls at once, such as all that a process had in hand when it ended: it counts once. */
  #countedThisTurn = false;

  constructor(name: string, settings: BreakerSettings, log: Log, now: () => number = Date.now) {
    this.#name = name;
    this.#settings = settings;
    this.#log = log;
    this.#now = now;
  }

  get view(): BreakerView {
    const state = !this.#isOpen ? 'closed' : this.#now() < this.#retryAt ? 'open' : 'half-open';
    return {
      name: this.#name,
      state,
      retryAt: this.#isOpen ? this.#retryAt : 0,
      onlyOneCaller: this.#isOpen && this.#openFor !== null,
    };
  }

  /** Seconds until it may be tried again, at least 1. */
  get retryAfterSeconds(): number {
    return Math.max(1, Math.ceil((this.#retryAt - this.#now()) / 1_000));
  }

  get failures(): number {
    return this.#settings.failures;
  }

  admit(payer: string): Ticket {
    if (!this.#isOpen || (this.#openFor !== null && this.#openFor !== payer)) return ordinary;
    if (this.#now() < this.#retryAt || this.#trialsInFlight + this.#trialsPassed >= this.#settings.trials) {
      return REFUSED;
    }
    if (!this.#toldHalfOpen) {
      this.#toldHalfOpen = true;
      this.#log.info('breaker-half-open', { upstream: this.#name });
    }
    this.#trialsInFlight++;
    return this.#period;
  }

  succeeded(payer: string, ticket: Ticket): void {
    if (ticket !== ordinary) {
      if (ticket !== this.#period || !this.#isOpen) return;
      this.#trialsInFlight--;
      this.#trialsPassed++;
      if (this.#trialsPassed >= this.#settings.trials) this.#close();
    } else if (this.#failures !== 0 && this.#counts(payer)) {
      this.#failures = 0;
      this.#culprit = null;
    }
  }

  /** `reached`: the upstream had the call, so that it may be the fault of what was asked. */
  failed(payer: string, ticket: Ticket, reached: boolean): void {
    if (ticket !== ordinary) {
      if (ticket === this.#period && this.#isOpen) this.#open(this.#openFor);
      return;
    }
    if (!this.#counts(payer)) return;
    const culprit = reached ? payer : null;
    this.#culprit = this.#failures === 0 || this.#culprit === culprit ? culprit : null;
    if (this.#countedThisTurn) return;
    this.#countedThisTurn = true;
    setImmediate(() => (this.#countedThisTurn = false));
    this.#failures++;
    // When the way of one caller is closed already and those of others fail too, it is nobody's fault.
    if (this.#failures >= this.#settings.failures) this.#open(this.#isOpen ? null : this.#culprit);
  }

  /** The call told nothing about the upstream: it was cancelled, or not taken for lack of room. */
  toldNothing(ticket: Ticket): void {
    if (ticket > ordinary && ticket === this.#period) this.#trialsInFlight--;
  }

  /** Calls that were under way when it opened say nothing any more. */
  #counts(payer: string): boolean {
    return !this.#isOpen || (this.#openFor !== null && this.#openFor !== payer);
  }

  #open(openFor: string | null): void {
    this.#isOpen = true;
    this.#openFor = openFor;
    this.#period++;
    this.#trialsInFlight = 0;
    this.#trialsPassed = 0;
    this.#toldHalfOpen = false;
    this.#failures = 0;
    this.#culprit = null;
    const { failures, resetSeconds } = this.#settings;
    this.#retryAt = this.#now() + resetSeconds * 1_000;
    this.#log.warn('breaker-open', {
      upstream: this.#name,
      failures,
      retryInMs: resetSeconds * 1_000,
      ...(openFor === null ? {} : { onlyOneCaller: true }),
    });
  }

  #close(): void {
    this.#isOpen = false;
    this.#openFor = null;
    this.#failures = 0;
    this.#log.info('breaker-closed', { upstream: this.#name });
  }
}
