import type { Readable, Writable } from 'node:stream';
import type { BackendCall, CancelCall, Era, RpcError, RpcId } from '../types.ts';
import { createAbandonedCalls, type AbandonedCalls } from './abandoned-calls.ts';
import {
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
import { PendingCalls, type Pending, type UnsentCall } from './pending-calls.ts';
import { legacyRequestLine, modernRequestLine, progressTokenOf, type ClientInfo } from './request-text.ts';
import { findResponseSpan } from './response-span.ts';
import { guessResponseId, readRpcMessage, type RpcMessage } from './rpc-message.ts';
import { routeServerMessage, type ServerMessageHost } from './server-messages.ts';
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
  /** The child has exited, though its last answers may still be read: nothing more is sent to it. */
  holdWrites(): void;
  /**
   * The child has ended: every call that was sent fails with `reason`, in this
   * turn. Returns the calls that still waited and have not been sent.
   */
  close(reason: string): readonly UnsentCall[];
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
  /** All calls come from the owner of the child: one session or one key. */
  readonly oneOwner: boolean;
  /** A notification that belongs to no single call: list_changed, resources/updated. */
  readonly onNotification: (method: string, params: Record<string, unknown>) => void;
  /** The child has closed its input; most often it is about to exit. */
  readonly onInputClosed: (reason: string) => void;
  /** The child cannot be talked to any more (line too long, input stuck) and must be ended. */
  readonly onUnusable: (reason: string) => void;
}

export function openStdioConnection(input: Writable, output: Readable, options: ConnectionOptions): StdioConnection {
  return new Connection(input, output, options);
}

class Connection implements StdioConnection {
  era: Era = 'legacy';
  readonly #options: ConnectionOptions;
  readonly #writer: LineWriter;
  readonly #calls: PendingCalls;
  readonly #own: OwnRequests;
  readonly #serverRequests: ServerRequests;
  readonly #messages: ServerMessageHost;
  readonly #ownerOf = (): BackendCall | null => this.#onlyCall();
  readonly #abandoned: AbandonedCalls;
  #nextId = 1;
  #closed: string | null = null;
  #ignoredLines = 0;

