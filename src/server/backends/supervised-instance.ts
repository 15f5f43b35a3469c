import { tellingWords } from '../../deployment/telling-words.ts';
import type { BackendCall, BackendState, CancelCall } from '../types.ts';
import { UPSTREAM_BUSY, UPSTREAM_UNAVAILABLE, upstreamError } from './backend-errors.ts';
import type { Hello } from './handshake.ts';
import { createRestartPolicy, STABLE_AFTER_MS } from './restart-policy.ts';
import type { Log } from './backend-log.ts';
import { untilIdle } from './memory-watch.ts';
import type { InstanceEnd, InstanceEvents } from './stdio-instance.ts';

/** What can be started, talked to and ended: a child process, a session with an HTTP server. */
export interface Instance {
  readonly connection: { readonly inFlight: number; send(call: BackendCall): CancelCall } | null;
  readonly lastWords: readonly string[];
  end(graceMs: number): Promise<void>;
}

/** How an instance is started; it never throws, and tells the rest by the events. */
export interface InstanceSource<Started extends Instance> {
  readonly name: string;
  readonly log: Log;
  start(events: InstanceEvents): Started;
}

/** An instance that is started again when it ends, with pauses that grow and an end to crash loops. */
export interface Supervised<Started extends Instance> {
  readonly state: BackendState;
  readonly hello: Hello | null;
  readonly restarts: number;
  readonly inFlight: number;
  start(): void;
  stop(graceMs: number): Promise<void>;
  /**
   * Starts another instance, which takes its place once it serves; the calls in flight finish where they are. False
   * when that is not possible now.
   */
  replace(): boolean;
  /** While the child is away for a moment the call waits for it; otherwise it fails at once. */
  forward(call: BackendCall): CancelCall;
  /** Replaced instances whose last calls finish. */
  readonly draining: Iterable<Started>;
  /** The running instance, to talk to it beside the calls of clients. */
  readonly instance: Started | null;
}

export interface SupervisorEvents {
  readonly onStateChange: () => void;
  /** The child serves; `again` when it did before. */
  readonly onUp: (hello: Hello, again: boolean) => void;
  readonly onNotification: (method: string, params: Record<string, unknown>) => void;
}

/** How long a call waits for a child that is being started again. */
const restartWaitMs = 2_000;
const maxWaitingCalls = 1_024;
/** After a replacement that did not start, so long nothing is replaced. */
const replacePauseMs = 60_000;
/** A child that ends sooner than this that nobody has used has not really started. */
const startedAfterMs = 5_000;

interface WaitingCall {
  readonly call: BackendCall;
  timer: NodeJS.Timeout | null;
  /** Takes the call back once it was sent. */
  cancelSent: CancelCall | null;
}

