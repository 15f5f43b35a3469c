import type { Registry } from '../backends/registry.ts';
import type { Backend } from '../types.ts';

/** How long a handshake may wait for a backend that is starting: within the patience of every client we know. */
const waitForFirstMs = 30_000;
/** How long it waits for the others once one is there: one slow backend must not hold up the rest. */
const waitForOthersMs = 3_000;
const maxWaiting = 10_000;

/** Whether a handshake can be answered, and if not, when to try again and what to say. */
export type Readiness = { readonly usable: true } | { readonly usable: false; readonly retryAfterSeconds: number };

interface Waiter {
  readonly sinceMs: number;
  readonly done: (readiness: Readiness) => void;
}

/**
 * Holds handshakes back until the backends can say what they offer. A client that is told of no tools at
 * initialize never asks again.
 */
export class HandshakeGate {
  readonly #registry: Registry;
  #waiting: Waiter[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(registry: Registry) {
    this.#registry = registry;
    registry.onStateChange(() => this.#look());
  }

  /** Calls `done` once: at once when it can be decided now. */
  whenReady(done: (readiness: Readiness) => void): void {
    const decision = judgeReadiness(this.#registry.backends, 0);
    if (decision !== null || this.#waiting.length >= maxWaiting) {
      done(decision ?? { usable: false, retryAfterSeconds: 5 });
      return;
    }
    this.#waiting.push({ sinceMs: performance.now(), done });
    this.#timer ??= setInterval(() => this.#look(), 100);
    this.#timer.unref();
  }

  close(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    for (const waiter of waiting) waiter.done({ usable: false, retryAfterSeconds: 5 });
  }

  #look(): void {
    if (this.#waiting.length === 0) {
      if (this.#timer !== null) clearInterval(this.#timer);
      this.#timer = null;
      return;
    }
    const now = performance.now();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const waiter of waiting) {
      const decision = judgeReadiness(this.#registry.backends, now - waiter.sinceMs);
      if (decision === null) this.#waiting.push(waiter);
      else waiter.done(decision);
    }
  }
}

/** Null while it is worth waiting. Pure. */
export function judgeReadiness(backends: readonly Backend[], waitedMs: number): Readiness | null {
  let starting = false;
  let known = backends.length === 0;
  let retryAt = Number.POSITIVE_INFINITY;
  for (const backend of backends) {
    const { state } = backend;
    // One that was up before and is down now keeps saying what it offers.
    if (state.state === 'up' || backend.serverInfo !== null) known = true;
    else if (state.state === 'starting') starting = true;
    else retryAt = Math.min(retryAt, state.retryAt);
  }
  if (starting && waitedMs < (known ? waitForOthersMs : waitForFirstMs)) return null;
  if (known) return { usable: true };
  const seconds = Math.ceil((retryAt - Date.now()) / 1_000);
  return { usable: false, retryAfterSeconds: Number.isFinite(seconds) ? Math.min(60, Math.max(1, seconds)) : 30 };
}

/** Who serves: the one MCP server behind the endpoint by its own name, or mcp-deploy where there are several or none. */
export function describeServerInfo(registry: Registry, version: string): { name: string; version: string } {
  const own = registry.backends.filter((backend) => backend.serverInfo !== null);
  const only = own.length === 1 && registry.backends.length === 1 ? own[0]?.serverInfo : null;
  return only ?? { name: 'mcp-deploy', version };
}
