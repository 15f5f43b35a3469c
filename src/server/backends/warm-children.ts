import { createRestartPolicy, type RestartPolicy } from './restart-policy.ts';
import type { Hello } from './handshake.ts';
import {
  startInstance,
  type ChildSpec,
  type InstanceEnd,
  type InstanceEvents,
  type StdioInstance,
} from './stdio-instance.ts';

/** A child that was started before anybody asked for it. */
export interface WarmChild {
  readonly instance: StdioInstance;
  /** What it said of itself; null while it has not been initialised. */
  readonly hello: Hello | null;
  /** It belongs to somebody now: what happens to it is told there. */
  adopt(events: InstanceEvents): void;
}

export interface WarmOptions {
  /**
   * What to initialise the children with; null: they are only started, because what their client can be asked for is
   * not known before it comes.
   */
  readonly clientCapabilities: Record<string, unknown> | null;
  /** A child is gone, or may be tried again: the owner looks whether there is room for more. */
  readonly onChange: () => void;
}

/** Starting costs the machine: more at once make the calls of others late. */
const startsAtOnce = 2;
/** A child that is not initialised tells nothing; most have loaded their code after this. */
const settleMs = 250;

/** The children of one upstream that wait for their first client, so that it need not wait for them. */
export class WarmChildren {
  readonly #spec: ChildSpec;
  readonly #options: WarmOptions;
  readonly #children = new Set<OneWarmChild>();
  readonly #leaving = new Set<Promise<void>>();
  readonly #policy: RestartPolicy = createRestartPolicy(Math.random);
  readonly #timers = new Set<NodeJS.Timeout>();
  #starting = 0;
  #notBefore = 0;
  #stopped = false;

  constructor(spec: ChildSpec, options: WarmOptions) {
    this.#spec = spec;
    this.#options = options;
  }

  /** Processes, those that are on their way out included. */
  get size(): number {
    return this.#children.size + this.#leaving.size;
  }

  /** Children that somebody could have now. */
  get available(): number {
    return this.#children.size;
  }

  /** The one that is furthest; null when there is none. */
  take(): WarmChild | null {
    let found: OneWarmChild | null = null;
    for (const child of this.#children) {
      found ??= child;
      if (child.hello === null) continue;
      found = child;
      break;
    }
    if (found !== null) this.#children.delete(found);
    return found;
  }

  /** Starts what is missing, as far as there are places. */
  refill(places: number): void {
    const { warm = 0 } = this.#spec.upstream;
    let room = Math.min(places, warm - this.#children.size, startsAtOnce - this.#starting);
    if (this.#stopped || Date.now() < this.#notBefore) return;
    for (; room > 0; room--) this.#start();
  }

  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const child of this.#children) this.#letGo(child, graceMs);
    this.#children.clear();
    await Promise.all(this.#leaving);
  }

  #start(): void {
    const { clientCapabilities, onChange } = this.#options;
    this.#starting++;
    let starting = true;
    const settled = (): void => {
      if (starting) this.#starting--;
      starting = false;
    };
    const child = new OneWarmChild({
      onUp: () => {
        settled();
        this.#policy.onStable();
        onChange();
      },
      onEnded: (end) => {
        settled();
        this.#onEnded(child, end);
      },
    });
    child.instance = startInstance(this.#spec, clientCapabilities, child);
    this.#children.add(child);
    if (clientCapabilities !== null) return;
    this.#later(settleMs, () => {
      settled();
      onChange();
    });
  }

  #onEnded(child: OneWarmChild, { reason }: InstanceEnd): void {
    if (!this.#children.delete(child)) return;
    this.#letGo(child, 1_000);
    const now = Date.now();
    const { retryAt } = this.#policy.onEnded(now, true);
    this.#notBefore = retryAt;
    this.#spec.log.warn('upstream-warm-ended', { upstream: this.#spec.name, reason, retryInMs: retryAt - now });
    this.#later(retryAt - now, this.#options.onChange);
  }

  #later(delayMs: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, delayMs);
    timer.unref();
    this.#timers.add(timer);
  }

  #letGo(child: OneWarmChild, graceMs: number): void {
    const gone = child.instance.end(graceMs).finally(() => {
      this.#leaving.delete(gone);
      this.#options.onChange();
    });
    this.#leaving.add(gone);
  }
}

class OneWarmChild implements WarmChild, InstanceEvents {
  instance!: StdioInstance;
  hello: Hello | null = null;
  readonly #own: Pick<InstanceEvents, 'onUp' | 'onEnded'>;
  #adopted: InstanceEvents | null = null;

  constructor(own: Pick<InstanceEvents, 'onUp' | 'onEnded'>) {
    this.#own = own;
  }

  adopt(events: InstanceEvents): void {
    this.#adopted = events;
  }

  readonly onUp = (hello: Hello): void => {
    this.hello = hello;
    this.#own.onUp(hello);
    this.#adopted?.onUp(hello);
  };

  readonly onEnded = (end: InstanceEnd): void => {
    this.#own.onEnded(end);
    this.#adopted?.onEnded(end);
  };

  readonly onNotification = (method: string, params: Record<string, unknown>): void => {
    this.#adopted?.onNotification(method, params);
  };
}
