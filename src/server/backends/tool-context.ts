import type { ListKind, RpcError } from '../types.ts';

/** How serious a message to the client is (RFC 5424, as MCP names the levels). */
export const logLevels = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'] as const;
export type LogLevel = (typeof logLevels)[number];

/** What a function of a module is told of its call, and what it can do beside giving a result. */
export interface ToolContext {
  /** Name of the tool or prompt, or the URI of the resource. */
  readonly name: string;
  /** Label of the caller's key. */
  readonly caller: string;
  /** Aborted when the caller gave up or time is up. */
  readonly signal: AbortSignal;
  /** What the client can be asked for: elicitation, sampling, roots. */
  readonly clientCapabilities: Readonly<Record<string, unknown>>;
  /** Answers to the `inputRequests` that this function returned before, by their keys. */
  readonly inputResponses: Readonly<Record<string, unknown>> | undefined;
  /** The `requestState` that it returned before, as the client gave it back: check that it was not changed. */
  readonly requestState: string | undefined;
  /** Writes a line to the log of the server. */
  readonly log: (message: string, fields?: Readonly<Record<string, unknown>>) => void;
  /** Tells a client that asked for it how far the call is. */
  readonly progress: (done: number, total?: number, message?: string) => void;
  /** Sends a log message to the client, if it wants this level. */
  readonly say: (level: LogLevel, data: unknown) => void;
  /** Asks the user of the client; rejects when the client cannot. The time of the answer does not count. */
  readonly elicit: (params: Readonly<Record<string, unknown>>) => Promise<unknown>;
  /** Asks the model of the client. */
  readonly sample: (params: Readonly<Record<string, unknown>>) => Promise<unknown>;
  /** Asks the client for its roots. */
  readonly roots: () => Promise<unknown>;
  /** Tells every client that a list has changed. */
  readonly listChanged: (kind: ListKind) => void;
  /** Tells those that have subscribed to the resource. */
  readonly resourceUpdated: (uri: string) => void;
}

/**
 * What JSON-RPC reports as an error instead of a result: any thrown value with a `code` in the range that JSON-RPC and
 * MCP define (-32768 to -32000). Null for all others.
 */
export function rpcErrorOf(thrown: unknown): RpcError | null {
  if (!(thrown instanceof Error)) return null;
  const { code, data } = thrown as { code?: unknown; data?: unknown };
  if (typeof code !== 'number' || !Number.isInteger(code) || code < -32_768 || code > -32_000) return null;
  return { code, message: thrown.message, ...(data === undefined ? {} : { data }) };
}
