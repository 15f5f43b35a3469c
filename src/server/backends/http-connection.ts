import { traceHeadersOf } from '../observe/trace-context.ts';
import type { BackendCall, CancelCall, Era, RpcId } from '../types.ts';
import {
  UPSTREAM_BAD_ANSWER,
  UPSTREAM_BUSY,
  UPSTREAM_ENDED,
  UPSTREAM_TIMEOUT,
  UPSTREAM_UNAVAILABLE,
  upstreamError,
  type CallOutcome,
} from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import { callWith } from './call-with.ts';
import { errorOfRefusal, HttpCall, type CallEnd } from './http-call.ts';
import {
  startExchange,
  type Exchange,
  type ExchangeEnd,
  type ExchangeRequest,
  type HttpTarget,
} from './http-exchange.ts';
import { HttpRefusal } from './http-failure.ts';
import { answerInputRequests, isInputRequired } from './input-required.ts';
import { ownCall } from './list-cache.ts';
import { nameHeaders } from './modern-request-headers.ts';
import { UpstreamRpcError } from './own-requests.ts';
import type { ParamHeaders } from './param-headers.ts';
import type { UnsentCall } from './pending-calls.ts';
import {
  legacyRequestLine,
  MODERN_VERSION,
  modernRequestLine,
  progressTokenOf,
  type ClientInfo,
} from './request-text.ts';
import { readRpcMessage } from './rpc-message.ts';
import { routeServerMessage, type ServerMessage, type ServerMessageHost } from './server-messages.ts';
import { createServerRequests, type ServerAnswer, type ServerRequests } from './server-requests.ts';
import type { OwnAnswer } from './stdio-connection.ts';

export interface HttpConnectionOptions {
  readonly upstream: string;
  readonly log: Log;
  readonly clientInfo: ClientInfo;
  readonly target: HttpTarget;
  readonly callTimeoutMs: number;
  readonly maxConcurrency: number;
  readonly onNotification: (method: string, params: Record<string, unknown>) => void;
  /** The server cannot be reached, has forgotten the session or refuses the credentials. */
  readonly onLost: (reason: string) => void;
  /** A call that did not reach the server, after the connection was lost. */
  readonly onUnsent: (unsent: UnsentCall) => void;
}

/** The server did not answer a request of the gateway itself in time. */
export class OwnTimeout extends Error {}

const maxQueuedCalls = 1_024;
const maxQueuedCharacters = 64 * 1_048_576;
/** So many answers of a failing gateway in a row (502, 503, 504) mean that nothing is behind it. */
const failuresToLose = 5;
const unknownOutcome = 'outcome unknown: it may have run.';

/**
 * JSON-RPC with one HTTP server: every request has a connection or stream of
 * its own, so that what comes on it is known to belong to it. A legacy
 * session is one for all clients of the gateway.
 */
export class HttpConnection {
  era: Era = 'legacy';
  /** Of the handshake; null while it goes on. */
  protocolVersion: string | null = null;
  sessionId: string | null = null;
  paramHeaders: ParamHeaders | null = null;
  readonly #options: HttpConnectionOptions;
  readonly #active = new Map<number, HttpCall>();
  readonly #own = new Set<HttpCall>();
  readonly #queue = new Set<HttpCall>();
  readonly #streams = new Set<Exchange>();
  readonly #serverRequests: ServerRequests;
  readonly #messages: ServerMessageHost;
  #queuedCharacters = 0;
  #nextId = 1;
  #lost: string | null = null;
  #closed = false;
  #failuresInARow = 0;

