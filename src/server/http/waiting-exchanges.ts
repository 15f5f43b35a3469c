import type { Exchange } from './exchange.ts';

/** After this long without an answer a POST becomes an event stream, so that keep-alive lines can flow. */
const upgradeAfterMs = 5_000;

/**
 * Exchanges that wait for a backend, oldest first: one timer and a linked list through the exchanges
 * themselves instead of a timer per call.
 */
export class WaitingExchanges {
  #oldest: Exchange | null = null;
  #newest: Exchange | null = null;
  readonly #upgradeAfterMs: number;
  readonly #timer: NodeJS.Timeout;

  constructor(afterMs: number = upgradeAfterMs) {
    this.#upgradeAfterMs = afterMs;
    this.#timer = setInterval(() => this.#upgradeDue(performance.now()), Math.max(5, Math.min(250, afterMs / 4)));
    this.#timer.unref();
  }

  add(exchange: Exchange): void {
    exchange.isWaiting = true;
    exchange.previous = this.#newest;
    if (this.#newest === null) this.#oldest = exchange;
    else this.#newest.next = exchange;
    this.#newest = exchange;
  }

  /** Safe to call for an exchange that does not wait. */
  remove(exchange: Exchange): void {
    if (!exchange.isWaiting) return;
    exchange.isWaiting = false;
    if (exchange.previous === null) this.#oldest = exchange.next;
    else exchange.previous.next = exchange.next;
    if (exchange.next === null) this.#newest = exchange.previous;
    else exchange.next.previous = exchange.previous;
    exchange.previous = null;
    exchange.next = null;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #upgradeDue(nowMs: number): void {
    while (this.#oldest !== null && nowMs - this.#oldest.startedMs >= this.#upgradeAfterMs) {
      const due = this.#oldest;
      if (!due.upgrade()) this.remove(due);
    }
  }
}