export function superviseInstance<Started extends Instance>(
  source: InstanceSource<Started>,
  events: SupervisorEvents,
): Supervised<Started> {
  const { name, log } = source;
  const policy = createRestartPolicy(Math.random);
  const waiting = new Set<WaitingCall>();
  let state: BackendState = { state: 'starting', since: Date.now() };
  let instance: Started | null = null;
  let hello: Hello | null = null;
  let restarts = 0;
  /** The child has answered initialize. */
  let served = false;
  /** The child has been given calls. */
  let used = false;
  let timer: NodeJS.Timeout | null = null;
  let stopping: Promise<void> | null = null;
  const leaving = new Set<Promise<void>>();
  /** Starting, to take the place of `instance`. */
  let replacement: Started | null = null;
  let replaceNotBefore = 0;
  /** Replaced, with calls in flight. */
  const draining = new Set<Started>();

  function setState(next: BackendState): void {
    state = next;
    events.onStateChange();
  }

  function startOne(): void {
    timer = null;
    if (stopping !== null) return;
    served = false;
    instance = create();
  }

  function create(): Started {
    const started = source.start({
      onUp: (said) => onUp(started, said),
      onEnded: (end) => onEnded(started, end),
      onNotification: events.onNotification,
    });
    return started;
  }

  function onUp(from: Started, said: Hello): void {
    if (from === replacement) {
      if (timer !== null) clearTimeout(timer);
      if (instance !== null) void drain(instance);
      instance = from;
      replacement = null;
    }
    if (from !== instance) return;
    const again = hello !== null;
    hello = said;
    if (again) restarts++;
    served = true;
    timer = setTimeout(() => policy.onStable(), STABLE_AFTER_MS);
    timer.unref();
    setState({ state: 'up', since: Date.now() });
    events.onUp(said, again);
    sendWaiting(from);
  }

  async function drain(old: Started): Promise<void> {
    draining.add(old);
    await untilIdle(old);
    if (draining.delete(old)) letGo(old);
  }

  /** Its tree may take a moment to go; stop() waits for that too. */
  function letGo(old: Started): void {
    const gone = old.end(1_000).finally(() => leaving.delete(gone));
    leaving.add(gone);
  }

  function onEnded(from: Started, end: InstanceEnd): void {
    const now = Date.now();
    if (from === replacement) {
      replacement = null;
      replaceNotBefore = now + replacePauseMs;
      log.warn('upstream-not-replaced', { upstream: name, reason: end.reason });
      letGo(from);
      return;
    }
    if (draining.delete(from)) {
      letGo(from);
      for (const { call, handOver } of end.unsent) handOver(forward(call));
      return;
    }
    if (from !== instance) return;
    letGo(from);
    instance = null;
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (stopping !== null) return;
    const failedStart = !served || (state.state === 'up' && now - state.since < startedAfterMs && !used);
    const reason = served ? end.reason : `it did not start: ${end.reason}`;
    const lastWords = [...from.lastWords];
    used = false;
    if (replacement !== null) {
      // The next one is on its way already.
      instance = replacement;
      replacement = null;
      served = false;
      setState({ state: 'down', since: now, retryAt: now, reason, lastWords });
      for (const { call, handOver } of end.unsent) handOver(cancelOf(wait(call)));
      return;
    }
    if (end.hopeless) {
      log.error('upstream-broken', { upstream: name, reason: end.reason });
      setState({ state: 'broken', since: now, retryAt: Number.POSITIVE_INFINITY, reason: end.reason, lastWords });
      for (const { call } of end.unsent) failUnavailable(call);
      failWaiting();
      return;
    }
    const { retryAt, broken } = policy.onEnded(now, failedStart);
    log.warn(broken ? 'upstream-broken' : 'upstream-down', {
      upstream: name,
      reason,
      retryInMs: retryAt - now,
      lastWords: tellingWords(lastWords),
    });
    timer = setTimeout(startOne, retryAt - now);
    setState({ state: broken ? 'broken' : 'down', since: now, retryAt, reason, lastWords });
    if (retryAt - now <= restartWaitMs) {
      for (const { call, handOver } of end.unsent) handOver(cancelOf(wait(call)));
      for (const one of waiting) one.timer ??= startWait(one);
    } else {
      for (const { call } of end.unsent) failUnavailable(call);
      failWaiting();
    }
  }

  function wait(call: BackendCall): WaitingCall {
    const one: WaitingCall = { call, timer: null, cancelSent: null };
    waiting.add(one);
    // A first start takes as long as it takes (a package may have to be fetched); its own deadline ends the wait.
    if (state.state !== 'starting') one.timer = startWait(one);
    return one;
  }

  function cancelOf(one: WaitingCall): CancelCall {
    return (reason) => {
      if (!waiting.delete(one)) one.cancelSent?.(reason);
      else if (one.timer !== null) clearTimeout(one.timer);
    };
  }

  function startWait(one: WaitingCall): NodeJS.Timeout {
    return setTimeout(() => {
      if (waiting.delete(one)) failUnavailable(one.call);
    }, restartWaitMs);
  }

  function sendWaiting(to: Started): void {
    for (const one of waiting) {
      waiting.delete(one);
      if (one.timer !== null) clearTimeout(one.timer);
      if (to.connection !== null) one.cancelSent = to.connection.send(one.call);
    }
  }

  function failWaiting(): void {
    for (const one of waiting) {
      waiting.delete(one);
      if (one.timer !== null) clearTimeout(one.timer);
      failUnavailable(one.call);
    }
  }

  function failUnavailable(call: BackendCall): void {
    const message = `The upstream "${name}" is not available: ${explainState()}`;
    queueMicrotask(() => call.onError(upstreamError(UPSTREAM_UNAVAILABLE, name, message, 'not run')));
  }

  function explainState(): string {
    if (stopping !== null) return 'the server is stopping.';
    if (state.state === 'starting' || state.state === 'up') return 'it is starting.';
    const seconds = Math.max(1, Math.ceil((state.retryAt - Date.now()) / 1_000));
    const next = state.retryAt === Number.POSITIVE_INFINITY ? '' : ` It is tried again in ${seconds} s.`;
    return `${state.reason.replace(/\.$/, '')}.${next}`;
  }

  return {
    get state() {
      return state;
    },
    get hello() {
      return hello;
    },
    get restarts() {
      return restarts;
    },
    get inFlight() {
      let inFlight = (instance?.connection?.inFlight ?? 0) + waiting.size;
      for (const old of draining) inFlight += old.connection?.inFlight ?? 0;
      return inFlight;
    },
    draining,
    get instance() {
      return state.state === 'up' ? instance : null;
    },
    start() {
      if (instance === null && timer === null && stopping === null) startOne();
    },
    stop(graceMs) {
      stopping ??= (async () => {
        if (timer !== null) clearTimeout(timer);
        failWaiting();
        const gone = [instance, replacement, ...draining].map((one) => one?.end(graceMs));
        await Promise.all([...gone, ...leaving]);
        instance = null;
      })();
      return stopping;
    },
    replace() {
      if (state.state !== 'up' || replacement !== null || stopping !== null || Date.now() < replaceNotBefore)
        return false;
      replacement = create();
      return true;
    },
    forward,
  };

  function forward(call: BackendCall): CancelCall {
    if (state.state === 'up' && instance?.connection != null) {
      used = true;
      return instance.connection.send(call);
    }
    const mayComeBack =
      stopping === null &&
      (state.state === 'starting' || (state.state === 'down' && state.retryAt - Date.now() <= restartWaitMs));
    if (!mayComeBack) {
      failUnavailable(call);
      return () => {};
    }
    if (waiting.size >= maxWaitingCalls) {
      const message = `The upstream "${name}" is busy: ${waiting.size} calls wait for it to start. Try again in a moment.`;
      queueMicrotask(() => call.onError(upstreamError(UPSTREAM_BUSY, name, message, 'not run')));
      return () => {};
    }
    return cancelOf(wait(call));
  }
}