  constructor(options: HttpConnectionOptions) {
    this.#options = options;
    const reply = (id: RpcId, answer: ServerAnswer): void => this.#reply(id, answer);
    this.#serverRequests = createServerRequests(reply);
    this.#messages = {
      upstream: options.upstream,
      log: options.log,
      requests: this.#serverRequests,
      callOfToken: (token) => this.#active.get(token),
      onNotification: options.onNotification,
      reply,
    };
  }

  get inFlight(): number {
    return this.#active.size + this.#queue.size;
  }

  send(call: BackendCall): CancelCall {
    const { maxConcurrency } = this.#options;
    const mayStart = this.#active.size < maxConcurrency && this.#queue.size === 0;
    if (!mayStart && (this.#queue.size >= maxQueuedCalls || this.#queuedCharacters >= maxQueuedCharacters)) {
      const message = `is busy: ${this.#queue.size} calls wait already. Try again in a moment.`;
      queueMicrotask(() => this.#fail(call, UPSTREAM_BUSY, message, 'not run'));
      return () => {};
    }
    const first = this.#newCall(call, 0);
    if (mayStart) this.#start(first);
    else {
      this.#queue.add(first);
      this.#queuedCharacters += first.body.length;
    }
    return (reason) => this.#cancel(first, reason);
  }

  request(method: string, params: Record<string, unknown>, timeoutMs: number): OwnAnswer {
    let one: HttpCall | null = null;
    const result = new Promise<string>((resolve, reject) => {
      const id = this.#nextId++;
      const modern = this.era === 'modern' || method === 'server/discover';
      const line = modern
        ? modernRequestLine(id, { method, params, clientCapabilities: {} }, this.#options.clientInfo)
        : legacyRequestLine(id, method, params);
      const call = ownCall(method, params, resolve, (error) => reject(new UpstreamRpcError(error)));
      const own = new HttpCall(id, call, { progressToken: undefined, body: line.trimEnd(), rounds: 0 });
      one = own;
      if (timeoutMs > 0) {
        own.timer = setTimeout(() => {
          this.#forget(own);
          reject(new OwnTimeout(`it did not answer ${method} within ${Math.round(timeoutMs / 100) / 10} s`));
        }, timeoutMs);
      }
      this.#own.add(own);
      own.start(
        this.#options.target,
        this.#headersOf(own),
        {
          onServerMessage: (message) => this.#onServerMessage(message, null),
          onEnd: (end) => {
            this.#forget(own);
            settleOwn(end, resolve, reject);
          },
        },
        {
          resumable: false,
          onHead: (sessionId) => {
            if (method === 'initialize') this.sessionId = sessionId;
          },
        },
      );
    });
    return { result, cancel: () => void (one !== null && this.#forget(one)) };
  }

  notify(method: string, params?: Record<string, unknown>): void {
    this.#post(JSON.stringify({ jsonrpc: '2.0', method, params }), method);
  }

  /** The stream for what belongs to no request (legacy eras). Tells when it opened, and when and how it ended. */
  listen(events: { onOpen(): void; onEnd(end: ExchangeEnd): void }): Exchange {
    const request: ExchangeRequest = {
      method: 'GET',
      headers: { ...this.#sessionHeaders(), accept: 'text/event-stream' },
      body: null,
    };
    const exchange = startExchange(this.#options.target, request, {
      onHead: () => events.onOpen(),
      onMessage: (text) => this.#onStreamMessage(text),
      onEnd: (end) => {
        this.#streams.delete(exchange);
        events.onEnd(end);
      },
    });
    this.#streams.add(exchange);
    return exchange;
  }

  /** Ends the session at the server (MCP, "Session Management"): it may refuse, which is of no matter. */
  endSession(timeoutMs: number): Promise<void> {
    const { sessionId } = this;
    if (sessionId === null) return Promise.resolve();
    this.sessionId = null;
    return new Promise((resolve) => {
      const headers = { ...this.#versionHeader(), 'mcp-session-id': sessionId };
      const exchange = startExchange(
        this.#options.target,
        { method: 'DELETE', headers, body: null },
        { onMessage() {}, onEnd: () => resolve() },
      );
      setTimeout(() => {
        exchange.abort();
        resolve();
      }, timeoutMs).unref();
    });
  }

  /** Nothing new is sent; calls that the server has may finish. Gives the calls that waited. */
  lose(reason: string): readonly UnsentCall[] {
    this.#lost = reason;
    for (const own of this.#own) this.#forget(own);
    for (const stream of this.#streams) stream.abort();
    this.#streams.clear();
    const unsent = Array.from(this.#queue, (one) => this.#giveBack(one));
    this.#queue.clear();
    this.#queuedCharacters = 0;
    return unsent;
  }

  /** Ends everything; calls in flight fail. */
  close(reason: string): void {
    this.#closed = true;
    for (const { call } of this.lose(reason)) this.#fail(call, UPSTREAM_UNAVAILABLE, 'is being stopped.', 'not run');
    for (const one of this.#active.values()) {
      one.abort();
      this.#fail(one.call, UPSTREAM_ENDED, `ended the call: ${reason}; ${unknownOutcome}`);
    }
    this.#active.clear();
    this.#serverRequests.clear();
  }

  // --- calls of clients ------------------------------------------------------

  #newCall(call: BackendCall, rounds: number): HttpCall {
    const id = this.#nextId++;
    const line =
      this.era === 'modern'
        ? modernRequestLine(id, call, this.#options.clientInfo)
        : legacyRequestLine(id, call.method, call.params);
    const one = new HttpCall(id, call, { progressToken: progressTokenOf(call.params), body: line.trimEnd(), rounds });
    one.timer = setTimeout(() => this.#onExpired(one), this.#options.callTimeoutMs);
    one.timer.unref();
    return one;
  }

  #start(one: HttpCall): void {
    this.#active.set(one.id, one);
    one.start(
      this.#options.target,
      this.#headersOf(one),
      { onServerMessage: (message) => this.#onServerMessage(message, one), onEnd: (end) => this.#onEnd(one, end) },
      { resumable: this.era === 'legacy' },
    );
  }

  #startQueued(): void {
    while (this.#queue.size > 0 && this.#active.size < this.#options.maxConcurrency) {
      const next = this.#queue.values().next();
      if (next.done === true) return;
      this.#unqueue(next.value);
      this.#start(next.value);
    }
  }

  #unqueue(one: HttpCall): boolean {
    if (!this.#queue.delete(one)) return false;
    this.#queuedCharacters -= one.body.length;
    return true;
  }

  /** Takes a call out of the table; false when it was over already. */
  #take(one: HttpCall): boolean {
    if (!this.#active.delete(one.id)) return false;
    if (one.timer !== null) clearTimeout(one.timer);
    if (this.#serverRequests.size > 0) this.#serverRequests.endCall(one.call);
    return true;
  }

  #onEnd(one: HttpCall, end: CallEnd): void {
    const { call } = one;
    if (end.kind === 'failed' && end.stale && !one.repeated && mayRepeat(call.method) && this.#lost === null) {
      // The kept connection was closed while the request was on its way; reading twice does no harm.
      one.repeated = true;
      this.#start(one);
      return;
    }
    if (!this.#take(one)) return;
    if (end.kind === 'result' || end.kind === 'error') this.#failuresInARow = 0;
    try {
      this.#settle(one, end);
    } catch (thrown) {
      this.#options.log.error('call-handler-failed', { upstream: this.#options.upstream, reason: reasonOf(thrown) });
    }
    this.#startQueued();
  }

  #settle(one: HttpCall, end: CallEnd): void {
    const { call } = one;
    switch (end.kind) {
      case 'result':
        if (this.era === 'modern' && call.era === 'legacy' && isInputRequired(end.json))
          this.#continueWithInput(one, end.json);
        else call.onResult(end.json);
        return;
      case 'error':
        call.onError(end.error);
        return;
      case 'too-large':
        this.#fail(
          call,
          UPSTREAM_BAD_ANSWER,
          `gave an answer of more than ${this.#options.target.maxMessageBytes} bytes, which is too large.`,
        );
        return;
      case 'lost':
        this.#fail(call, UPSTREAM_ENDED, `failed: ${end.reason}; ${unknownOutcome}`);
        return;
      case 'failed':
        if (end.sent) this.#fail(call, UPSTREAM_ENDED, `failed: ${end.reason}; ${unknownOutcome}`);
        else this.#onUnsent(one, end.reason);
        return;
      case 'refused':
        this.#onRefused(one, end.refusal);
    }
  }

  #onRefused(one: HttpCall, refusal: HttpRefusal): void {
    const { call } = one;
    const { status } = refusal;
    const error = errorOfRefusal(refusal);
    if (this.sessionId !== null && isSessionLost(status, error?.message)) {
      this.#onUnsent(one, 'it no longer knows the session of the gateway');
      return;
    }
    if (status === 401 || status === 403) {
      this.#fail(call, UPSTREAM_UNAVAILABLE, `is not available: ${refusal.message}.`, 'not run');
      if (status === 401) this.#lose(refusal.message);
      return;
    }
    if (error !== null) {
      call.onError(error);
      return;
    }
    if (status === 429) {
      const after = refusal.headers['retry-after'];
      const when = after === undefined || !/^[0-9]{1,6}$/.test(after) ? '' : ` Try again in ${after} s.`;
      this.#fail(call, UPSTREAM_BUSY, `is busy: ${refusal.message}.${when}`, 'not run');
      return;
    }
    if (status >= 500) {
      this.#fail(call, UPSTREAM_ENDED, `failed: ${refusal.message}; ${unknownOutcome}`);
      this.#failuresInARow++;
      if (status !== 500 && this.#failuresInARow >= failuresToLose) this.#lose(refusal.message);
      return;
    }
    if (status >= 200 && status < 300)
      this.#fail(call, UPSTREAM_BAD_ANSWER, `cannot be understood: ${refusal.message}.`);
    else this.#fail(call, UPSTREAM_BAD_ANSWER, `refused the call: ${refusal.message}.`, 'not run');
  }

  /** The server has not run it: it goes to the next session, or to the same server when that is back. */
  #onUnsent(one: HttpCall, reason: string): void {
    const unsent = this.#giveBack(one);
    if (this.#lost === null) this.#lose(reason);
    if (this.#closed) this.#fail(one.call, UPSTREAM_UNAVAILABLE, 'is being stopped.', 'not run');
    else this.#options.onUnsent(unsent);
  }

  #giveBack(one: HttpCall): UnsentCall {
    if (one.timer !== null) clearTimeout(one.timer);
    return {
      call: one.call,
      handOver: (cancel) => {
        one.next = cancel;
      },
    };
  }

  #lose(reason: string): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    this.#options.onLost(reason);
  }

  #cancel(first: HttpCall, reason: string): void {
    let one = first;
    while (one.next !== null) {
      if (typeof one.next === 'function') {
        one.next(reason);
        return;
      }
      one = one.next;
    }
    if (this.#unqueue(one)) {
      if (one.timer !== null) clearTimeout(one.timer);
      return;
    }
    this.#abandon(one, reason);
  }

  #abandon(one: HttpCall, reason: string): void {
    if (!this.#take(one)) return;
    // In the modern era the end of the stream says it; in the legacy eras it says nothing.
    if (this.era === 'legacy' && one.started) this.notify('notifications/cancelled', { requestId: one.id, reason });
    one.abort();
    this.#startQueued();
  }

  #onExpired(one: HttpCall): void {
    const what = `did not answer within ${this.#options.callTimeoutMs / 1_000} s;`;
    if (this.#unqueue(one)) {
      this.#fail(one.call, UPSTREAM_TIMEOUT, `${what} the call waited and did not run.`, 'not run');
      return;
    }
    if (!this.#active.has(one.id)) return;
    this.#abandon(one, 'time-out');
    this.#fail(one.call, UPSTREAM_TIMEOUT, `${what} ${unknownOutcome}`);
  }

  /** A legacy client cannot repeat its call with answers: the gateway asks it, and repeats the call in its place. */
  #continueWithInput(before: HttpCall, resultJson: string): void {
    const { call, rounds } = before;
    const asking = this.#newCall(call, rounds);
    asking.body = '';
    before.next = asking;
    this.#active.set(asking.id, asking);
    answerInputRequests(call, resultJson, rounds, {
      onParams: (params) => {
        if (!this.#take(asking)) return;
        const repeated = this.#newCall(callWith(call, { params }), rounds + 1);
        asking.next = repeated;
        this.#start(repeated);
      },
      onError: (error) => {
        if (this.#take(asking)) call.onError(error);
      },
    });
  }

  // --- what the server sends on its own --------------------------------------

  #onStreamMessage(text: string): void {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      this.#options.log.debug('upstream-event-ignored', { upstream: this.#options.upstream, reason: 'not JSON' });
      return;
    }
    for (const one of Array.isArray(parsed) ? (parsed as unknown[]) : [parsed]) {
      const message = readRpcMessage(one);
      if (message.kind === 'request' || message.kind === 'notification') this.#onServerMessage(message, null);
    }
  }

  /** `from`: the call on whose stream it came, which it then belongs to, as long as it goes on. */
  #onServerMessage(message: ServerMessage, from: HttpCall | null): void {
    routeServerMessage(message, this.#messages, () => {
      const one = from ?? this.#onlyCall();
      return one !== null && (message.kind === 'notification' || this.#active.has(one.id)) ? one.call : null;
    });
  }

  /** Servers that ask beside the stream of the call can be understood only while there is one call. */
  #onlyCall(): HttpCall | null {
    const [one] = this.#active.values();
    return this.#active.size === 1 ? (one ?? null) : null;
  }

  #reply(id: RpcId, answer: ServerAnswer): void {
    this.#post(JSON.stringify({ jsonrpc: '2.0', id, ...answer }), 'response');
  }

  // --- sending ---------------------------------------------------------------

  /** A message that has no answer. */
  #post(body: string, what: string): void {
    if (this.#closed) return;
    const headers = { ...this.#sessionHeaders(), accept: 'application/json, text/event-stream' };
    const { log, upstream, target } = this.#options;
    startExchange(
      target,
      { method: 'POST', headers, body },
      {
        onMessage() {},
        onEnd: (end) => {
          if (end.kind === 'complete') return;
          const reason = end.kind === 'refused' ? end.refusal.message : 'reason' in end ? end.reason : end.kind;
          log.debug('upstream-message-not-taken', { upstream, what, reason });
        },
      },
    );
  }

  #headersOf({ call }: HttpCall): Record<string, string> {
    const { method, params } = call;
    if (this.era === 'legacy' && method !== 'server/discover') {
      return method === 'initialize' ? {} : { ...this.#sessionHeaders(), ...traceHeadersOf(params) };
    }
    return {
      ...traceHeadersOf(params),
      'mcp-protocol-version': MODERN_VERSION,
      ...nameHeaders(method, params),
      ...(method === 'tools/call' ? this.paramHeaders?.headersFor(params) : undefined),
    };
  }

  #sessionHeaders(): Record<string, string> {
    return { ...this.#versionHeader(), ...(this.sessionId === null ? {} : { 'mcp-session-id': this.sessionId }) };
  }

  #versionHeader(): Record<string, string> {
    return this.protocolVersion === null ? {} : { 'mcp-protocol-version': this.protocolVersion };
  }

  #forget(own: HttpCall): void {
    if (this.#own.delete(own)) own.abort();
  }

  #fail(call: BackendCall, code: number, what: string, outcome: CallOutcome = 'unknown'): void {
    const { upstream, log } = this.#options;
    try {
      call.onError(upstreamError(code, upstream, `The upstream "${upstream}" ${what}`, outcome));
    } catch (thrown) {
      log.error('call-handler-failed', { upstream, reason: reasonOf(thrown) });
    }
  }
}

