import { sendUnavailable } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import type { RpcError, RpcId } from '../types.ts';
import { Call } from './call.ts';
import { charge } from './charge.ts';
import { describeServerInfo } from './handshake.ts';
import { parseListenFilter } from './listen-streams.ts';
import { forwardedMethods } from './methods.ts';
import { judgeModernRequest } from './modern-headers.ts';
import type { ProtocolHost } from './protocol-host.ts';
import { metaKeys, modernRevisions } from './revisions.ts';
import { capabilitiesFor, dispatch, hidesTool, instructionsFor } from './scoped-dispatch.ts';
import { refuseLackingScope } from './step-up.ts';
import { isObject, isRpcId, renderId, renderRpcError, renderRpcResult, rpcCodes } from './rpc-text.ts';

/** Answers one POST of the modern era, whose envelope is `meta`. Source: MCP 2026-07-28. */
export function answerModern(
  host: ProtocolHost,
  exchange: Exchange,
  message: Record<string, unknown>,
  params: Record<string, unknown>,
  meta: Record<string, unknown>,
): void {
  const { id, method } = message;
  if (typeof method !== 'string' || (id !== undefined && !isRpcId(id))) {
    refuse(host, exchange, null, { code: rpcCodes.invalidRequest, message: 'The body is not a JSON-RPC request.' });
    return;
  }
  // Nothing that a modern client may tell without asking concerns us: it cancels by closing the stream.
  if (id === undefined) {
    if (charge(host, exchange, 'free', 'modern', null, method, params)) exchange.accept();
    return;
  }
  const problem = judgeModernRequest(method, params, meta, exchange.req.headers);
  if (problem !== null) {
    refuse(host, exchange, id, problem);
    return;
  }
  const rule = forwardedMethods.get(method);
  if (rule !== undefined && rule.modern) {
    // What headers a hidden tool wants would tell that it exists.
    if (method === 'tools/call' && !hidesTool(host.registry, exchange.caller, params)) {
      const disagreement = host.parameterHeaders.judge(params, exchange.req.headers);
      if (disagreement !== null) {
        refuse(host, exchange, id, disagreement);
        return;
      }
    }
    if (method === 'tools/call' && refuseLackingScope(host, exchange, 'modern', id, params)) return;
    const continues = rule.mayAskForInput && host.parked.isOwnState(params['requestState']);
    // A call that goes on is in flight already.
    const cost = rule.charged ? (continues ? 'step' : 'call') : 'list';
    if (!charge(host, exchange, cost, 'modern', id, method, params)) return;
    if (continues) {
      resume(host, exchange, id, method, params);
      return;
    }
    const capabilities = meta[metaKeys.clientCapabilities] as Record<string, unknown>;
    const call = new Call(host.calls, exchange, id, method, params, rule, 'modern', null, capabilities);
    exchange.owner = call;
    exchange.wait();
    call.cancel = dispatch(host.registry, call);
    return;
  }
  if (method === 'server/discover') {
    if (charge(host, exchange, 'free', 'modern', id, method, undefined)) discover(host, exchange, id);
  } else if (method === 'subscriptions/listen') {
    if (charge(host, exchange, 'step', 'modern', id, method, params)) listen(host, exchange, id, params);
  } else
    refuse(
      host,
      exchange,
      id,
      { code: rpcCodes.methodNotFound, message: `There is no method ${method.slice(0, 100)}.` },
      404,
    );
}

function refuse(host: ProtocolHost, exchange: Exchange, id: RpcId | null, error: RpcError, status = 400): void {
  // What is wrong costs as much as what is free: neither may come in floods.
  if (!charge(host, exchange, 'free', 'modern', id, 'invalid', undefined)) return;
  exchange.complete(renderRpcError(id, error), status);
}

function resume(
  host: ProtocolHost,
  exchange: Exchange,
  id: RpcId,
  method: string,
  params: Record<string, unknown>,
): void {
  if (host.parked.resume(exchange, id, method, params)) return;
  const error = {
    code: rpcCodes.invalidParams,
    message: 'requestState is unknown or too old: send the request again without it.',
    data: { reason: 'invalid_request_state' },
  };
  exchange.complete(renderRpcError(id, error));
}

function discover(host: ProtocolHost, exchange: Exchange, id: RpcId): void {
  host.gate.whenReady((readiness) => {
    if (!exchange.host.stillAccepts(exchange)) {
      exchange.refuseKey();
      return;
    }
    if (!readiness.usable) {
      sendUnavailable(
        exchange.res,
        'The MCP server behind this endpoint is not running; its operator can see why in the status.',
        readiness.retryAfterSeconds,
        exchange.extraHeaders,
      );
      exchange.answered();
      return;
    }
    const instructions = instructionsFor(host.registry, exchange.caller);
    const result = {
      resultType: 'complete',
      ttlMs: 0,
      cacheScope: 'private',
      supportedVersions: modernRevisions,
      capabilities: capabilitiesFor(host.registry, exchange.caller),
      ...(instructions === null ? {} : { instructions }),
      _meta: { [metaKeys.serverInfo]: describeServerInfo(host.registry, host.version) },
    };
    exchange.complete(renderRpcResult(renderId(id), JSON.stringify(result)));
    host.metrics.request('server/discover', null, 'ok', (performance.now() - exchange.startedMs) / 1_000);
  });
}

function listen(host: ProtocolHost, exchange: Exchange, id: RpcId, params: Record<string, unknown>): void {
  const filter = parseListenFilter(
    isObject(params['notifications']) ? params['notifications'] : undefined,
    capabilitiesFor(host.registry, exchange.caller),
  );
  if (typeof filter === 'string') {
    exchange.complete(renderRpcError(id, { code: rpcCodes.invalidParams, message: `Invalid params: ${filter}.` }));
    return;
  }
  if (exchange.accepts === 'json') {
    refuse(
      host,
      exchange,
      id,
      { code: rpcCodes.invalidRequest, message: 'A subscription needs Accept: text/event-stream.' },
      406,
    );
    return;
  }
  const release = host.takeStream(exchange.caller, exchange.res, exchange.extraHeaders);
  if (release === null) exchange.answered();
  else host.listeners.open(exchange, id, filter, release);
}
