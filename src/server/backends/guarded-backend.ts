import { answerLater } from './answer-later.ts';
import type { Backend, BackendCall, CancelCall, Caller, RpcError } from '../types.ts';
import {
  UPSTREAM_BAD_ANSWER,
  UPSTREAM_ENDED,
  UPSTREAM_OPEN,
  UPSTREAM_TIMEOUT,
  UPSTREAM_UNAVAILABLE,
} from './backend-errors.ts';
import type { Log } from './backend-log.ts';
import { CircuitBreaker, REFUSED, type BreakerSettings, type Ticket } from './circuit-breaker.ts';
import { passingBackend } from './passing-backend.ts';
import { PassedCall } from './passed-call.ts';

/** Puts a circuit breaker in front of an upstream. */
export function guardBackend(backend: Backend, settings: BreakerSettings, log: Log): Backend {
  const breaker = new CircuitBreaker(backend.name, settings, log);
  const isUp = (): boolean => backend.state.state === 'up';
  return passingBackend(backend, {
    breakers: () => [breaker.view],
    forward(call) {
      const payer = payerOf(call.caller);
      const ticket = breaker.admit(payer);
      if (ticket === REFUSED) return refuseOpen(call, backend.name, `The upstream "${backend.name}"`, breaker);
      const guarded = new GuardedCall(call, breaker, payer, ticket, isUp);
      const cancel = backend.forward(guarded);
      // Only of a trial somebody has to know that it was taken back: others wait for its place.
      return ticket === 0 ? cancel : cancelTrial(cancel, guarded);
    },
  });
}

/** Whose calls they are, as far as a breaker is concerned. */
export function payerOf({ keyId, address }: Caller): string {
  return keyId === '' ? address : keyId;
}

/**
 * Answers at once that calls are not sent now. A JSON-RPC error in an answer with status 200, as for every upstream
 * that is not available: a proxy or balancer that sees 503 takes the whole endpoint out, with all other upstreams.
 */
export function refuseOpen(call: BackendCall, upstream: string, what: string, breaker: CircuitBreaker): CancelCall {
  const { retryAfterSeconds } = breaker;
  const message = `${what} has failed ${breaker.failures} times in a row and is left alone for a while; the call was not run. Try again in ${retryAfterSeconds} s.`;
  return answerLater(() =>
    call.onError({ code: UPSTREAM_OPEN, message, data: { upstream, outcome: 'not run', retryAfterSeconds } }),
  );
}

function cancelTrial(cancel: CancelCall, guarded: GuardedCall): CancelCall {
  return (reason) => {
    guarded.cancelled();
    cancel(reason);
  };
}

/** These do no work of the upstream: that they go well says little of those that do. */
const lightMethods = new Set([
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
]);

/** A call whose outcome the breaker hears of. */
class GuardedCall extends PassedCall implements BackendCall {
  readonly #call: BackendCall;
  readonly #breaker: CircuitBreaker;
  readonly #payer: string;
  readonly #isUp: () => boolean;
  #ticket: Ticket;

  constructor(call: BackendCall, breaker: CircuitBreaker, payer: string, ticket: Ticket, isUp: () => boolean) {
    super(call);
    this.#call = call;
    this.#breaker = breaker;
    this.#payer = payer;
    this.#ticket = ticket;
    this.#isUp = isUp;
  }

  onResult(resultJson: string): void {
    if (this.#ticket !== 0 || !lightMethods.has(this.method)) this.#breaker.succeeded(this.#payer, this.#ticket);
    this.#call.onResult(resultJson);
  }

  onError(error: RpcError): void {
    const judged = judgeFailure(error, this.#isUp());
    if (judged === 'answered') this.#breaker.succeeded(this.#payer, this.#ticket);
    else if (judged === 'nothing') this.cancelled();
    else this.#breaker.failed(this.#payer, this.#ticket, judged === 'reached');
    this.#call.onError(error);
  }

  onNotification(method: string, paramsJson: string): void {
    this.#call.onNotification(method, paramsJson);
  }

  onServerRequest(...asked: Parameters<BackendCall['onServerRequest']>): void {
    // It lives, and the trial does not have to wait for a person.
    if (this.#ticket > 0) {
      this.#breaker.succeeded(this.#payer, this.#ticket);
      this.#ticket = REFUSED;
    }
    this.#call.onServerRequest(...asked);
  }

  cancelled(): void {
    this.#breaker.toldNothing(this.#ticket);
    this.#ticket = REFUSED;
  }
}

/**
 * What an error says of an upstream. What it answered itself, invalid parameters among it, shows that it lives. That it
 * is being started again says nothing new, and neither does that a queue is full.
 */
function judgeFailure({ code, data }: RpcError, isUp: boolean): 'answered' | 'nothing' | 'unreached' | 'reached' {
  switch (code) {
    case UPSTREAM_TIMEOUT:
      // One that ran out of time in the queue tells of those before it.
      return (data as { outcome?: unknown } | undefined)?.outcome === 'not run' ? 'nothing' : 'reached';
    case UPSTREAM_ENDED:
    case UPSTREAM_BAD_ANSWER:
      return 'reached';
    case UPSTREAM_UNAVAILABLE:
      return isUp ? 'unreached' : 'nothing';
    default:
      return code <= UPSTREAM_UNAVAILABLE && code > UPSTREAM_UNAVAILABLE - 100 ? 'nothing' : 'answered';
  }
}
