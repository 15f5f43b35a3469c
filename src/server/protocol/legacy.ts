import { sendUnavailable } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import type { RpcError, RpcId } from '../types.ts';
import { Call } from './call.ts';
import { charge } from './charge.ts';
import { describeServerInfo } from './handshake.ts';
import { forwardedMethods, forwardedNotifications } from './methods.ts';
import type { ProtocolHost } from './protocol-host.ts';
import { assumedLegacyRevision, batchRevision, legacyRevisions, understandsEmptyEvent } from './revisions.ts';
import { capabilitiesFor, dispatch, instructionsFor } from './scoped-dispatch.ts';
import { refuseLackingScope } from './step-up.ts';
import { isObject, isRpcId, renderId, renderRpcError, renderRpcResult, rpcCodes } from './rpc-text.ts';
import type { Session } from './session.ts';

/** What a backend then keeps for the session, no other server has. */
const keptByBackends: ReadonlySet<string> = new Set(['resources/subscribe', 'logging/setLevel']);

const maxBatch = 100;
const maxCapabilityChars = 16_384;

/** Answers one POST of the legacy era. Source: MCP 2025-11-25 and older, streamable HTTP. */
export function answerLegacy(host: ProtocolHost, exchange: Exchange, body: unknown): void {
  const { headers } = exchange.req;
  if (isObject(body) && body['method'] === 'initialize') {
    initialize(host, exchange, body);
    return;
  }
  const session = findSession(host, exchange, body);
  if (session === undefined) return;
  const version = headers['mcp-protocol-version'];
  if (version !== undefined && !legacyRevisions.includes(String(version))) {
    const known = legacyRevisions.join(', ');
    refuse(host, exchange, idOf(body), {
      code: rpcCodes.badRequest,
      message: `Protocol version ${String(version).slice(0, 64)} is not supported; supported are ${known}.`,
    });
    return;
  }
  if (session !== null) {
    exchange.recordedBy = session;
    exchange.primesStreams = understandsEmptyEvent(session.revision);
  }
  if (Array.isArray(body)) {
    answerBatch(host, exchange, body, session, session?.revision ?? String(version ?? assumedLegacyRevision));
  } else if (answerMessage(host, exchange, body, session) === 'accepted') {
    exchange.accept();
  }
}

/** The session that the request names: null when it names none, undefined when it was refused or is looked for elsewhere. */
function findSession(host: ProtocolHost, exchange: Exchange, body: unknown): Session | null | undefined {
  if (exchange.session !== null) return exchange.session;
  const named = exchange.req.headers['mcp-session-id'];
  if (named === undefined) return null;
  const session = host.sessions.find(String(named), exchange.caller.keyId);
  if (session !== null) return session;
  if (!charge(host, exchange, 'free', 'legacy', null, 'unknown session', undefined)) return undefined;
  const refuseUnknown = (): void => {
    const error = { code: rpcCodes.unknownSession, message: 'The session is not known here: initialize again.' };
    host.refused(exchange, host.sessions.describeMissing(String(named)));
    exchange.complete(renderRpcError(null, error), 404);
  };
  const isAsked = host.sessions.recall(String(named), exchange.caller.keyId, (recalled) => {
    if (exchange.res.destroyed) return;
    if (!exchange.host.stillAccepts(exchange)) exchange.refuseKey();
    else if (recalled === null) refuseUnknown();
    else answerLegacy(host, exchange, body);
  });
  if (!isAsked) refuseUnknown();
  return undefined;
}

/** `accepted`: there is nothing to answer, it was a notification or a response. A call is answered later. */
type Handled = 'answered' | 'accepted' | Call;

