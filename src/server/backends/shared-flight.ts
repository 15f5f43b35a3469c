import type { BackendCall, CancelCall, RpcError } from '../types.ts';
import { METHOD_NOT_FOUND } from './backend-errors.ts';
import { isInputRequired } from './input-required.ts';
import { PassedCall } from './passed-call.ts';

interface FlightEvents {
  /** Sends a call by itself after all. */
  alone(call: BackendCall): CancelCall;
  /** Nobody can join any more. */
  ended(): void;
  keep(resultJson: string): void;
}

interface Waiter {
  readonly call: BackendCall;
  /** What takes it back once it goes by itself. */
  cancelAlone: CancelCall | null;
}

/**
 * One call of an upstream whose answer goes to all who asked the same while it was under way. Whoever goes away leaves
 * the others alone; when all have gone the call is taken back. When the upstream asks the client for something, the
 * answer depends on this client: the others then go by themselves.
 */
export class SharedFlight extends PassedCall implements BackendCall {
  readonly #events: FlightEvents;
  readonly #waiters = new Set<Waiter>();
  /** Whose call it was; its progress and questions are for nobody else. */
  readonly #first: Waiter;
  #cancel: CancelCall | null = null;
  #isShared = true;

  constructor(call: BackendCall, events: FlightEvents) {
    super(call);
    this.#events = events;
    this.#first = { call, cancelAlone: null };
  }

  start(forward: (call: BackendCall) => CancelCall): CancelCall {
    const cancel = this.#add(this.#first);
    this.#cancel = forward(this);
    return cancel;
  }

  join(call: BackendCall): CancelCall {
    return this.#add({ call, cancelAlone: null });
  }

  onResult(resultJson: string): void {
    if (isInputRequired(resultJson)) this.#separate();
    this.#events.ended();
    if (this.#isShared) this.#events.keep(resultJson);
    for (const { call } of this.#take()) call.onResult(resultJson);
  }

  onError(error: RpcError): void {
    this.#events.ended();
    for (const { call } of this.#take()) call.onError(error);
  }

  onNotification(method: string, paramsJson: string): void {
    if (this.#waiters.has(this.#first)) this.#first.call.onNotification(method, paramsJson);
  }

  onServerRequest(...asked: Parameters<BackendCall['onServerRequest']>): void {
    this.#separate();
    if (this.#waiters.has(this.#first)) this.#first.call.onServerRequest(...asked);
    else asked[2]({ error: { code: METHOD_NOT_FOUND, message: 'The client that could be asked is gone.' } });
  }

  #add(waiter: Waiter): CancelCall {
    this.#waiters.add(waiter);
    return (reason) => {
      if (waiter.cancelAlone !== null) {
        waiter.cancelAlone(reason);
        return;
      }
      if (!this.#waiters.delete(waiter) || this.#waiters.size > 0) return;
      this.#events.ended();
      this.#cancel?.(reason);
    };
  }

  /** Its answer is for the first alone from now on. */
  #separate(): void {
    if (!this.#isShared) return;
    this.#isShared = false;
    this.#events.ended();
    for (const waiter of this.#waiters) {
      if (waiter === this.#first) continue;
      this.#waiters.delete(waiter);
      waiter.cancelAlone = this.#events.alone(waiter.call);
    }
    if (this.#waiters.size === 0) this.#cancel?.('nobody waits for it any more');
  }

  #take(): readonly Waiter[] {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    return waiters;
  }
}
