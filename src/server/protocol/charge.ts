import type { RequestCost } from '../call-limits.ts';
import { sendRateLimited } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Era, RpcId } from '../types.ts';
import type { ProtocolHost } from './protocol-host.ts';
import { refuseUnaudited } from './refuse-unaudited.ts';
import { renderRpcError } from './rpc-text.ts';

/** Code outside the range that JSON-RPC and MCP reserve, for a batch entry that found a limit used up. */
const rateLimitedCode = 429;

/**
 * Counts one message against the limits of its key. False when it must not go on; it has been answered then, a
 * notification of a batch apart, which is dropped.
 */
export function charge(
  host: ProtocolHost,
  exchange: Exchange,
  cost: RequestCost,
  era: Era,
  id: RpcId | null,
  method: string,
  params: Record<string, unknown> | undefined,
): boolean {
  const costsCall = cost === 'call' || cost === 'step';
  if (costsCall && id !== null && refuseUnaudited(host, exchange, id)) return false;
  const refusal = host.charge(exchange, cost, era, id, method, params);
  if (refusal === null) return true;
  if (!exchange.isBatch) {
    sendRateLimited(exchange.res, refusal, exchange.extraHeaders);
    exchange.answered();
  } else if (id !== null) {
    const { detail: message, retryAfterSeconds } = refusal;
    exchange.complete(renderRpcError(id, { code: rateLimitedCode, message, data: { retryAfterSeconds } }));
  }
  return false;
}
