import type { HttpRequest, HttpResponse } from './http-message.ts';
import { charge } from '../protocol/charge.ts';
import { judgePlainCall } from '../protocol/modern-headers.ts';
import { isNestedTooDeep } from '../protocol/nesting.ts';
import type { ProtocolHost } from '../protocol/protocol-host.ts';
import { isObject } from '../protocol/rpc-text.ts';
import { dispatch, hidesTool } from '../protocol/scoped-dispatch.ts';
import { refuseLackingScope } from '../protocol/step-up.ts';
import { ToolCall, type PlainMethod } from '../protocol/tool-call.ts';
import type { Caller, RpcError } from '../types.ts';
import type { Admission } from './admission.ts';
import { refuseFlood } from './answer-message.ts';
import { sendProblem, sendUnavailable } from './answers.ts';
import { endAfterAnswer } from './end-after-answer.ts';
import { Exchange, type ExchangeHost } from './exchange.ts';
import { readBody, type BodyBudget } from './read-body.ts';

/** What plain tool calls share with the endpoint. */
export interface ToolCallsHost extends ExchangeHost {
  readonly admission: Admission;
}

/** What the path needs to know of the configuration. */
export interface ToolCallsParts {
  /** Without a slash at the end. */
  readonly path: string;
  readonly bodyBytes: number;
  readonly bodies: BodyBudget;
  readonly protocol: ProtocolHost;
}

const methods = 'GET, POST, OPTIONS';

/**
 * Tools for programs that speak no JSON-RPC: `POST PATH/NAME` with the arguments as the body, or `POST PATH` with
 * `{"name", "arguments"}`, is answered with the result of the tool; `GET PATH` lists the tools. Keys, limits, sizes, audit
 * and metrics are those of the endpoint.
 */
export class ToolCalls implements ExchangeHost {
  readonly streams: ExchangeHost['streams'];
  readonly waiting: ExchangeHost['waiting'];
  readonly compressed: ExchangeHost['compressed'];
  readonly #host: ToolCallsHost;
  readonly #parts: ToolCallsParts;
  readonly #below: string;

  constructor(host: ToolCallsHost, parts: ToolCallsParts) {
    this.#host = host;
    this.#parts = parts;
    this.#below = `${parts.path}/`;
    this.streams = host.streams;
    this.waiting = host.waiting;
    this.compressed = host.compressed;
  }

  get endedKeys(): number {
    return this.#host.endedKeys;
  }

  /** Whether a path without its query is one of these. */
  covers(path: string): boolean {
    return path === this.#parts.path || path.startsWith(this.#below);
  }

