import type { RequestCost } from '../call-limits.ts';
import { sendRateLimited } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Era, RpcId } from '../types.ts';
import type { ProtocolHost } from './protocol-host.ts';
import { refuseUnaudited } from './refuse-unaudited.ts';
import { renderRpcError } from './rpc-text.ts';

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
  if (refusal === null) {
    const headers = host.limitHeaders();
    if (headers.length > 0) tell(exchange, headers);
    return true;
  }
  if (!exchange.isBatch) {
    sendRateLimited(exchange.res, refusal, exchange.extraHeaders);
    exchange.answered();
  } else if (id !== null) {
    const { detail: message, retryAfterSeconds, status: code } = refusal;
    exchange.complete(renderRpcError(id, { code, message, data: { retryAfterSeconds } }));
  }
  return false;
}

/** Of the entries of a batch the last one is told of. */
function tell(exchange: Exchange, headers: readonly string[]): void {
  const { extraHeaders } = exchange;
  const before = exchange.isBatch ? extraHeaders.indexOf(headers[0] ?? '') : -1;
  exchange.extraHeaders = [...(before === -1 ? extraHeaders : extraHeaders.slice(0, before)), ...headers];
}
