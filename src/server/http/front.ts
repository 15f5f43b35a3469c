import type { HttpRequest, HttpResponse } from './http-message.ts';
import type { Caller } from '../types.ts';
import type { ChargedRequest, ProtocolHost } from '../protocol/protocol-host.ts';
import { renderRpcError, rpcCodes } from '../protocol/rpc-text.ts';
import type { Siblings } from '../workers/siblings.ts';
import { Admission, type AdmissionParts } from './admission.ts';
import { inertHeaders, sendEmpty, sendJson, sendOAuthError, sendProblem, sendUnavailable } from './answers.ts';
import { answerMessage, refuseFlood } from './answer-message.ts';
import { Exchange, type ExchangeHost } from './exchange.ts';
import { isPlainGet, renderInfoPage, type InfoFacts } from './info-page.ts';
import { answerSessionDelete, answerSessionStream } from './legacy-streams.ts';
import { cameFromWorker, peerAddress } from './peer-address.ts';
import type { OwnPage } from './page-listeners.ts';
import { isVisit } from './page-visit.ts';
import { parseAccept } from './parse-accept.ts';
import { BodyBudget, readBody } from './read-body.ts';
import { SseTransport, type SseConnection } from './sse-transport.ts';
import { isHealthPage, type StatusPages } from './status-pages.ts';
import { ToolCalls } from './tool-calls.ts';
import { endAfterAnswer } from './end-after-answer.ts';

/** What the front is made of. */
export interface FrontParts extends AdmissionParts {
  /** Path of the MCP endpoint, without a slash at the end. */
  readonly path: string;
  /** A path that answers as /health does. */
  readonly healthPath: string;
  /** Further paths of the endpoint. */
  readonly aliases: readonly string[];
  /** What a plain GET of the endpoint is told; null when it is nothing. */
  readonly info: InfoFacts | null;
  /** Whether a person who opens the endpoint in a browser is shown the page. */
  readonly hasPage: boolean;
  /** Paths of the HTTP+SSE transport; null without it. */
  readonly legacySse: { readonly sse: string; readonly messages: string } | null;
  /** Path that tools are called at without JSON-RPC; null without. */
  readonly toolPath: string | null;
  /** Open connections of that transport. */
  readonly sseConnections: Map<string, SseConnection>;
  readonly bodyBytes: number;
  readonly streams: ExchangeHost['streams'];
  readonly waiting: ExchangeHost['waiting'];
  readonly compressed: ExchangeHost['compressed'];
  readonly protocol: ProtocolHost;
  readonly pages: StatusPages;
  /** The other workers of this server; null when it is the only process. */
  readonly siblings: Siblings | null;
}

/** What the unfinished bodies of all connections may hold together. */
const unfinishedBodiesBytes = 256 * 1_048_576;

/** The HTTP side: tells pages from the endpoint, says no where it must, and hands what is left to the protocol. */
export class Front implements ExchangeHost {
  readonly streams: ExchangeHost['streams'];
  readonly waiting: ExchangeHost['waiting'];
  readonly compressed: ExchangeHost['compressed'];
  readonly admission: Admission;
  endedKeys = 0;

  readonly #parts: FrontParts;
  readonly #path: string;
  readonly #pathWithSlash: string;
  readonly #aliases: ReadonlySet<string>;
  readonly #sse: SseTransport | null;
  readonly #bodies: BodyBudget;
  readonly #tools: ToolCalls | null;

  constructor(parts: FrontParts) {
    this.#parts = parts;
    this.#path = parts.path;
    this.#pathWithSlash = `${parts.path}/`;
    this.#aliases = new Set(parts.aliases);
    this.#sse =
      parts.legacySse === null
        ? null
        : new SseTransport(parts.protocol, parts.legacySse.messages, parts.sseConnections);
    // Two of the largest bodies always find room.
    this.#bodies = new BodyBudget(Math.max(unfinishedBodiesBytes, 2 * parts.bodyBytes));
    this.admission = new Admission(parts);
    this.admission.again = (req, res) => this.handle(req, res);
    this.streams = parts.streams;
    this.waiting = parts.waiting;
    this.compressed = parts.compressed;
    const { toolPath: path, bodyBytes, protocol } = parts;
    this.#tools = path === null ? null : new ToolCalls(this, { path, bodyBytes, bodies: this.#bodies, protocol });
  }

