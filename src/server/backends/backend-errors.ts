import type { RpcError } from '../types.ts';

/**
 * Error codes of the gateway itself. They lie outside of -32768..-32000, the
 * range that JSON-RPC 2.0 and MCP keep for themselves.
 */
export const UPSTREAM_UNAVAILABLE = -31001;
/** Too much waits already; nothing was done, the caller may try again. */
export const UPSTREAM_BUSY = -31002;
export const UPSTREAM_TIMEOUT = -31003;
/** The upstream ended with the call in its hands: it may have run. */
export const UPSTREAM_ENDED = -31004;
/** The upstream answered with something that is no JSON-RPC answer, or is too large. */
export const UPSTREAM_BAD_ANSWER = -31005;

/** It has failed so often that it is left alone for a while; nothing was sent to it. */
export const UPSTREAM_OPEN = -31006;

/** JSON-RPC codes that the backends use with their standard meaning. */
export const METHOD_NOT_FOUND = -32601;
/** Answer to an upstream that asks for what only clients ask for. When it comes back, the upstream is an echo. */
export const ASKED_AS_SERVER = 'This is the client of this connection, not its server';
export const INVALID_PARAMS = -32602;
export const INTERNAL_ERROR = -32603;

/** What is known about a call that failed: it did not reach the upstream, or it may have run. */
export type CallOutcome = 'not run' | 'unknown';

/** An error of the gateway about one upstream; `data.outcome` tells whether a retry is safe. */
export function upstreamError(code: number, upstream: string, message: string, outcome: CallOutcome): RpcError {
  return { code, message, data: { upstream, outcome } };
}
