import type { BreakerView } from './backends/circuit-breaker.ts';
import type { Access } from './policy/access.ts';

/**
 * The contracts inside the bundled server. The hot path is: http/ reads a
 * body -> protocol/ tells era and method -> policy/ says yes or no -> the
 * backend table answers -> http/ writes once. No framework, no promise per
 * call where a callback does, no parsing of what is only passed on.
 */

export type Era = 'legacy' | 'modern';
export type RpcId = string | number;

export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data?: unknown;
}

/** Who calls. Without keys (`--no-auth`) there is one anonymous caller per listener: keyId ''. */
export interface Caller {
  readonly keyId: string;
  readonly label: string;
  /** Client address after trusted proxies. */
  readonly address: string;
  /** What limits are chosen by; null or absent without one. */
  readonly tier?: string | null;
  /** What it may reach; null or absent when that is everything. */
  readonly access?: Access | null;
  /** Epoch ms of the end of its token; null or absent for keys, whose end is told to whoever must know. */
  readonly expiresAtMs?: number | null;
}

/**
 * One request on its way to a backend, and the way back. Exactly one of
 * `onResult` and `onError` is called, once, never synchronously inside
 * `forward`, and nothing after it.
 */
export interface BackendCall {
  readonly method: string;
  /** As the client sent it, with names already mapped to the backend's own; `_meta` still in. */
  readonly params: Record<string, unknown> | undefined;
  readonly caller: Caller;
  readonly era: Era;
  /** Legacy session of the caller, or null. */
  readonly sessionId: string | null;
  /** The caller's capabilities: what it can be asked for (elicitation, sampling, roots). */
  readonly clientCapabilities: Record<string, unknown>;
  /** JSON text of the `result` member, verbatim from the backend. */
  onResult(resultJson: string): void;
  onError(error: RpcError): void;
  /** A notification that belongs to this call (progress with the caller's own token). `paramsJson` is JSON text. */
  onNotification(method: string, paramsJson: string): void;
  /** Nothing was run, because a rule or a person said no: what the audit is to say of this call. Before its answer. */
  noteRefusal?(why: string): void;
  /**
   * A request of the backend to the client (elicitation/create, sampling/createMessage, roots/list)
   * that is known to belong to this call. The answer goes to `reply`, once.
   */
  onServerRequest(
    method: string,
    params: Record<string, unknown>,
    reply: (answer: { result: unknown } | { error: RpcError }) => void,
  ): void;
}

/** Takes a forwarded call back: the client cancelled or went away. Safe to call late or twice. */
export type CancelCall = (reason: string) => void;

export type BackendState =
  /** Not yet initialised for the first time. */
  | { readonly state: 'starting'; readonly since: number }
  | { readonly state: 'up'; readonly since: number }
  /** Will be tried again at `retryAt` (epoch ms). */
  | {
      readonly state: 'down';
      readonly since: number;
      readonly retryAt: number;
      readonly reason: string;
      readonly lastWords: readonly string[];
    }
  /** Crash loop: given up until `retryAt`, or for good (Infinity) when the command cannot start at all. */
  | {
      readonly state: 'broken';
      readonly since: number;
      readonly retryAt: number;
      readonly reason: string;
      readonly lastWords: readonly string[];
    };

export type ListKind = 'tools' | 'resources' | 'prompts';

/** Anything that answers MCP requests: a stdio child, an HTTP upstream, built-in tools. */
export interface Backend {
  readonly name: string;
  readonly state: BackendState;
  /** `capabilities` of its initialize or discover result; empty until it is up. */
  readonly capabilities: Record<string, unknown>;
  readonly serverInfo: { readonly name: string; readonly version: string } | null;
  readonly instructions: string | null;
  readonly restarts: number;
  readonly inFlight: number;
  /** Its circuit breakers; absent when it has none. */
  breakers?(): readonly BreakerView[];
  /** How its response cache fares; absent when nothing of it is kept. */
  cacheCounts?(): { readonly hits: number; readonly misses: number };
  /** Starts it in the background; never throws for a backend that cannot start, its state says so. */
  start(): void;
  /** Ends it and its whole process tree. Resolves when nothing of it is left. */
  stop(graceMs: number): Promise<void>;
  forward(call: BackendCall): CancelCall;
  /** A notification from a client (cancelled and progress are handled elsewhere; roots/list_changed and the like). */
  notify(method: string, params: Record<string, unknown> | undefined, sessionId: string | null): void;
  /** A legacy session has ended: per-session children go. */
  endSession(sessionId: string): void;
  /** Called on every change of `state`. */
  onStateChange(listener: () => void): void;
  onListChanged(listener: (kind: ListKind) => void): void;
  onResourceUpdated(listener: (uri: string, sessionId: string | null) => void): void;
}

/** `unavailable`: it cannot be told now. */
export type KeyRefusalReason =
  | 'missing'
  | 'invalid'
  | 'revoked'
  | 'expired'
  | 'backed-off'
  | 'certificate'
  | 'insufficient-scope'
  | 'unavailable';

/** Outcome of the key check of one request. */
export type KeyDecision =
  | {
      readonly allowed: true;
      readonly keyId: string;
      readonly label: string;
      readonly tier?: string | null;
      readonly access?: Access | null;
      /** Epoch ms, of a token. */
      readonly expiresAtMs?: number;
    }
  | {
      readonly allowed: false;
      readonly reason: KeyRefusalReason;
      /** The scopes that a token lacks. */
      readonly scope?: string;
      readonly retryAfterSeconds?: number;
      /** One sentence for the client and the log: what is wrong with what it sent. Holds no part of a key. */
      readonly detail?: string;
    };

/** One limiter step. `remaining` and `resetSeconds` feed the RateLimit header. */
export interface LimitDecision {
  readonly allowed: boolean;
  readonly policy: string;
  readonly limit: number;
  readonly windowSeconds: number;
  readonly remaining: number;
  readonly resetSeconds: number;
  readonly retryAfterSeconds: number;
}
