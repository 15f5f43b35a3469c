import { sendOAuthError } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Era, RpcId } from '../types.ts';
import type { ProtocolHost } from './protocol-host.ts';
import { renderRpcError } from './rpc-text.ts';

/** Code outside the range that JSON-RPC and MCP reserve, for a batch entry whose token lacks a scope. */
const lacksScopeCode = 403;

/**
 * Refuses a tool call whose token lacks a scope that the tool needs, and says which: clients ask their user for it and
 * come back (MCP 2025-11-25 and later, authorization: step-up). True when it was refused.
 */
export function refuseLackingScope(
  host: ProtocolHost,
  exchange: Exchange,
  era: Era,
  id: RpcId,
  params: Record<string, unknown> | undefined,
): boolean {
  const { access, address, label: key } = exchange.caller;
  const name = params?.['name'];
  if (access === undefined || access === null || typeof name !== 'string') return false;
  const scope = access.missingScopes(name);
  if (scope === null) return false;
  host.metrics.authFailure('insufficient-scope');
  host.metrics.request('tools/call', name, 'refused', 0);
  const { requestId, bytesIn } = exchange;
  const why = `the token lacks a scope of ${scope}`;
  const { headers } = exchange.req;
  host.calls.audit?.refused({ requestId, why, address, key, id, method: 'tools/call', params, era, bytesIn, headers });
  const description = `This tool needs a token with the scopes: ${scope}.`;
  if (exchange.isBatch) {
    exchange.complete(renderRpcError(id, { code: lacksScopeCode, message: description, data: { scope } }));
    return true;
  }
  const challenge = host.challengeFor(scope, description);
  sendOAuthError(exchange.res, 403, 'insufficient_scope', description, [
    'WWW-Authenticate',
    challenge,
    ...exchange.extraHeaders,
  ]);
  exchange.answered();
  return true;
}