  answer(req: HttpRequest, res: HttpResponse, path: string, query: string): void {
    const admitted = this.#host.admission.admit(req, res, methods);
    if (admitted === null) return;
    const { caller, requestId, extra } = admitted;
    const { protocol } = this.#parts;
    const named = readName(path.slice(this.#below.length));
    const refuse = (status: number, title: string, detail: string, more: readonly string[] = []): void => {
      const request = { caller, requestId, bytesIn: 0, req };
      if (refuseFlood(protocol, request, res, extra)) return;
      if (status === 415) protocol.refused(request, 'content type is not application/json');
      sendProblem(res, status, title, detail, [...more, ...extra]);
    };
    if (named === null) refuse(404, 'Not Found', 'The name of the tool in the path is not valid.');
    else if (req.method === 'GET' && named === '') this.#list(req, res, caller, requestId, extra, query);
    else if (req.method !== 'POST') {
      const detail = named === '' ? 'Tools are called with POST and listed with GET.' : 'A tool is called with POST.';
      refuse(405, 'Method Not Allowed', detail, ['Allow', named === '' ? methods : 'POST, OPTIONS']);
    } else if (!/^application\/json\s*(?:;|$)/i.test(req.headers['content-type'] ?? ''))
      refuse(415, 'Unsupported Media Type', 'Content-Type must be application/json.');
    else if (!this.#refusesFull(req, res, caller, requestId, extra)) {
      const exchange = new ToolExchange(this, req, res, caller, extra, requestId, named);
      readBody(exchange, this.#parts.bodyBytes, this.#parts.bodies);
    }
  }

  openStream(caller: Caller): (() => void) | null {
    return this.#host.openStream(caller);
  }

  stillAccepts(exchange: Exchange): boolean {
    return this.#host.stillAccepts(exchange);
  }

  bodyRead(exchange: ToolExchange, text: string): void {
    const { protocol } = this.#parts;
    if (!this.stillAccepts(exchange)) {
      protocol.refused(exchange, 'key ended while the body was read');
      exchange.refuseKey();
      return;
    }
    const params = readParams(exchange.toolName, text);
    if (typeof params === 'string') {
      this.#refuseBad(exchange, params);
      return;
    }
    const disagreement = this.#judgeHeaders(exchange, params);
    if (disagreement !== null) {
      this.#refuseBad(exchange, disagreement.message);
      return;
    }
    if (refuseLackingScope(protocol, exchange, 'legacy', exchange.requestId, params)) return;
    this.#send(exchange, 'tools/call', params);
  }

  bodyTooLarge(exchange: Exchange): void {
    const { protocol, bodyBytes } = this.#parts;
    protocol.refused(exchange, 'body too large');
    const extra = ['Connection', 'close', ...exchange.extraHeaders];
    sendProblem(exchange.res, 413, 'Content Too Large', `The body is larger than ${bodyBytes} bytes.`, extra);
    endAfterAnswer(exchange);
  }

  bodyRefused(exchange: Exchange): void {
    this.#host.bodyRefused(exchange);
  }

  /** By the rules of the endpoint: a proxy on the way may have decided by a header. */
  #judgeHeaders({ req, caller }: ToolExchange, params: Record<string, unknown>): RpcError | null {
    const { registry, parameterHeaders } = this.#parts.protocol;
    const disagreement = judgePlainCall(params, req.headers);
    // What headers a hidden tool wants would tell that it exists.
    if (disagreement !== null || hidesTool(registry, caller, params)) return disagreement;
    return parameterHeaders.judge(params, req.headers);
  }

  #refuseBad(exchange: ToolExchange, detail: string): void {
    if (!refuseFlood(this.#parts.protocol, exchange, exchange.res, exchange.extraHeaders))
      sendProblem(exchange.res, 400, 'Bad Request', detail, exchange.extraHeaders);
    exchange.answered();
  }

  #list(
    req: HttpRequest,
    res: HttpResponse,
    caller: Caller,
    requestId: string,
    extra: readonly string[],
    query: string,
  ): void {
    if (this.#refusesFull(req, res, caller, requestId, extra)) return;
    const cursor = new URLSearchParams(query).get('cursor');
    const exchange = new ToolExchange(this, req, res, caller, extra, requestId, '');
    this.#send(exchange, 'tools/list', cursor === null ? {} : { cursor });
  }

  #send(exchange: Exchange, method: PlainMethod, params: Record<string, unknown>): void {
    const { protocol } = this.#parts;
    const cost = method === 'tools/call' ? 'call' : 'list';
    if (!charge(protocol, exchange, cost, 'legacy', exchange.requestId, method, params)) return;
    const call = new ToolCall(protocol.calls, exchange, method, params);
    exchange.owner = call;
    call.cancel = dispatch(protocol.registry, call);
  }

  #refusesFull(
    req: HttpRequest,
    res: HttpResponse,
    caller: Caller,
    requestId: string,
    extra: readonly string[],
  ): boolean {
    const { protocol } = this.#parts;
    if (!protocol.isFull()) return false;
    protocol.refused({ caller, requestId, bytesIn: 0, req }, 'too many calls in flight');
    sendUnavailable(res, 'This server has as many calls in flight as it takes; try again in a moment.', 2, extra);
    return true;
  }
}

/** A plain call knows its tool before its body is read. */
class ToolExchange extends Exchange {
  /** As the path names it; empty when the body does. */
  readonly toolName: string;

  constructor(
    host: ToolCalls,
    req: HttpRequest,
    res: HttpResponse,
    caller: Caller,
    extraHeaders: readonly string[],
    requestId: string,
    toolName: string,
  ) {
    super(host, req, res, caller, 'json', extraHeaders, requestId);
    this.toolName = toolName;
  }
}

/** What the path says after its slash; null for what is no text in UTF-8. */
function readName(encoded: string): string | null {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return null;
  }
}

/** `params` of the call, or the sentence that says why there are none. */
function readParams(toolName: string, text: string): Record<string, unknown> | string {
  if (isNestedTooDeep(text)) return 'The body is nested too deeply.';
  let body: unknown;
  try {
    body = toolName !== '' && text === '' ? {} : JSON.parse(text);
  } catch {
    return text === '' ? 'The body is empty.' : 'The body is not valid JSON.';
  }
  if (!isObject(body)) return 'The body must be a JSON object.';
  if (toolName !== '') return { name: toolName, arguments: body };
  const { name, arguments: given = {} } = body;
  if (typeof name !== 'string' || name === '')
    return 'The body must be {"name": "…", "arguments": {…}}, or the path must end with the name of the tool.';
  return isObject(given) ? { name, arguments: given } : 'arguments must be a JSON object.';
}
