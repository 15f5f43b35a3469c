import type { RpcError, RpcId } from '../types.ts';

/** A JSON-RPC message of a child after a full parse. */
export type RpcMessage =
  | { readonly kind: 'request'; readonly id: RpcId; readonly method: string; readonly params: Record<string, unknown> }
  | { readonly kind: 'notification'; readonly method: string; readonly params: Record<string, unknown> }
  | { readonly kind: 'result'; readonly id: number; readonly resultJson: string }
  /** `error` is null when the answer has neither a result nor an error. */
  | { readonly kind: 'error'; readonly id: number; readonly error: RpcError | null }
  | { readonly kind: 'other' };

/** Reads a parsed message as JSON-RPC 2.0, forgiving what servers are known to get wrong. */
export function readRpcMessage(message: unknown): RpcMessage {
  if (typeof message !== 'object' || message === null) return { kind: 'other' };
  const { id, method, params, result, error } = message as Record<string, unknown>;
  if (typeof method === 'string') {
    const fields = typeof params === 'object' && params !== null ? (params as Record<string, unknown>) : {};
    return typeof id === 'string' || typeof id === 'number'
      ? { kind: 'request', id, method, params: fields }
      : { kind: 'notification', method, params: fields };
  }
  // Some servers give our number back as a string.
  const ours = typeof id === 'string' && /^[0-9]{1,15}$/.test(id) ? Number(id) : id;
  if (typeof ours !== 'number') return { kind: 'other' };
  return typeof result === 'object' && result !== null
    ? { kind: 'result', id: ours, resultJson: JSON.stringify(result) }
    : { kind: 'error', id: ours, error: readRpcError(error) };
}

/** Id of a response whose text is no valid JSON, when it stands at the beginning; undefined otherwise. */
export function guessResponseId(text: string): number | undefined {
  const id = /^\{"jsonrpc":\s?"2\.0",\s?"id":\s?([0-9]{1,15})\b/.exec(text)?.[1];
  return id === undefined ? undefined : Number(id);
}

function readRpcError(error: unknown): RpcError | null {
  if (typeof error !== 'object' || error === null) return null;
  const { code, message, data } = error as Record<string, unknown>;
  if (typeof code !== 'number') return null;
  const text = typeof message === 'string' ? message : 'The upstream gave an error without a message';
  return data === undefined ? { code, message: text } : { code, message: text, data };
}
