import { sendUnavailable } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import type { RpcId } from '../types.ts';
import type { ProtocolHost } from './protocol-host.ts';
import { renderRpcError, rpcCodes } from './rpc-text.ts';

const detail = 'This server writes down every call and cannot do so at the moment; try again in a moment.';
const retryAfterSeconds = 5;

/** Answers a call that must not run because it could not be audited. False when it may go on. */
export function refuseUnaudited(host: ProtocolHost, exchange: Exchange, id: RpcId): boolean {
  if (!host.isAuditBlocked()) return false;
  host.metrics.error('audit');
  const { requestId, caller, req } = exchange;
  const why = 'audit lines cannot be written';
  // Of all refusals the one that the audit itself cannot tell.
  host.calls.traces?.refuse({ requestId, why, address: caller.address, key: caller.label, id, headers: req.headers });
  // In a batch, or with the answer on a stream of its own, there is no status left to set.
  if (exchange.isBatch || exchange.session !== null) {
    const error = { code: rpcCodes.internalError, message: detail, data: { retryAfterSeconds } };
    exchange.complete(renderRpcError(id, error));
    return true;
  }
  sendUnavailable(exchange.res, detail, retryAfterSeconds, exchange.extraHeaders);
  exchange.answered();
  return true;
}