function settleOwn(end: CallEnd, resolve: (json: string) => void, reject: (error: Error) => void): void {
  switch (end.kind) {
    case 'result':
      resolve(end.json);
      return;
    case 'error':
      reject(new UpstreamRpcError(end.error));
      return;
    case 'refused': {
      const error = errorOfRefusal(end.refusal);
      // Credentials, redirects and failures are told by the status; the body of the others says more.
      const { status } = end.refusal;
      const told = error !== null && status >= 400 && status < 500 && status !== 401 && status !== 403;
      reject(told ? new UpstreamRpcError(error) : end.refusal);
      return;
    }
    case 'too-large':
      reject(new Error('its answer is too large'));
      return;
    case 'failed':
    case 'lost':
      reject(new Error(end.reason));
  }
}

/** Methods that only read: nothing happens twice when they are sent twice. */
function mayRepeat(method: string): boolean {
  return (
    method.endsWith('/list') ||
    method === 'resources/read' ||
    method === 'prompts/get' ||
    method === 'completion/complete'
  );
}

/** 404 says it (MCP, "Session Management"); well-known servers answer 400 and say it in words. */
function isSessionLost(status: number, message: string | undefined): boolean {
  return status === 404 || (status === 400 && message !== undefined && /session|not initialized/i.test(message));
}
