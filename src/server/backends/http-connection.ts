import type { BackendCall, CancelCall, Era, RpcId } from '../types.ts';
import {
  UPSTREAM_BUSY,
  UPSTREAM_ENDED,
  UPSTREAM_TIMEOUT,
  UPSTREAM_UNAVAILABLE,
  upstreamError,
  type CallOutcome,
} from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import { callWith } from './call-with.ts';
import { HttpSession } from './http-session.ts';
import { HttpCall, type CallEnd } from './http-call.ts';
import { type Exchange, type ExchangeEnd, type HttpTarget } from './http-exchange.ts';
import { judgeHttpEnd, readOwnAnswer, unknownOutcome, type CallVerdict } from './judge-http-end.ts';
import { answerInputRequests, isInputRequired } from './input-required.ts';
import { ownCall } from './list-cache.ts';
import { UpstreamRpcError } from './own-requests.ts';
import type { UnsentCall } from './pending-calls.ts';
import { legacyRequestLine, modernRequestLine, progressTokenOf, type ClientInfo } from './request-text.ts';
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

/**
 * JSON-RPC with one HTTP server: every request has a connection or stream of
 * its own, so that what comes on it is known to belong to it. A legacy
 * session is one for all clients of the gateway.
 */
export class HttpConnection {
  readonly session: HttpSession;
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
    this.session = new HttpSession(options.target, options.upstream, options.log);
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

  get era(): Era {
    return this.session.era;
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
      const modern = this.session.era === 'modern' || method === 'server/discover';
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
            try {
              resolve(readOwnAnswer(end));
            } catch (error) {
              reject(error);
            }
          },
        },
        {
          resumable: false,
          onHead: (sessionId) => {
            if (method === 'initialize') this.session.id = sessionId;
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
    const exchange = this.session.listen({
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
      this.session.era === 'modern'
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
      { resumable: this.session.era === 'legacy' },
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
    const verdict = judgeHttpEnd(end, this.session.id !== null, this.#options.target.maxMessageBytes);
    switch (verdict.kind) {
      case 'result':
        if (this.session.era === 'modern' && call.era === 'legacy' && isInputRequired(verdict.json))
          this.#continueWithInput(one, verdict.json);
        else call.onResult(verdict.json);
        return;
      case 'error':
        call.onError(verdict.error);
        return;
      case 'unsent':
        this.#onUnsent(one, verdict.reason);
        return;
      case 'failed':
        this.#fail(call, verdict.code, verdict.what, verdict.outcome);
        if (verdict.sign !== undefined) this.#onSign(verdict.sign);
    }
  }

  /** What a failed call says of the server behind it. */
  #onSign({ kind, reason }: NonNullable<Extract<CallVerdict, { kind: 'failed' }>['sign']>): void {
    if (kind !== 'credentials') this.#failuresInARow++;
    if (kind === 'credentials' || (kind === 'gateway' && this.#failuresInARow >= failuresToLose)) this.#lose(reason);
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
    if (this.session.era === 'legacy' && one.started)
      this.notify('notifications/cancelled', { requestId: one.id, reason });
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

  #post(body: string, what: string): void {
    if (!this.#closed) this.session.post(body, what);
  }

  #headersOf({ call }: HttpCall): Record<string, string> {
    return this.session.headersFor(call.method, call.params);
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

/** Methods that only read: nothing happens twice when they are sent twice. */
function mayRepeat(method: string): boolean {
  return (
    method.endsWith('/list') ||
    method === 'resources/read' ||
    method === 'prompts/get' ||
    method === 'completion/complete'
  );
}
