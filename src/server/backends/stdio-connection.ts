import type { Readable, Writable } from 'node:stream';
import type { BackendCall, CancelCall, Era, RpcError, RpcId } from '../types.ts';
import { createAbandonedCalls, isSameSession, type AbandonedCalls } from './abandoned-calls.ts';
import {
  METHOD_NOT_FOUND,
  UPSTREAM_BAD_ANSWER,
  UPSTREAM_BUSY,
  UPSTREAM_ENDED,
  UPSTREAM_TIMEOUT,
  upstreamError,
  type CallOutcome,
} from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import { callWith } from './call-with.ts';
import { answerInputRequests, isInputRequired } from './input-required.ts';
import { createLineReader } from './line-reader.ts';
import { createLineWriter, type LineWriter } from './line-writer.ts';
import { createOwnRequests, type OwnRequests } from './own-requests.ts';
import { legacyRequestLine, modernRequestLine, progressTokenOf, type ClientInfo } from './request-text.ts';
import { findResponseSpan } from './response-span.ts';
import { guessResponseId, readRpcMessage, type RpcMessage } from './rpc-message.ts';
import { createServerRequests, type ServerAnswer, type ServerRequests } from './server-requests.ts';

/**
 * JSON-RPC with one child over its standard streams: ids and progress tokens
 * are ours, results pass through as text, writes of one turn of the event loop
 * go out together, and everything that waits is bounded.
 */
export interface StdioConnection {
  /** Set after the handshake; decides how requests are written. */
  era: Era;
  /** Calls of clients, sent and waiting. */
  readonly inFlight: number;
  /** Forwards a client's call. Nothing is called back after it was cancelled. */
  send(call: BackendCall): CancelCall;
  /** A request of the gateway itself; see OwnRequests. `timeoutMs` 0: no limit. */
  request(method: string, params: Record<string, unknown>, timeoutMs: number): OwnAnswer;
  notify(method: string, params?: Record<string, unknown>): void;
  /**
   * The child has ended: every call that was sent fails with `reason`, in this
   * turn. Returns the calls that still waited and have not been sent.
   */
  close(reason: string): BackendCall[];
}

/** Result text of an own request. Rejects with UpstreamRpcError for an error answer, with an Error otherwise. */
export interface OwnAnswer {
  readonly result: Promise<string>;
  /** Takes the request back. The promise stays open. */
  cancel(): void;
}

export interface ConnectionOptions {
  readonly upstream: string;
  readonly log: Log;
  readonly clientInfo: ClientInfo;
  readonly callTimeoutMs: number;
  readonly maxConcurrency: number;
  readonly maxLineBytes: number;
  /** A notification that belongs to no single call: list_changed, resources/updated. */
  readonly onNotification: (method: string, params: Record<string, unknown>) => void;
  /** The child has closed its input; most often it is about to exit. */
  readonly onInputClosed: (reason: string) => void;
  /** The child cannot be talked to any more (line too long, input stuck) and must be ended. */
  readonly onUnusable: (reason: string) => void;
}

const maxQueuedCalls = 1_024;
const maxQueuedCharacters = 64 * 1_024 * 1_024;
/** A child that has read nothing for this long while calls ran out of time will not come back. */
const stuckInputMs = 30_000;
/** Requests of a child to clients that may wait for answers at once. */
const maxServerRequests = 256;

export function openStdioConnection(input: Writable, output: Readable, options: ConnectionOptions): StdioConnection {
  return new Connection(input, output, options);
}

/** One client's call on its way. Ids grow and all have the same time, so that insertion order is also the order of deadlines. */
interface Pending {
  readonly id: number;
  readonly call: BackendCall;
  readonly deadline: number;
  readonly progressToken: RpcId | undefined;
  /** Rounds of input_required already answered for this call. */
  readonly rounds: number;
  line: string;
  /** What stands for the call now, once it goes on under another id. */
  next: Pending | null;
}

class Connection implements StdioConnection {
  era: Era = 'legacy';
  readonly #options: ConnectionOptions;
  readonly #writer: LineWriter;
  readonly #sent = new Map<number, Pending>();
  readonly #queue = new Map<number, Pending>();
  readonly #own: OwnRequests;
  readonly #serverRequests: ServerRequests;
  readonly #abandoned: AbandonedCalls;
  #queuedCharacters = 0;
  #nextId = 1;
  #timer: NodeJS.Timeout | null = null;
  #closed: string | null = null;
  #ignoredLines = 0;

