import { compilePatterns } from '../policy/access.ts';
import type { Backend, BackendCall, CancelCall, RpcError } from '../types.ts';
import { UPSTREAM_TIMEOUT, upstreamError } from './backend-errors.ts';
import { passingBackend } from './passing-backend.ts';
import { PassedCall } from './passed-call.ts';

/**
 * Gives calls of some tools less time than other calls of the upstream have.
 * @param toolSeconds by name or pattern with `*`, a name in full first
 */
export function limitToolTime(backend: Backend, toolSeconds: Readonly<Record<string, number>>): Backend {
  const exact = new Map(Object.entries(toolSeconds).filter(([pattern]) => !pattern.includes('*')));
  const patterns = Object.entries(toolSeconds)
    .filter(([pattern]) => pattern.includes('*'))
    .map(([pattern, seconds]) => ({ takes: compilePatterns([pattern]), seconds }));

  function secondsOf({ method, params }: BackendCall): number | null {
    const name = method === 'tools/call' ? params?.['name'] : null;
    if (typeof name !== 'string') return null;
    return exact.get(name) ?? patterns.find(({ takes }) => takes(name))?.seconds ?? null;
  }

  return passingBackend(backend, {
    forward(call) {
      const seconds = secondsOf(call);
      if (seconds === null) return backend.forward(call);
      const timed = new TimedCall(call, backend.name, seconds);
      return timed.start(backend);
    },
  });
}

/** A call with a time of its own. It stands still while the client is asked for something. */
class TimedCall extends PassedCall implements BackendCall {
  readonly #call: BackendCall;
  readonly #upstream: string;
  readonly #seconds: number;
  #timer: NodeJS.Timeout | null = null;
  #openQuestions = 0;
  #cancel: CancelCall | null = null;
  #over = false;

  constructor(call: BackendCall, upstream: string, seconds: number) {
    super(call);
    this.#call = call;
    this.#upstream = upstream;
    this.#seconds = seconds;
  }

  start(backend: Backend): CancelCall {
    this.#startTimer();
    this.#cancel = backend.forward(this);
    return (reason) => {
      if (this.#finish()) this.#cancel?.(reason);
    };
  }

  onResult(resultJson: string): void {
    if (this.#finish()) this.#call.onResult(resultJson);
  }

  onError(error: RpcError): void {
    if (this.#finish()) this.#call.onError(error);
  }

  onNotification(method: string, paramsJson: string): void {
    if (!this.#over) this.#call.onNotification(method, paramsJson);
  }

  onServerRequest(...[method, params, reply]: Parameters<BackendCall['onServerRequest']>): void {
    this.#openQuestions++;
    this.#stopTimer();
    this.#call.onServerRequest(method, params, (answer) => {
      if (--this.#openQuestions === 0 && !this.#over) this.#startTimer();
      reply(answer);
    });
  }

  #startTimer(): void {
    this.#stopTimer();
    this.#timer = setTimeout(() => this.#expire(), this.#seconds * 1_000);
    this.#timer.unref();
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #expire(): void {
    if (!this.#finish()) return;
    this.#cancel?.('time-out');
    const message = `The upstream "${this.#upstream}" did not answer within ${this.#seconds} s; outcome unknown: it may have run.`;
    this.#call.onError(upstreamError(UPSTREAM_TIMEOUT, this.#upstream, message, 'unknown'));
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#stopTimer();
    return true;
  }
}