  constructor(input: Writable, output: Readable, options: ConnectionOptions) {
    this.#options = options;
    this.#own = createOwnRequests(options.upstream, (method, params) => this.notify(method, params));
    const reply = (id: RpcId, answer: ServerAnswer): void => this.#reply(id, answer);
    this.#serverRequests = createServerRequests(reply);
    this.#messages = {
      upstream: options.upstream,
      log: options.log,
      requests: this.#serverRequests,
      callOfToken: (token) => this.#calls.find(token),
      onNotification: options.onNotification,
      reply,
    };
    this.#abandoned = createAbandonedCalls(options.callTimeoutMs);
    this.#writer = createLineWriter(
      input,
      () => this.#calls.sendQueued(),
      (error) => options.onInputClosed(`its standard input is closed (${reasonOf(error)})`),
    );
    this.#calls = new PendingCalls({
      maxConcurrency: options.maxConcurrency,
      timeoutMs: options.callTimeoutMs,
      writer: this.#writer,
      onExpired: (pending, sent) => this.#onExpired(pending, sent),
      onStuck: () => options.onUnusable('it stopped reading its standard input'),
    });
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
    return this.#calls.size;
  }

  send(call: BackendCall): CancelCall {
    if (this.#calls.isFull) {
      const message = `is busy: ${this.#calls.queued} calls wait already. Try again in a moment.`;
      queueMicrotask(() => this.#fail(call, UPSTREAM_BUSY, message, 'not run'));
      return () => {};
    }
    const pending = this.#add(call, 0);
    return (reason) => {
      const given = this.#calls.cancel(pending, reason);
      if (given !== null) this.#abandon(given, reason);
    };
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

  holdWrites(): void {
    this.#writer.hold();
  }

  close(reason: string): readonly UnsentCall[] {
    if (this.#closed !== null) return [];
    this.#closed = reason;
    this.#writer.close();
    this.#serverRequests.clear();
    const { sent, unsent } = this.#calls.close();
    for (const call of sent) {
      this.#fail(call, UPSTREAM_ENDED, `ended during this call (${reason}); outcome unknown: it may have run.`);
    }
    this.#own.rejectAll(reason);
    return unsent;
  }

  #add(call: BackendCall, rounds: number): Pending {
    const id = this.#nextId++;
    const line =
      this.era === 'modern'
        ? modernRequestLine(id, call, this.#options.clientInfo)
        : legacyRequestLine(id, call.method, call.params);
    return this.#calls.add(id, call, progressTokenOf(call.params), line, rounds);
  }

  /** The child is told that nobody waits for it any more. */
  #abandon(pending: Pending, reason: string): void {
    this.notify('notifications/cancelled', { requestId: pending.id, reason });
    this.#abandoned.add(pending.id, pending.call.sessionId);
    this.#serverRequests.endCall(pending.call);
    this.#calls.sendQueued();
  }

  #onExpired(pending: Pending, sent: boolean): void {
    if (sent) this.#abandon(pending, 'time-out');
    const what = `did not answer within ${this.#options.callTimeoutMs / 1_000} s;`;
    if (sent) this.#fail(pending.call, UPSTREAM_TIMEOUT, `${what} outcome unknown: it may have run.`);
    else this.#fail(pending.call, UPSTREAM_TIMEOUT, `${what} the call waited and did not run.`, 'not run');
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
      case 'notification':
        routeServerMessage(message, this.#messages, this.#ownerOf);
        break;
    }
  }

  /** The call that an answer is for, which is over with it; null when it is none of a client's. */
  #takeAnswered(id: number): Pending | null {
    const pending = this.#calls.take(id);
    if (pending === undefined) {
      this.#abandoned.forget(id);
      return null;
    }
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
    if (this.#calls.queued > 0) this.#calls.sendQueued();
  }

  #onError(id: number, error: RpcError | null): void {
    const pending = this.#takeAnswered(id);
    const given = error ?? {
      code: UPSTREAM_BAD_ANSWER,
      message: 'The upstream answered with neither a result nor an error',
    };
    if (pending === null) this.#own.reject(id, given);
    else this.#guard(() => pending.call.onError(given));
    this.#calls.sendQueued();
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

  /** The call that what the child sends on its own belongs to; given-up calls of others may still be at work. */
  #onlyCall(): BackendCall | null {
    const call = this.#calls.onlyCall() ?? this.#onlyCallAtWork();
    return call === null || this.#abandoned.hasOthersThan(call.sessionId) ? null : call;
  }

  /**
   * A call that waits for its client is not the one that asks now, or hardly ever; and where all callers have the same
   * key, the wrong one of them is no stranger. Without this, a modern client that never comes back with its answer
   * would keep all others from being asked until its call runs out of time.
   */
  #onlyCallAtWork(): BackendCall | null {
    if (!this.#options.oneOwner || this.#serverRequests.size === 0) return null;
    const isAskedFor = (call: BackendCall): boolean => this.#serverRequests.isAskedFor(call);
    const atWork = this.#calls.onlyCall(isAskedFor);
    if (atWork !== null || !this.#calls.every(isAskedFor)) return atWork;
    // All wait: then the last one that asked has more than one question at once.
    return this.#serverRequests.lastAsked;
  }

  #reply(id: RpcId, answer: ServerAnswer): void {
    this.#writer.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...answer })}\n`);
  }

  // --- modern upstream, legacy caller ----------------------------------------

  /** A legacy client cannot repeat its call with answers: the gateway asks it, and repeats the call in its place. */
  #continueWithInput(pending: Pending, resultJson: string): void {
    const { call, rounds } = pending;
    const asking = this.#calls.addAsking(this.#nextId++, pending);
    answerInputRequests(call, resultJson, rounds, {
      onParams: (params) => {
        if (this.#calls.take(asking.id) === undefined) return;
        if (this.#calls.isFull) this.#fail(call, UPSTREAM_BUSY, 'is busy; outcome unknown: it may have run.');
        else asking.next = this.#add(callWith(call, { params }), rounds + 1);
      },
      onError: (error) => {
        if (this.#calls.take(asking.id) !== undefined) this.#guard(() => call.onError(error));
      },
    });
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
