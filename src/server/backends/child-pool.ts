import { defaultMaxInstances } from '../../deployment/stdio-upstream-schema.ts';
import type { BackendCall, CancelCall } from '../types.ts';
import { UPSTREAM_BUSY, UPSTREAM_UNAVAILABLE, upstreamError } from './backend-errors.ts';
import { untilIdle } from './memory-watch.ts';
import { createResourceSubscriptions, type ResourceSubscriptions } from './resource-subscriptions.ts';
import { createRestartPolicy, type RestartPolicy } from './restart-policy.ts';
import { startInstance, type ChildSpec, type InstanceEvents, type StdioInstance } from './stdio-instance.ts';
import { WarmChildren } from './warm-children.ts';

/** Children that belong to one session or one key each, started by its first call. */
export interface ChildPool {
  readonly inFlight: number;
  readonly size: number;
  /** Children that wait for their first client. */
  readonly warm: number;
  /** Children that were ended because they held too much memory. */
  readonly restarts: number;
  /** Children that serve, and those whose last calls finish. */
  instances(): Iterable<StdioInstance>;
  /** A child is not to serve any longer: its calls finish, the next one of its owner gets another child. False when it serves nobody. */
  retire(instance: StdioInstance): boolean;
  /** Sends the call to the child of `owner`, which is started for it if need be. */
  forward(owner: string, call: BackendCall): CancelCall;
  /** Sends the call to the child of `owner` if it runs; null when it does not. */
  forwardIfUp(owner: string, call: BackendCall): CancelCall | null;
  notify(owner: string, method: string, params: Record<string, unknown> | undefined): void;
  /** Ends the child of `owner`. */
  end(owner: string): void;
  /** The session's subscriptions go, on whatever child they are. */
  endSubscriptions(sessionId: string): void;
  stop(graceMs: number): Promise<void>;
}

export interface PoolOptions {
  readonly maxChildren?: number;
  /** How long a call waits for a place: 5 s by default, longer than a child may take to end. */
  readonly placeWaitMs?: number;
  /** A child without calls for this long is ended. */
  readonly idleMs?: number;
  readonly onNotification: (
    method: string,
    params: Record<string, unknown>,
    subscriptions: ResourceSubscriptions,
  ) => void;
}

const defaultIdleMs = 30 * 60_000;
/** Starting costs far more than serving: more at once only make all of them late. */
const maxStarting = 8;
const maxWaitingCalls = 1_024;
const defaultPlaceWaitMs = 5_000;
const endGraceMs = 2_000;

/** What a child may ask for whose callers change. */
const everyCapability = { sampling: {}, elicitation: { form: {}, url: {} }, roots: { listChanged: true } };
/** Capabilities of a client that are passed on to its own child. */
const passedCapabilities: ReadonlySet<string> = new Set(['sampling', 'elicitation', 'roots']);

interface PoolChild {
  readonly owner: string;
  readonly subscriptions: ResourceSubscriptions;
  readonly clientCapabilities: Record<string, unknown>;
  phase: 'waiting' | 'starting' | 'up';
  instance: StdioInstance | null;
  readonly waiting: Set<WaitingCall>;
  lastUsed: number;
  placeTimer: NodeJS.Timeout | null;
}

interface WaitingCall {
  readonly call: BackendCall;
  cancelSent: CancelCall | null;
}

export function createChildPool(spec: ChildSpec, options: PoolOptions): ChildPool {
  return new Pool(spec, options);
}

class Pool implements ChildPool {
  readonly #spec: ChildSpec;
  readonly #options: PoolOptions;
  readonly #maxChildren: number;
  readonly #children = new Map<string, PoolChild>();
  /** Processes that are on their way out but still there. */
  readonly #leaving = new Set<Promise<void>>();
  readonly #policy: RestartPolicy = createRestartPolicy(Math.random);
  readonly #idleTimer: NodeJS.Timeout;
  readonly #warm: WarmChildren;
  /** Their calls finish, and nothing new is sent to them. */
  readonly #retiring = new Set<PoolChild>();
  #restarts = 0;
  #brokenUntil = 0;
  #brokenReason = '';
  #waitingCalls = 0;
  #stopped = false;