  handle(req: HttpRequest, res: HttpResponse): void {
    const url = this.#urlOf(req);
    try {
      if (this.#parts.gate !== null && !this.admission.admitsAddress(req, res, isHealthPage(url))) return;
      if (url === this.#path || url === this.#pathWithSlash || this.#isPathWithQuery(url))
        this.#answerEndpoint(req, res);
      else if (!this.#answerFurtherPath(req, res, url) && !this.admission.answersPage(req, res))
        this.#parts.pages.answer(req, res, url, this.admission.draining);
    } catch (error) {
      this.#answerBug(res, error);
    }
  }

  /** Answers at a listener that is there for these pages alone. */
  handlePages(req: HttpRequest, res: HttpResponse, shown: readonly OwnPage[]): void {
    const url = this.#urlOf(req);
    try {
      if (this.#parts.gate !== null && !this.admission.admitsAddress(req, res, isHealthPage(url))) return;
      this.#parts.pages.answerOwn(req, res, url, shown, this.admission.draining);
    } catch (error) {
      this.#answerBug(res, error);
    }
  }

  /** The further path of /health is that page everywhere. */
  #urlOf({ url = '/' }: HttpRequest): string {
    return url === this.#parts.healthPath ? '/health' : url;
  }

  /** Calls, sessions and streams of the key are ended elsewhere; what is still being read is looked at again. */
  keyEnded(): void {
    this.endedKeys++;
  }

  stillAccepts(exchange: Exchange): boolean {
    return exchange.endedKeys === this.endedKeys || this.admission.stillAccepts(exchange.req, exchange.caller);
  }

  openStream(caller: Caller): (() => void) | null {
    return this.#parts.protocol.openStream(caller);
  }

  bodyTooLarge(exchange: Exchange): void {
    this.#refused(exchange, 'body too large');
    // With HTTP+SSE the refusal is of the POST, not of a message.
    const error = { code: rpcCodes.badRequest, message: `The body is larger than ${this.#parts.bodyBytes} bytes.` };
    // The rest of the body is on its way: the connection cannot be used again.
    exchange.extraHeaders = ['Connection', 'close', ...exchange.extraHeaders];
    if (exchange.session === null) exchange.complete(renderRpcError(null, error), 413);
    else sendJson(exchange.res, 413, renderRpcError(null, error), exchange.extraHeaders);
    endAfterAnswer(exchange);
  }

  bodyRefused(exchange: Exchange): void {
    this.#refused(exchange, 'too many unfinished bodies');
    const detail = 'This server is reading as many large requests as it can hold; try again in a moment.';
    sendUnavailable(exchange.res, detail, 2, ['Connection', 'close', ...exchange.extraHeaders]);
    endAfterAnswer(exchange);
  }

  bodyRead(exchange: Exchange, text: string): void {
    try {
      if (!this.stillAccepts(exchange)) {
        this.#refused(exchange, 'key ended while the body was read');
        exchange.refuseKey();
        return;
      }
      answerMessage(this.#parts, exchange, text);
      if (exchange.session !== null) sendEmpty(exchange.res, 202, exchange.extraHeaders);
    } catch (error) {
      this.#answerBug(exchange.res, error, exchange.requestId);
      exchange.answered();
    }
  }

  /** One request that trips over a bug of ours must not take the others down. */
  #answerBug(res: HttpResponse, error: unknown, requestId?: string): void {
    this.#parts.metrics.error('bug');
    this.#parts.log.error('server.bug', { error, requestId });
    if (res.headersSent) res.destroy();
    else {
      const cors = this.admission.guard.corsHeaders(res.req.headers.origin);
      const extra = requestId === undefined ? cors : ['X-Request-Id', requestId, ...cors];
      sendProblem(res, 500, 'Internal Server Error', 'The server made a mistake; its log says more.', extra);
    }
  }

  #refused(request: ChargedRequest, why: string): void {
    this.#parts.protocol.refused(request, why);
  }

  #isPathWithQuery(url: string): boolean {
    if (!url.startsWith(this.#path)) return false;
    const rest = url.slice(this.#path.length);
    return rest.startsWith('?') || rest.startsWith('/?');
  }

  /** Aliases, the paths of HTTP+SSE and plain tool calls, where they are configured. False when the path is none of them. */
  #answerFurtherPath(req: HttpRequest, res: HttpResponse, url: string): boolean {
    const { legacySse } = this.#parts;
    if (this.#aliases.size === 0 && legacySse === null && this.#tools === null) return false;
    const query = url.indexOf('?');
    const path = query === -1 ? url : url.slice(0, query);
    if (this.#sse !== null && path === legacySse?.sse) {
      this.#answerSseStream(req, res, this.#sse);
      return true;
    }
    const sessionId = query === -1 ? null : new URLSearchParams(url.slice(query)).get('sessionId');
    const isAlias = this.#aliases.has(path);
    if (this.#sse !== null && path === legacySse?.messages && (sessionId !== null || !isAlias)) {
      this.#answerSseMessage(req, res, this.#sse, sessionId ?? '');
      return true;
    }
    if (isAlias) this.#answerEndpoint(req, res);
    else if (this.#tools?.covers(path) === true) {
      this.#tools.answer(req, res, path, query === -1 ? '' : url.slice(query));
      return true;
    }
    return isAlias;
  }

  #answerSseStream(req: HttpRequest, res: HttpResponse, sse: SseTransport): void {
    const admitted = this.admission.admit(req, res, 'GET, OPTIONS');
    if (admitted === null) return;
    const { caller, requestId, extra } = admitted;
    // 405 on POST is how clients that try the newer transport first find out what this is.
    if (refuseFlood(this.#parts.protocol, { caller, requestId, bytesIn: 0, req }, res, extra)) return;
    if (req.method === 'GET') sse.connect(req, res, caller, this.#parts.readAddress.trusts(peerAddress(req)), extra);
    else sendJson(res, 405, sseTakesGet, ['Allow', 'GET, OPTIONS', ...extra]);
  }

  #answerSseMessage(req: HttpRequest, res: HttpResponse, sse: SseTransport, sessionId: string): void {
    const admitted = this.admission.admit(req, res, 'POST, OPTIONS');
    if (admitted === null) return;
    const { caller, requestId, extra } = admitted;
    if (req.method !== 'POST') {
      sendJson(res, 405, messagesTakePost, ['Allow', 'POST, OPTIONS', ...extra]);
      return;
    }
    if (this.#passOn(req, res, requestId, sessionId)) return;
    const connection = sse.find(sessionId, caller);
    if (connection !== null) this.#answerPost(req, res, caller, requestId, extra, connection);
    else {
      const request = { caller, requestId, bytesIn: 0, req };
      if (refuseFlood(this.#parts.protocol, request, res, extra)) return;
      this.#refused(request, this.#parts.protocol.sessions.describeMissing(sessionId));
      const message = 'The session is not known here: open the event stream again.';
      sendJson(res, 404, renderRpcError(null, { code: rpcCodes.unknownSession, message }), extra);
    }
  }

  #answerEndpoint(req: HttpRequest, res: HttpResponse): void {
    if (this.#parts.hasPage && req.method === 'GET' && isVisit(req)) {
      this.#parts.pages.visit(req, res, this.admission.draining);
      return;
    }
    if (this.#parts.info !== null && isPlainGet(req)) {
      this.#answerInfo(req, res, this.#parts.info);
      return;
    }
    const admitted = this.admission.admit(req, res, 'GET, POST, DELETE, OPTIONS');
    if (admitted === null) return;
    const { caller, requestId, extra } = admitted;
    if (this.#passOn(req, res, requestId, req.headers['mcp-session-id'])) return;
    if (req.method === 'POST') this.#answerPost(req, res, caller, requestId, extra);
    else if (refuseFlood(this.#parts.protocol, { caller, requestId, bytesIn: 0, req }, res, extra)) return;
    else if (req.method === 'GET') answerSessionStream(this.#parts.protocol, req, res, caller, extra);
    else if (req.method === 'DELETE') answerSessionDelete(this.#parts.protocol, req, res, caller, extra);
    else sendJson(res, 405, methodNotAllowed, ['Allow', 'GET, POST, DELETE, OPTIONS', ...extra]);
  }

  #answerInfo(req: HttpRequest, res: HttpResponse, facts: InfoFacts): void {
    const { headers } = req;
    const refusal = this.admission.guard.refuses(headers.host, headers.origin);
    const extra = ['X-Request-Id', this.#parts.requestIdOf(req), ...this.admission.guard.corsHeaders(headers.origin)];
    if (refusal !== null) {
      sendOAuthError(res, refusal.status, 'access_denied', refusal.message, extra);
      return;
    }
    const showsKey = headers.authorization !== undefined || headers['x-api-key'] !== undefined;
    const authenticated = showsKey && this.#parts.keys !== null ? this.#parts.pages.holdsKey(req) : null;
    sendJson(res, 200, renderInfoPage(facts, authenticated), ['Cache-Control', 'no-store', ...inertHeaders, ...extra]);
  }

  /** Hands a request to the worker that has its session. False when it is ours, or nobody's. */
  #passOn(req: HttpRequest, res: HttpResponse, requestId: string, sessionId: unknown): boolean {
    const { siblings } = this.#parts;
    if (siblings === null || typeof sessionId !== 'string' || cameFromWorker(req)) return false;
    const owner = siblings.otherOwnerOf(sessionId);
    if (owner !== null) siblings.passOn(req, res, owner, { peer: peerAddress(req), requestId }, null);
    return owner !== null;
  }

  #answerPost(
    req: HttpRequest,
    res: HttpResponse,
    caller: Caller,
    requestId: string,
    extra: readonly string[],
    connection: SseConnection | null = null,
  ): void {
    const type = req.headers['content-type'];
    if (type !== 'application/json' && !/^application\/json\s*(?:;|$)/i.test(type ?? '')) {
      const request = { caller, requestId, bytesIn: 0, req };
      if (refuseFlood(this.#parts.protocol, request, res, extra)) return;
      this.#refused(request, 'content type is not application/json');
      sendJson(
        res,
        415,
        renderRpcError(null, { code: rpcCodes.badRequest, message: 'Content-Type must be application/json.' }),
        extra,
      );
      return;
    }
    if (this.#parts.protocol.isFull()) {
      this.#refused({ caller, requestId, bytesIn: 0, req }, 'too many calls in flight');
      sendUnavailable(res, 'This server has as many calls in flight as it takes; try again in a moment.', 2, extra);
      return;
    }
    const accepts = connection === null ? parseAccept(req.headers.accept) : 'both';
    if (accepts === null) {
      if (refuseFlood(this.#parts.protocol, { caller, requestId, bytesIn: 0, req }, res, extra)) return;
      const message = 'Accept must allow application/json, and text/event-stream for streams.';
      sendJson(res, 406, renderRpcError(null, { code: rpcCodes.badRequest, message }), extra);
      return;
    }
    const exchange = new Exchange(this, req, res, caller, accepts, extra, requestId);
    if (connection !== null) exchange.answerOn(connection.session, connection.stream);
    readBody(exchange, this.#parts.bodyBytes, this.#bodies);
  }
}

const sseTakesGet = renderRpcError(null, { code: rpcCodes.badRequest, message: 'The event stream is opened by GET.' });
const messagesTakePost = renderRpcError(null, { code: rpcCodes.badRequest, message: 'Messages are sent by POST.' });
const methodNotAllowed = renderRpcError(null, {
  code: rpcCodes.badRequest,
  message: 'This endpoint takes POST, GET and DELETE.',
});
