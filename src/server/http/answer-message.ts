import type { HttpResponse } from './http-message.ts';
import { answerLegacy } from '../protocol/legacy.ts';
import { answerModern } from '../protocol/modern.ts';
import { isNestedTooDeep } from '../protocol/nesting.ts';
import { ownStatePrefix } from '../protocol/parked-calls.ts';
import type { ChargedRequest, ProtocolHost } from '../protocol/protocol-host.ts';
import { isModernRevision, metaKeys } from '../protocol/revisions.ts';
import { isObject, isRpcId, renderRpcError, rpcCodes } from '../protocol/rpc-text.ts';
import type { Siblings } from '../workers/siblings.ts';
import { sendRateLimited } from './answers.ts';
import type { Exchange } from './exchange.ts';
import { cameFromWorker, peerAddress } from './peer-address.ts';

/** What a message is answered with. */
export interface MessageHost {
  readonly protocol: ProtocolHost;
  /** The other workers of this server; null when it is the only process. */
  readonly siblings: Siblings | null;
}

/** Tells the era of a message by the message itself, as the specification wants it. */
export function answerMessage(host: MessageHost, exchange: Exchange, text: string): void {
  const { protocol } = host;
  if (isNestedTooDeep(text)) {
    refuse(protocol, exchange, rpcCodes.invalidRequest, 'The body is nested too deeply.');
    return;
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    refuse(protocol, exchange, rpcCodes.parseError, text === '' ? 'The body is empty.' : 'The body is not valid JSON.');
    return;
  }
  if (exchange.session !== null) {
    answerLegacy(protocol, exchange, body);
    return;
  }
  if (isObject(body)) {
    const params = isObject(body['params']) ? body['params'] : {};
    const meta = isObject(params['_meta']) ? params['_meta'] : null;
    if (meta !== null && meta[metaKeys.protocolVersion] !== undefined) {
      if (passOnParked(host, exchange, params['requestState'], text)) return;
      answerModern(protocol, exchange, body, params, meta);
      return;
    }
    const version = exchange.req.headers['mcp-protocol-version'];
    if (version !== undefined && isModernRevision(String(version))) {
      answerModernHeader(protocol, exchange, body);
      return;
    }
  } else if (Array.isArray(body) && body.some(carriesEnvelope)) {
    refuse(protocol, exchange, rpcCodes.invalidRequest, 'Batches do not exist in this protocol version.');
    return;
  }
  answerLegacy(protocol, exchange, body);
}

function refuse(protocol: ProtocolHost, exchange: Exchange, code: number, message: string): void {
  if (refuseFlood(protocol, exchange, exchange.res, exchange.extraHeaders)) exchange.answered();
  else exchange.complete(renderRpcError(null, { code, message }), 400);
}

/** The header names a modern revision and the body carries no envelope. */
function answerModernHeader(protocol: ProtocolHost, exchange: Exchange, body: Record<string, unknown>): void {
  if (refuseFlood(protocol, exchange, exchange.res, exchange.extraHeaders)) {
    exchange.answered();
    return;
  }
  if (typeof body['method'] === 'string' && body['id'] === undefined) {
    exchange.accept();
    return;
  }
  const id = isRpcId(body['id']) ? body['id'] : null;
  const missing = `params._meta["${metaKeys.protocolVersion}"]`;
  const error =
    body['method'] === 'initialize'
      ? {
          code: rpcCodes.headerMismatch,
          message: 'initialize does not exist in the version that MCP-Protocol-Version names.',
        }
      : {
          code: rpcCodes.invalidParams,
          message: `The request names a modern protocol version in its header but has no ${missing}.`,
          data: { envelope: { missing: [metaKeys.protocolVersion] } },
        };
  exchange.complete(renderRpcError(id, error), 400);
}

/** The repeated request of a call that another worker holds open: its body had to be read to know. */
function passOnParked({ siblings }: MessageHost, exchange: Exchange, state: unknown, text: string): boolean {
  const { req, res, requestId } = exchange;
  if (siblings === null || typeof state !== 'string' || !state.startsWith(ownStatePrefix)) return false;
  const owner = cameFromWorker(req) ? null : siblings.otherOwnerOf(state.slice(ownStatePrefix.length));
  if (owner === null) return false;
  exchange.answered();
  siblings.passOn(req, res, owner, { peer: peerAddress(req), requestId }, text);
  return true;
}

/** Whether its key sends more of what is free or wrong than it may; then the request has been answered with 429. */
export function refuseFlood(
  protocol: ProtocolHost,
  request: ChargedRequest,
  res: HttpResponse,
  extra: readonly string[],
): boolean {
  const refusal = protocol.charge(request, 'free', null, null, null, undefined);
  if (refusal !== null) sendRateLimited(res, refusal, extra);
  return refusal !== null;
}

function carriesEnvelope(entry: unknown): boolean {
  const params = isObject(entry) ? entry['params'] : undefined;
  const meta = isObject(params) ? params['_meta'] : undefined;
  return isObject(meta) && meta[metaKeys.protocolVersion] !== undefined;
}