  constructor(spec: ChildSpec, options: PoolOptions) {
    this.#spec = spec;
    this.#options = options;
    this.#maxChildren = options.maxChildren ?? spec.upstream.maxInstances ?? defaultMaxInstances;
    const idleMs = options.idleMs ?? defaultIdleMs;
    this.#idleTimer = setInterval(() => this.#endIdle(idleMs), Math.max(10, Math.min(60_000, idleMs / 4)));
    this.#idleTimer.unref();
    const perKey = spec.upstream.instances === 'per-key';
    this.#warm = new WarmChildren(spec, {
      clientCapabilities: perKey ? everyCapability : null,
      onChange: () => this.#refill(),
    });
    this.#refill();
  }

  get warm(): number {
    return this.#warm.available;
  }

  get restarts(): number {
    return this.#restarts;
  }

  *instances(): Iterable<StdioInstance> {
    for (const { phase, instance } of this.#children.values()) if (phase === 'up' && instance !== null) yield instance;
    for (const { instance } of this.#retiring) if (instance !== null) yield instance;
  }

  retire(instance: StdioInstance): boolean {
    for (const child of this.#children.values()) {
      if (child.instance !== instance || child.phase !== 'up') continue;
      this.#restarts++;
      this.#remove(child);
      this.#retiring.add(child);
      const ended = untilIdle(instance).then(() => instance.end(endGraceMs));
      this.#leave(ended.finally(() => this.#retiring.delete(child)));
      return true;
    }
    return false;
  }

  get size(): number {
    return this.#children.size;
  }

  get inFlight(): number {
    let sum = 0;
    for (const child of this.#children.values())
      sum += child.waiting.size + (child.instance?.connection?.inFlight ?? 0);
    for (const { instance } of this.#retiring) sum += instance?.connection?.inFlight ?? 0;
    return sum;
  }

  forward(owner: string, call: BackendCall): CancelCall {
    const child = this.#children.get(owner) ?? this.#open(owner, call);
    if (child === null) return () => {};
    child.lastUsed = Date.now();
    if (child.phase === 'up') return this.#send(child, call);
    if (this.#waitingCalls >= maxWaitingCalls) {
      this.#failLater(
        call,
        UPSTREAM_BUSY,
        `is busy: ${this.#waitingCalls} calls wait for a process. Try again in a moment.`,
      );
      return () => {};
    }
    const one: WaitingCall = { call, cancelSent: null };
    child.waiting.add(one);
    this.#waitingCalls++;
    return (reason) => {
      if (!child.waiting.delete(one)) {
        one.cancelSent?.(reason);
        return;
      }
      this.#waitingCalls--;
      if (child.phase === 'waiting' && child.waiting.size === 0) this.#remove(child);
    };
  }

  forwardIfUp(owner: string, call: BackendCall): CancelCall | null {
    const child = this.#children.get(owner);
    if (child === undefined || child.phase !== 'up') return null;
    child.lastUsed = Date.now();
    return this.#send(child, call);
  }

  notify(owner: string, method: string, params: Record<string, unknown> | undefined): void {
    const child = this.#children.get(owner);
    if (child?.phase === 'up') child.instance?.connection?.notify(method, params);
  }

  end(owner: string): void {
    const child = this.#children.get(owner);
    if (child === undefined) return;
    this.#remove(child);
    this.#failWaiting(child, 'was ended with its session.');
    this.#letGo(child, endGraceMs);
    this.#startWaiting();
  }

  endSubscriptions(sessionId: string): void {
    for (const child of this.#children.values()) child.subscriptions.endSession(sessionId);
  }

  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#idleTimer);
    for (const child of this.#children.values()) {
      this.#remove(child);
      this.#failWaiting(child, 'is not available: the server is stopping.');
      this.#letGo(child, graceMs);
    }
    for (const child of this.#retiring) this.#letGo(child, graceMs);
    await Promise.all([this.#warm.stop(graceMs), ...this.#leaving]);
  }

  #send(child: PoolChild, call: BackendCall): CancelCall {
    const connection = child.instance?.connection;
    if (connection == null) throw new Error('a child that is up has a connection');
    if (call.method === 'resources/subscribe' || call.method === 'resources/unsubscribe') {
      return child.subscriptions.forward(call, (sent) => connection.send(sent));
    }
    return connection.send(call);
  }

  /** A child of one session has its client; one of a key has many, and each call is refused what its own client lacks. */
  #capabilitiesFor(call: BackendCall): Record<string, unknown> {
    const { instances } = this.#spec.upstream;
    if (instances === 'per-key' || call.era === 'modern' || call.sessionId === null) return everyCapability;
    return Object.fromEntries(Object.entries(call.clientCapabilities).filter(([name]) => passedCapabilities.has(name)));
  }

  /** Null when there is no place and nobody may wait for one; the call has failed then. */
  #open(owner: string, call: BackendCall): PoolChild | null {
    const now = Date.now();
    if (this.#stopped || now < this.#brokenUntil) {
      const reason = this.#stopped ? 'the server is stopping' : this.#brokenReason;
      this.#failLater(call, UPSTREAM_UNAVAILABLE, `is not available: ${reason}.`);
      return null;
    }
    if (this.#children.size >= this.#maxChildren + maxWaitingCalls) {
      this.#failLater(call, UPSTREAM_BUSY, 'is busy: too many sessions wait for a process. Try again in a moment.');
      return null;
    }
    const child: PoolChild = {
      owner,
      subscriptions: createResourceSubscriptions(this.#spec.name, this.#spec.log),
      clientCapabilities: this.#capabilitiesFor(call),
      phase: 'waiting',
      instance: null,
      waiting: new Set(),
      lastUsed: now,
      placeTimer: null,
    };
    this.#children.set(owner, child);
    child.placeTimer = setTimeout(() => this.#onPlaceTimeout(child), this.#options.placeWaitMs ?? defaultPlaceWaitMs);
    // The call is put into `waiting` after this returns, so a start must not finish before.
    queueMicrotask(() => this.#startWaiting());
    return child;
  }

  #onPlaceTimeout(child: PoolChild): void {
    const { running } = this.#count();
    if (running < this.#maxChildren) {
      // There is a place; it only waits for its turn to start, and those before it have a deadline.
      child.placeTimer?.refresh();
      return;
    }
    this.#remove(child);
    this.#failWaiting(child, `is busy: all ${this.#maxChildren} processes are taken. Try again later.`, UPSTREAM_BUSY);
  }

  #count(): { running: number; starting: number } {
    let running = this.#leaving.size + this.#warm.size;
    let starting = 0;
    for (const child of this.#children.values()) {
      if (child.phase !== 'waiting') running++;
      if (child.phase === 'starting') starting++;
    }
    return { running, starting };
  }

  #startWaiting(): void {
    let { running, starting } = this.#count();
    for (const child of this.#children.values()) {
      if (starting >= maxStarting || this.#stopped) return;
      if (child.phase !== 'waiting') continue;
      // One that is warm has its place already.
      if (this.#warm.available === 0 && running >= this.#maxChildren) return;
      if (this.#warm.available === 0) running++;
      starting++;
      this.#start(child);
    }
    this.#refill();
  }

  /** Clients go first: what is warm takes only places that nobody waits for. */
  #refill(): void {
    if (this.#stopped || this.#spec.upstream.warm === undefined) return;
    const { running } = this.#count();
    this.#warm.refill(this.#maxChildren - running);
  }

  #start(child: PoolChild): void {
    child.phase = 'starting';
    if (child.placeTimer !== null) clearTimeout(child.placeTimer);
    const events = this.#eventsOf(child);
    const warm = this.#warm.take();
    if (warm === null) {
      child.instance = startInstance(this.#spec, child.clientCapabilities, events);
      return;
    }
    child.instance = warm.instance;
    warm.adopt(events);
    if (warm.hello !== null) events.onUp(warm.hello);
    else if (this.#spec.upstream.instances !== 'per-key') warm.instance.open(child.clientCapabilities);
  }

  #eventsOf(child: PoolChild): InstanceEvents {
    return {
      onUp: (hello) => {
        child.phase = 'up';
        child.lastUsed = Date.now();
        this.#policy.onStable();
        const connection = child.instance?.connection;
        if (connection == null) return;
        child.subscriptions.onUp(connection, hello);
        for (const one of child.waiting) one.cancelSent = this.#send(child, one.call);
        this.#waitingCalls -= child.waiting.size;
        child.waiting.clear();
        this.#startWaiting();
      },
      onEnded: (end) => {
        const failedStart = child.phase === 'starting';
        this.#remove(child);
        if (failedStart) this.#onFailedStart(end.reason);
        const message = `${failedStart ? 'did not start' : 'ended'}: ${end.reason}.`;
        this.#failWaiting(child, message);
        for (const { call } of end.unsent) this.#failLater(call, UPSTREAM_UNAVAILABLE, message);
        this.#letGo(child, 1_000);
        this.#startWaiting();
      },
      onNotification: (method, params) => this.#options.onNotification(method, params, child.subscriptions),
    };
  }

  #onFailedStart(reason: string): void {
    const now = Date.now();
    const { retryAt, broken } = this.#policy.onEnded(now, true);
    if (!broken) return;
    this.#brokenUntil = retryAt;
    this.#brokenReason = `its processes do not start (${reason})`;
    this.#spec.log.warn('upstream-pool-broken', { upstream: this.#spec.name, reason, retryInMs: retryAt - now });
  }

  #remove(child: PoolChild): void {
    if (child.placeTimer !== null) clearTimeout(child.placeTimer);
    if (this.#children.get(child.owner) === child) this.#children.delete(child.owner);
  }

  /** Its place is free only once nothing of it is left. */
  #letGo(child: PoolChild, graceMs: number): void {
    if (child.instance !== null) this.#leave(child.instance.end(graceMs));
  }

  #leave(ended: Promise<void>): void {
    const gone = ended.finally(() => {
      this.#leaving.delete(gone);
      this.#startWaiting();
    });
    this.#leaving.add(gone);
  }

  #endIdle(idleMs: number): void {
    const now = Date.now();
    for (const child of this.#children.values()) {
      const busy = child.waiting.size > 0 || (child.instance?.connection?.inFlight ?? 0) > 0;
      if (child.phase === 'up' && !busy && now - child.lastUsed >= idleMs) this.end(child.owner);
    }
  }

  #failWaiting(child: PoolChild, what: string, code = UPSTREAM_UNAVAILABLE): void {
    this.#waitingCalls -= child.waiting.size;
    for (const one of child.waiting) this.#failLater(one.call, code, what);
    child.waiting.clear();
  }

  #failLater(call: BackendCall, code: number, what: string): void {
    const { name } = this.#spec;
    const error = upstreamError(code, name, `The upstream "${name}" ${what}`, 'not run');
    queueMicrotask(() => call.onError(error));
  }
}
