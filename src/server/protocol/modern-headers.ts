import type { IncomingHttpHeaders } from 'node:http';
import type { RpcError } from '../types.ts';
import { decodeHeaderValue, mismatch } from './header-values.ts';
import { forwardedMethods } from './methods.ts';
import { metaKeys, modernRevisions } from './revisions.ts';
import { isObject, rpcCodes } from './rpc-text.ts';

/**
 * Judges the envelope and the headers of a modern request, in the order of the specification: envelope, agreement of
 * the version, known version, then the headers that must be there. Null when all is well. Pure.
 * Source: MCP 2026-07-28, transports, "Server validation"; every refusal is HTTP 400.
 */
export function judgeModernRequest(
  method: string,
  params: Record<string, unknown>,
  meta: Record<string, unknown>,
  headers: IncomingHttpHeaders,
): RpcError | null {
  const claimed = meta[metaKeys.protocolVersion];
  if (typeof claimed !== 'string') return invalidEnvelope(metaKeys.protocolVersion, 'must be a string');
  const capabilities = meta[metaKeys.clientCapabilities];
  if (capabilities === undefined) return invalidEnvelope(metaKeys.clientCapabilities, 'missing');
  if (!isObject(capabilities)) return invalidEnvelope(metaKeys.clientCapabilities, 'must be an object');
  const clientInfo = meta[metaKeys.clientInfo];
  if (clientInfo !== undefined && !isObject(clientInfo))
    return invalidEnvelope(metaKeys.clientInfo, 'must be an object');

  const versionHeader = single(headers['mcp-protocol-version']);
  if (versionHeader !== undefined && versionHeader !== claimed) {
    return mismatch(`the body names protocol version ${claimed}, the MCP-Protocol-Version header ${versionHeader}`);
  }
  const methodHeader = single(headers['mcp-method']);
  if (methodHeader !== undefined && methodHeader !== method) {
    return mismatch(`the body names method ${method}, the Mcp-Method header ${methodHeader}`);
  }
  if (!modernRevisions.includes(claimed)) return unsupportedVersion(claimed);
  if (versionHeader === undefined) return mismatch('the MCP-Protocol-Version header is missing');
  if (methodHeader === undefined) return mismatch('the Mcp-Method header is missing');
  return judgeName(method, params, single(headers['mcp-name']));
}

/**
 * Judges the headers of a tool call that is no message: the path or the body name the tool, so that none has to be there;
 * one that is there and says something else may be what a proxy on the way decided by. Pure.
 */
export function judgePlainCall(params: Record<string, unknown>, headers: IncomingHttpHeaders): RpcError | null {
  const method = single(headers['mcp-method']);
  if (method !== undefined && method !== 'tools/call')
    return mismatch(`this is a call of a tool, the Mcp-Method header names ${method.slice(0, 200)}`);
  const name = single(headers['mcp-name']);
  return name === undefined ? null : judgeName('tools/call', params, name);
}

/** The error for a version that is not served here, with the list of those that are. */
function unsupportedVersion(requested: string): RpcError {
  return {
    code: rpcCodes.unsupportedVersion,
    message: `Protocol version ${requested.slice(0, 64)} is not supported.`,
    data: { supported: modernRevisions, requested: requested.slice(0, 64) },
  };
}

function judgeName(method: string, params: Record<string, unknown>, header: string | undefined): RpcError | null {
  const field = forwardedMethods.get(method)?.nameField ?? null;
  if (field === null) return null;
  const value = params[field];
  if (header === undefined) {
    return typeof value === 'string'
      ? mismatch(`the body has params.${field}, but the Mcp-Name header is missing`)
      : null;
  }
  if (header === value) return null;
  const decoded = decodeHeaderValue(header);
  if (decoded === null) return mismatch('the Mcp-Name header is not valid Base64');
  if (typeof value === 'string' && decoded !== value) {
    return mismatch(`the body names ${JSON.stringify(value.slice(0, 200))}, the Mcp-Name header something else`);
  }
  return null;
}

function invalidEnvelope(key: string, problem: string): RpcError {
  return {
    code: rpcCodes.invalidParams,
    message: `The _meta envelope of the request is not valid: ${key}: ${problem}.`,
    data: { envelope: { key, problem } },
  };
}

function single(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header.trim() : header?.[0]?.trim();
}