  constructor(input: Writable, output: Readable, options: ConnectionOptions) {
    this.#options = options;
    this.#own = createOwnRequests(options.upstream, (method, params) => this.notify(method, params));
    this.#serverRequests = createServerRequests((id, answer) => this.#reply(id, answer));
    this.#abandoned = createAbandonedCalls(options.callTimeoutMs);
    this.#writer = createLineWriter(
      input,
      () => this.#sendQueued(),
      (error) => options.onInputClosed(`its standard input is closed (${reasonOf(error)})`),
    );
    const reader = createLineReader({
      maxLineBytes: options.maxLineBytes,
      onLine: (line) => this.#onLine(line),
      onOversized: (beginning) => this.#onOversized(beginning),
    });
    output.on('data', (chunk: Buffer) => reader.push(chunk));
    output.on('end', () => reader.end());
    output.on('error', () => {});
  }

  get inFlight(): number {
    return this.#sent.size + this.#queue.size;
  }

  send(call: BackendCall): CancelCall {
    const pending = this.#enqueue(call, 0);
    if (pending === null) {
      const message = `is busy: ${this.#queue.size} calls wait already. Try again in a moment.`;
      queueMicrotask(() => this.#fail(call, UPSTREAM_BUSY, message, 'not run'));
      return () => {};
    }
    return (reason) => this.#cancel(pending, reason);
  }

  request(method: string, params: Record<string, unknown>, timeoutMs: number): OwnAnswer {
    const id = this.#nextId++;
    const answer = this.#own.add(id, method, timeoutMs);
    const modern = this.era === 'modern' || method === 'server/discover';
    this.#writer.write(
      modern
        ? modernRequestLine(id, { method, params, clientCapabilities: {} }, this.#options.clientInfo)
        : legacyRequestLine(id, method, params),
    );
    if (this.#closed !== null) this.#own.rejectAll(this.#closed);
    return answer;
  }

  notify(method: string, params?: Record<string, unknown>): void {
    this.#writer.write(`${JSON.stringify({ jsonrpc: '2.0', method, params })}\n`);
  }

  close(reason: string): BackendCall[] {
    if (this.#closed !== null) return [];
    this.#closed = reason;
    this.#writer.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
    const unsent = Array.from(this.#queue.values(), (pending) => pending.call);
    const sent = Array.from(this.#sent.values(), (pending) => pending.call);
    this.#queue.clear();
    this.#sent.clear();
    this.#serverRequests.clear();
    for (const call of sent) {
      this.#fail(call, UPSTREAM_ENDED, `ended during this call (${reason}); outcome unknown: it may have run.`);
    }
    this.#own.rejectAll(reason);
    return unsent;
  }

  // --- calls to the child ----------------------------------------------------

  #isFree(): boolean {
    return !this.#writer.full && this.#sent.size < this.#options.maxConcurrency;
  }

  #enqueue(call: BackendCall, rounds: number): Pending | null {
    const free = this.#queue.size === 0 && this.#isFree();
    if (!free && (this.#queue.size >= maxQueuedCalls || this.#queuedCharacters >= maxQueuedCharacters)) return null;
    const id = this.#nextId++;
    const deadline = Date.now() + this.#options.callTimeoutMs;
    const line =
      this.era === 'modern'
        ? modernRequestLine(id, call, this.#options.clientInfo)
        : legacyRequestLine(id, call.method, call.params);
    const pending: Pending = {
      id,
      call,
      deadline,
      progressToken: progressTokenOf(call.params),
      rounds,
      line,
      next: null,
    };
    if (free) {
      this.#sendNow(pending);
    } else {
      this.#queue.set(id, pending);
      this.#queuedCharacters += line.length;
    }
    if (this.#timer === null) this.#armTimer(deadline);
    return pending;
  }

  #sendNow(pending: Pending): void {
    this.#sent.set(pending.id, pending);
    this.#writer.write(pending.line);
    pending.line = '';
  }

  #sendQueued(): void {
    while (this.#queue.size > 0 && this.#isFree()) {
      const first = this.#queue.values().next();
      if (first.done === true) return;
      this.#unqueue(first.value);
      this.#sendNow(first.value);
    }
  }

  #unqueue(pending: Pending): boolean {
    if (!this.#queue.delete(pending.id)) return false;
    this.#queuedCharacters -= pending.line.length;
    return true;
  }

  #cancel(given: Pending, reason: string): void {
    let pending = given;
    while (pending.next !== null) pending = pending.next;
    if (!this.#unqueue(pending) && this.#sent.delete(pending.id)) this.#abandon(pending, reason);
  }

  #abandon(pending: Pending, reason: string): void {
    this.notify('notifications/cancelled', { requestId: pending.id, reason });
    this.#abandoned.add(pending.id, pending.call.sessionId);
    this.#serverRequests.endCall(pending.call);
    this.#sendQueued();
  }

  // --- deadlines -------------------------------------------------------------

  /** One timer for all calls: it waits for the oldest and is not touched when calls come and go. */
  #armTimer(deadline: number): void {
    this.#timer = setTimeout(() => this.#expire(), Math.max(1, deadline - Date.now()));
    this.#timer.unref();
  }

  #expire(): void {
    this.#timer = null;
    const now = Date.now();
    const { callTimeoutMs } = this.#options;
    const message = `did not answer within ${callTimeoutMs / 1_000} s;`;
    for (const pending of this.#queue.values()) {
      if (pending.deadline > now) break;
      this.#unqueue(pending);
      this.#fail(pending.call, UPSTREAM_TIMEOUT, `${message} the call waited and did not run.`, 'not run');
    }
    for (const pending of this.#sent.values()) {
      if (pending.deadline > now) break;
      this.#sent.delete(pending.id);
      this.#abandon(pending, 'time-out');
      this.#fail(pending.call, UPSTREAM_TIMEOUT, `${message} outcome unknown: it may have run.`);
    }
    const { blockedSince } = this.#writer;
    const stuckAt =
      blockedSince === 0 ? Number.POSITIVE_INFINITY : blockedSince + Math.min(stuckInputMs, callTimeoutMs);
    if (stuckAt <= now) {
      this.#options.onUnusable('it stopped reading its standard input');
      return;
    }
    const first = this.#sent.values().next();
    const oldest = first.done === true ? this.#queue.values().next() : first;
    const next = Math.min(stuckAt, oldest.done === true ? Number.POSITIVE_INFINITY : oldest.value.deadline);
    if (next !== Number.POSITIVE_INFINITY && this.#timer === null) this.#armTimer(next);
  }

  // --- answers of the child --------------------------------------------------

  #onLine(line: string): void {
    if (this.#closed !== null) return;
    const span = findResponseSpan(line);
    if (span !== null) {
      this.#onResult(span.id, line.slice(span.start, span.end));
      return;
    }
    let parsed: unknown;
    try {
      parsed = JSON.parse(line);
    } catch {
      this.#onBrokenLine(line);
      return;
    }
    const messages: unknown[] = Array.isArray(parsed) ? parsed : [parsed];
    for (const one of messages) {
      const message = readRpcMessage(one);
      if (message.kind === 'other') this.#ignoreLine(line);
      else this.#onMessage(message);
    }
  }

  #onMessage(message: Exclude<RpcMessage, { kind: 'other' }>): void {
    switch (message.kind) {
      case 'result':
        this.#onResult(message.id, message.resultJson);
        break;
      case 'error':
        this.#onError(message.id, message.error);
        break;
      case 'request':
        this.#onRequest(message.id, message.method, message.params);
        break;
      case 'notification':
        this.#onNotification(message.method, message.params);
        break;
    }
  }

  /** The call that an answer is for, which is over with it; null when it is none of a client's. */
  #takeAnswered(id: number): Pending | null {
    const pending = this.#sent.get(id);
    if (pending === undefined) {
      this.#abandoned.forget(id);
      return null;
    }
    this.#sent.delete(id);
    if (this.#serverRequests.size > 0) this.#serverRequests.endCall(pending.call);
    return pending;
  }

  #onResult(id: number, resultJson: string): void {
    const pending = this.#takeAnswered(id);
    if (pending === null) {
      this.#own.resolve(id, resultJson);
      return;
    }
    const { call } = pending;
    try {
      if (this.era === 'modern' && call.era === 'legacy' && isInputRequired(resultJson)) {
        this.#continueWithInput(pending, resultJson);
      } else {
        call.onResult(resultJson);
      }
    } catch (thrown) {
      this.#logThrown(thrown);
    }
    if (this.#queue.size > 0) this.#sendQueued();
  }

  #onError(id: number, error: RpcError | null): void {
    const pending = this.#takeAnswered(id);
    const given = error ?? {
      code: UPSTREAM_BAD_ANSWER,
      message: 'The upstream answered with neither a result nor an error',
    };
    if (pending === null) this.#own.reject(id, given);
    else this.#guard(() => pending.call.onError(given));
    this.#sendQueued();
  }

  /** Better an error now than a time-out later, when a broken answer still names its call. */
  #onBrokenLine(line: string): void {
    const id = guessResponseId(line);
    const pending = id === undefined ? null : this.#takeAnswered(id);
    if (pending !== null) {
      const message = 'answered with text that is not valid JSON; outcome unknown: it may have run.';
      this.#fail(pending.call, UPSTREAM_BAD_ANSWER, message);
    }
    this.#ignoreLine(line);
  }

  /** Outside text on standard output is common (banners, debug prints): a little of it is logged, and it is passed over. */
  #ignoreLine(line: string): void {
    const { log, upstream } = this.#options;
    const count = ++this.#ignoredLines;
    // The 1st, 2nd, 4th, 8th …: a server that prints without end does not fill the log.
    if ((count & (count - 1)) !== 0) return;
    log.warn('upstream-line-ignored', { upstream, reason: 'not a JSON-RPC message', count, line: line.slice(0, 200) });
  }

  #onOversized(beginning: string): void {
    const { maxLineBytes } = this.#options;
    const id = guessResponseId(beginning);
    const pending = id === undefined ? null : this.#takeAnswered(id);
    if (pending !== null) {
      const message = `gave an answer of more than ${maxLineBytes} bytes, which is too large.`;
      this.#fail(pending.call, UPSTREAM_BAD_ANSWER, message);
    }
    this.#options.onUnusable(`it sent a line of more than ${maxLineBytes} bytes`);
  }

  // --- what the child sends on its own ---------------------------------------

  #onNotification(method: string, params: Record<string, unknown>): void {
    switch (method) {
      case 'notifications/progress': {
        const pending = this.#sent.get(Number(params['progressToken']));
        if (pending === undefined || pending.progressToken === undefined) return;
        const json = JSON.stringify({ ...params, progressToken: pending.progressToken });
        this.#guard(() => pending.call.onNotification(method, json));
        return;
      }
      case 'notifications/cancelled':
        this.#serverRequests.takeBack(params['requestId'] as RpcId);
        return;
      case 'notifications/message':
      case 'notifications/elicitation/complete': {
        const call = this.#onlyCall();
        if (call === null) {
          this.#options.log.debug('upstream-notification-dropped', { upstream: this.#options.upstream, method });
        } else {
          this.#guard(() => call.onNotification(method, JSON.stringify(params)));
        }
        return;
      }
      default:
        this.#options.onNotification(method, params);
    }
  }

  #onRequest(id: RpcId, method: string, params: Record<string, unknown>): void {
    if (method === 'ping') {
      this.#reply(id, { result: {} });
      return;
    }
    if (method !== 'elicitation/create' && method !== 'sampling/createMessage' && method !== 'roots/list') {
      this.#reply(id, { error: { code: METHOD_NOT_FOUND, message: `Method not found: ${method}` } });
      return;
    }
    const call = this.#onlyCall();
    if (call !== null && this.#serverRequests.size < maxServerRequests) {
      this.#guard(() => this.#serverRequests.ask(call, id, method, params));
      return;
    }
    const { log, upstream } = this.#options;
    log.warn('upstream-request-refused', { upstream, method, reason: 'it cannot be told which client it is for' });
    const message = `${method} cannot be passed on: it belongs to no single call that is in flight`;
    this.#reply(id, { error: { code: METHOD_NOT_FOUND, message } });
  }

  /**
   * The call that what the child sends on its own must belong to: the only one
   * in flight, or the latest of several of the same session. Null when it
   * cannot be told, also while given-up calls of others may still be at work.
   */
  #onlyCall(): BackendCall | null {
    let found: BackendCall | null = null;
    for (const { call } of this.#sent.values()) {
      if (found !== null && !isSameSession(found.sessionId, call.sessionId)) return null;
      found = call;
    }
    return found === null || this.#abandoned.hasOthersThan(found.sessionId) ? null : found;
  }

  #reply(id: RpcId, answer: ServerAnswer): void {
    this.#writer.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...answer })}\n`);
  }

  // --- modern upstream, legacy caller ----------------------------------------

  /** A legacy client cannot repeat its call with answers: the gateway asks it, and repeats the call in its place. */
  #continueWithInput(pending: Pending, resultJson: string): void {
    const { call, rounds } = pending;
    // Stands for the call while the client is being asked, so that cancel and time-out find it.
    const asking: Pending = {
      id: this.#nextId++,
      call,
      deadline: Date.now() + this.#options.callTimeoutMs,
      progressToken: undefined,
      rounds,
      line: '',
      next: null,
    };
    pending.next = asking;
    this.#sent.set(asking.id, asking);
    answerInputRequests(call, resultJson, rounds, {
      onParams: (params) => {
        if (!this.#sent.delete(asking.id)) return;
        asking.next = this.#enqueue(callWith(call, { params }), rounds + 1);
        if (asking.next === null) this.#fail(call, UPSTREAM_BUSY, 'is busy; outcome unknown: it may have run.');
      },
      onError: (error) => {
        if (this.#sent.delete(asking.id)) this.#guard(() => call.onError(error));
      },
    });
    if (this.#timer === null) this.#armTimer(asking.deadline);
  }

  // --- failing ---------------------------------------------------------------

  #fail(call: BackendCall, code: number, what: string, outcome: CallOutcome = 'unknown'): void {
    const { upstream } = this.#options;
    this.#guard(() => call.onError(upstreamError(code, upstream, `The upstream "${upstream}" ${what}`, outcome)));
  }

  /** A caller that throws must not take the other callers' answers with it. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#logThrown(thrown);
    }
  }

  #logThrown(thrown: unknown): void {
    this.#options.log.error('call-handler-failed', { upstream: this.#options.upstream, reason: reasonOf(thrown) });
  }
}
