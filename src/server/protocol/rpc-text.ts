import type { RpcError, RpcId } from '../types.ts';

/** JSON-RPC and MCP error codes that the front itself answers with. */
export const rpcCodes = {
  parseError: -32_700,
  invalidRequest: -32_600,
  methodNotFound: -32_601,
  invalidParams: -32_602,
  internalError: -32_603,
  badRequest: -32_000,
  unknownSession: -32_001,
  legacyResourceNotFound: -32_002,
  headerMismatch: -32_020,
  missingCapability: -32_021,
  unsupportedVersion: -32_022,
} as const;

/** JSON text of an id; `null` where the request had none that could be read. */
export function renderId(id: RpcId | null): string {
  if (typeof id === 'number') return String(id);
  return id === null ? 'null' : JSON.stringify(id);
}

/** A JSON-RPC error response as JSON text. */
export function renderRpcError(id: RpcId | null, error: RpcError): string {
  return `{"jsonrpc":"2.0","id":${renderId(id)},"error":${JSON.stringify(error)}}`;
}

/** A JSON-RPC result response as JSON text; the result is passed on verbatim. */
export function renderRpcResult(idJson: string, resultJson: string): string {
  return `{"jsonrpc":"2.0","id":${idJson},"result":${resultJson}}`;
}

/** A JSON-RPC notification as JSON text; an empty `paramsJson` leaves params out. */
export function renderNotification(method: string, paramsJson: string): string {
  return paramsJson === ''
    ? `{"jsonrpc":"2.0","method":${JSON.stringify(method)}}`
    : `{"jsonrpc":"2.0","method":${JSON.stringify(method)},"params":${paramsJson}}`;
}

/** A usable JSON-RPC id: MCP allows strings and numbers, never null. Larger numbers would come back changed. */
export function isRpcId(value: unknown): value is RpcId {
  return typeof value === 'number'
    ? Math.abs(value) <= Number.MAX_SAFE_INTEGER
    : typeof value === 'string' && value.length <= 1_024;
}

/** Parses JSON text that should be an object; null for anything else. */
export function readObject(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