function answerMessage(host: ProtocolHost, exchange: Exchange, body: unknown, session: Session | null): Handled {
  if (!isObject(body) || body['jsonrpc'] !== '2.0') {
    refuse(host, exchange, idOf(body), {
      code: rpcCodes.invalidRequest,
      message: 'The body is not a JSON-RPC 2.0 message.',
    });
    return 'answered';
  }
  const { id, method } = body;
  const params = isObject(body['params']) ? body['params'] : undefined;
  if (typeof method !== 'string') {
    const mayAnswer = charge(host, exchange, 'free', 'legacy', null, 'response', undefined);
    return mayAnswer ? takeClientAnswer(host, exchange, body, session) : 'answered';
  }
  if (id === undefined) {
    // What a backend hears of counts like a call.
    const cost = forwardedNotifications.has(method) ? 'step' : 'free';
    if (!charge(host, exchange, cost, 'legacy', null, method, params)) return 'answered';
    takeNotification(host, method, params, session);
    return 'accepted';
  }
  if (!isRpcId(id)) {
    refuse(host, exchange, null, {
      code: rpcCodes.invalidRequest,
      message: 'The id of a request must be a string or a number.',
    });
    return 'answered';
  }
  const rule = forwardedMethods.get(method);
  if (rule === undefined) {
    if (!charge(host, exchange, 'free', 'legacy', id, method, params)) return 'answered';
    answerLocally(exchange, id, method);
    countAnswer(host, exchange, method);
    return 'answered';
  }
  if (method === 'resources/subscribe' && session === null) {
    const message = 'A subscription needs a session: initialize first.';
    if (!charge(host, exchange, 'free', 'legacy', id, method, params)) return 'answered';
    exchange.complete(renderRpcError(id, { code: rpcCodes.invalidRequest, message }));
    return 'answered';
  }
  if (session !== null && keptByBackends.has(method)) host.sessions.unshare(session);
  if (method === 'tools/call' && refuseLackingScope(host, exchange, 'legacy', id, params)) return 'answered';
  if (!charge(host, exchange, rule.charged ? 'call' : 'list', 'legacy', id, method, params)) return 'answered';
  const call = new Call(
    host.calls,
    exchange,
    id,
    method,
    params,
    rule,
    'legacy',
    session,
    session?.clientCapabilities ?? {},
  );
  exchange.owner ??= call;
  exchange.wait();
  call.cancel = dispatch(host.registry, call);
  return call;
}

function initialize(host: ProtocolHost, exchange: Exchange, message: Record<string, unknown>): void {
  const { id } = message;
  const params = isObject(message['params']) ? message['params'] : {};
  const asked = params['protocolVersion'];
  if (!isRpcId(id) || typeof asked !== 'string') {
    refuse(host, exchange, isRpcId(id) ? id : null, {
      code: isRpcId(id) ? rpcCodes.invalidParams : rpcCodes.invalidRequest,
      message: 'initialize needs an id and params.protocolVersion.',
    });
    return;
  }
  const revision = legacyRevisions.includes(asked) ? asked : (legacyRevisions[0] ?? asked);
  const capabilities = isObject(params['capabilities']) ? params['capabilities'] : {};
  // They are kept as long as the session: a client must not store its own data in us.
  if (JSON.stringify(capabilities).length > maxCapabilityChars) {
    refuse(host, exchange, id, { code: rpcCodes.invalidParams, message: 'The client capabilities are too large.' });
    return;
  }
  if (!charge(host, exchange, 'free', 'legacy', id, 'initialize', undefined)) return;
  host.gate.whenReady((readiness) => {
    if (!exchange.host.stillAccepts(exchange)) {
      exchange.refuseKey();
      return;
    }
    if (!readiness.usable) {
      unavailable(
        exchange,
        id,
        'The MCP server behind this endpoint is not running; its operator can see why in the status.',
        readiness.retryAfterSeconds,
      );
      return;
    }
    const own = exchange.session;
    if (own === null ? exchange.res.destroyed : own.ended) return;
    if (own !== null) {
      own.revision = revision;
      own.clientCapabilities = capabilities;
    }
    const session = own ?? host.sessions.open(exchange.caller.keyId, revision, capabilities);
    if (session === null) {
      unavailable(exchange, id, 'This server has as many open sessions as it may; try again later.', 30);
      return;
    }
    const instructions = instructionsFor(host.registry, exchange.caller);
    const result = {
      protocolVersion: revision,
      capabilities: capabilitiesFor(host.registry, exchange.caller),
      serverInfo: describeServerInfo(host.registry, host.version),
      ...(instructions === null ? {} : { instructions }),
    };
    if (own === null) host.sessions.share(session);
    if (own === null) exchange.extraHeaders = ['Mcp-Session-Id', session.id, ...exchange.extraHeaders];
    exchange.complete(renderRpcResult(renderId(id), JSON.stringify(result)));
    countAnswer(host, exchange, 'initialize');
  });
}

