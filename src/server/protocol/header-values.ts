import type { RpcError } from '../types.ts';
import { rpcCodes } from './rpc-text.ts';

/** Values that do not fit into a header travel as `=?base64?...?=`. Null when that is malformed. Pure. */
export function decodeHeaderValue(value: string): string | null {
  if (!value.startsWith('=?base64?') || !value.endsWith('?=')) return value;
  const encoded = value.slice(9, -2);
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(encoded)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(encoded, 'base64'));
  } catch {
    return null;
  }
}

/** The error for a request whose headers do not say what its body says; goes out with HTTP 400. */
export function mismatch(what: string): RpcError {
  return { code: rpcCodes.headerMismatch, message: `The request's headers and body disagree: ${what}.` };
}