function answerBatch(
  host: ProtocolHost,
  exchange: Exchange,
  batch: readonly unknown[],
  session: Session | null,
  revision: string,
): void {
  if (revision !== batchRevision || batch.length === 0 || batch.length > maxBatch) {
    const message =
      revision === batchRevision
        ? `A batch holds 1 to ${maxBatch} messages.`
        : `Batches exist in protocol version ${batchRevision} only; send one message a request.`;
    refuse(host, exchange, null, { code: rpcCodes.invalidRequest, message });
    return;
  }
  const requests = batch.filter(
    (entry) => isObject(entry) && entry['id'] !== undefined && typeof entry['method'] === 'string',
  );
  if (!batch.every(mayBeInBatch)) {
    refuse(host, exchange, null, {
      code: rpcCodes.invalidRequest,
      message: 'The batch holds something else than JSON-RPC 2.0 messages.',
    });
    return;
  }
  const calls: Call[] = [];
  // One owner for all: a lost connection takes every call of the batch back.
  exchange.owner = {
    clientGone() {
      for (const call of calls) call.clientGone();
    },
  };
  if (requests.length > 0) exchange.expectBatch(requests.length);
  for (const entry of batch) {
    const handled = answerMessage(host, exchange, entry, session);
    if (handled instanceof Call) calls.push(handled);
  }
  if (requests.length === 0) exchange.accept();
}

function mayBeInBatch(entry: unknown): boolean {
  if (!isObject(entry) || entry['jsonrpc'] !== '2.0' || entry['method'] === 'initialize') return false;
  if (typeof entry['method'] === 'string') return true;
  return isRpcId(entry['id']) && (entry['result'] !== undefined || isObject(entry['error']));
}

function takeNotification(
  host: ProtocolHost,
  method: string,
  params: Record<string, unknown> | undefined,
  session: Session | null,
): void {
  if (method === 'notifications/cancelled') {
    const id = params?.['requestId'];
    if (session !== null && isRpcId(id)) session.findCall(id)?.cancelByClient('the client cancelled it');
    return;
  }
  // The handshake is ours, nobody waits for the progress of a client, and what nobody knows no backend needs to see.
  if (forwardedNotifications.has(method)) host.registry.notify(method, params, session === null ? null : session.id);
}

/** An answer of the client to a request of a backend. */
function takeClientAnswer(
  host: ProtocolHost,
  exchange: Exchange,
  body: Record<string, unknown>,
  session: Session | null,
): Handled {
  const { id, result, error } = body;
  if (isRpcId(id) && result !== undefined) {
    session?.takeAnswer(id, { result });
    return 'accepted';
  }
  if (isRpcId(id) && isObject(error)) {
    const code = typeof error['code'] === 'number' ? error['code'] : rpcCodes.internalError;
    const message = typeof error['message'] === 'string' ? error['message'] : 'The client answered with an error.';
    session?.takeAnswer(id, {
      error: { code, message, ...(error['data'] === undefined ? {} : { data: error['data'] }) },
    });
    return 'accepted';
  }
  refuse(host, exchange, null, {
    code: rpcCodes.invalidRequest,
    message: 'The body is no JSON-RPC request, notification or response.',
  });
  return 'answered';
}

function answerLocally(exchange: Exchange, id: RpcId, method: string): void {
  exchange.complete(
    method === 'ping'
      ? renderRpcResult(renderId(id), '{}')
      : renderRpcError(id, { code: rpcCodes.methodNotFound, message: `There is no method ${method.slice(0, 100)}.` }),
  );
}

function countAnswer(host: ProtocolHost, exchange: Exchange, method: string): void {
  host.metrics.request(method, null, 'ok', (performance.now() - exchange.startedMs) / 1_000);
}

function unavailable(exchange: Exchange, id: RpcId, detail: string, retryAfterSeconds: number): void {
  if (exchange.session !== null) {
    // The POST has been accepted already.
    exchange.complete(renderRpcError(id, { code: rpcCodes.internalError, message: detail }));
    return;
  }
  sendUnavailable(exchange.res, detail, retryAfterSeconds, exchange.extraHeaders);
  exchange.answered();
}

function refuse(host: ProtocolHost, exchange: Exchange, id: RpcId | null, error: RpcError): void {
  // What is wrong costs as much as what is free: neither may come in floods.
  if (!charge(host, exchange, 'free', 'legacy', id, 'invalid', undefined)) return;
  exchange.complete(renderRpcError(id, error), 400);
}

function idOf(body: unknown): RpcId | null {
  return isObject(body) && isRpcId(body['id']) ? body['id'] : null;
}
