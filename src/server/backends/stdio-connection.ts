import type { Readable, Writable } from 'node:stream';
import type { BackendCall, CancelCall, Era, RpcError, RpcId } from '../types.ts';
import {
  METHOD_NOT_FOUND,
  UPSTREAM_BAD_ANSWER,
  UPSTREAM_BUSY,
  UPSTREAM_ENDED,
  UPSTREAM_TIMEOUT,
  upstreamError,
} from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import { answerInputRequests, isInputRequired } from './input-required.ts';
import { createLineReader } from './line-reader.ts';
import { legacyRequestLine, modernRequestLine, progressTokenOf, type ClientInfo } from './request-text.ts';
import { findResponseSpan } from './response-span.ts';

/**
 * JSON-RPC with one child over its standard streams: ids and progress tokens
 * are ours, results pass through as text, writes of one turn of the event loop
 * go out together, and everything that waits is bounded.
 */
export interface StdioConnection {
  /** Set after the handshake; decides how requests are written. */
  era: Era;
  readonly inFlight: number;
  /** Forwards a client's call. Nothing is called back after it was cancelled. */
  send(call: BackendCall): CancelCall;
  /** A request of the gateway itself. Rejects with an Error that names the upstream. `timeoutMs` 0: no limit. */
  request(method: string, params: Record<string, unknown> | undefined, timeoutMs: number): Promise<string>;
  notify(method: string, params: Record<string, unknown> | undefined): void;
  /**
   * The child has ended: every call that was sent fails with `reason`, in this
   * turn. Returns the calls that still waited and have not been sent.
   */
  close(reason: string): BackendCall[];
}

export interface ConnectionOptions {
  readonly upstream: string;
  readonly log: Log;
  readonly clientInfo: ClientInfo;
  readonly callTimeoutMs: number;
  readonly maxConcurrency: number;
  readonly maxLineBytes: number;
  /** A notification that belongs to no single call: list_changed, resources/updated. */
  onNotification(method: string, params: Record<string, unknown>): void;
  /** The child cannot be talked to any more (line too long, input stuck or closed) and must be ended. */
  onUnusable(reason: string): void;
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
  /** Replaces this entry once a call goes on with another id. */
  next: Pending | null;
  serverRequests: Set<ServerRequest> | null;
}

interface OwnRequest {
  resolve(resultJson: string): void;
  reject(error: Error): void;
}

/** A request of the child that waits for a client's answer. */
interface ServerRequest {
  readonly id: RpcId;
  open: boolean;
}

class Connection implements StdioConnection {
  era: Era = 'legacy';
  readonly #input: Writable;
  readonly #options: ConnectionOptions;
  readonly #sent = new Map<number, Pending>();
  readonly #own = new Map<number, OwnRequest>();
  readonly #queue = new Map<number, Pending>();
  /** Calls that were given up while the child may still work on them, until when, and whose they were. */
  readonly #ghosts = new Map<number, { until: number; sessionId: string | null }>();
  readonly #serverRequests = new Map<RpcId, ServerRequest>();
  #queuedCharacters = 0;
  #nextId = 1;
  #outgoing = '';
  #flushPlanned = false;
  #blockedSince = 0;
  #timer: NodeJS.Timeout | null = null;
  #closed: string | null = null;
  #ignoredLines = 0;

  constructor(input: Writable, output: Readable, options: ConnectionOptions) {
    this.#input = input;
    this.#options = options;
    const reader = createLineReader({
      maxLineBytes: options.maxLineBytes,
      onLine: (line) => this.#onLine(line),
      onOversized: (beginning) => this.#onOversized(beginning),
    });
    output.on('data', (chunk: Buffer) => reader.push(chunk));
    output.on('end', () => reader.end());
    output.on('error', () => {});
    input.on('drain', () => this.#onDrain());
    input.on('error', (error) => {
      if (this.#closed === null) options.onUnusable(`its standard input is closed (${reasonOf(error)})`);
    });
  }

  get inFlight(): number {
    return this.#sent.size + this.#queue.size;
  }

  send(call: BackendCall): CancelCall {
    const pending = this.#enqueue(call, 0);
    if (pending === null) {
      const { upstream } = this.#options;
      const message = `The upstream "${upstream}" is busy: ${this.#queue.size} calls wait already. Try again in a moment.`;
      queueMicrotask(() => call.onError(upstreamError(UPSTREAM_BUSY, upstream, message, 'not run')));
      return () => {};
    }
    return (reason) => this.#cancel(pending, reason);
  }

  request(method: string, params: Record<string, unknown> | undefined, timeoutMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== null) {
        reject(new Error(`The upstream "${this.#options.upstream}" has ended: ${this.#closed}`));
        return;
      }
      const id = this.#nextId++;
      let timer: NodeJS.Timeout | null = null;
      const own: OwnRequest = {
        resolve: (resultJson) => {
          if (timer !== null) clearTimeout(timer);
          resolve(resultJson);
        },
        reject: (error) => {
          if (timer !== null) clearTimeout(timer);
          reject(error);
        },
      };
      const call = { method, params, clientCapabilities: {} };
      const line =
        this.era === 'modern' || method === 'server/discover'
          ? modernRequestLine(id, call, this.#options.clientInfo)
          : legacyRequestLine(id, method, params);
      this.#own.set(id, own);
      if (timeoutMs > 0) {
        timer = setTimeout(() => {
          if (!this.#own.delete(id)) return;
          if (method !== 'initialize') this.notify('notifications/cancelled', { requestId: id, reason: 'time-out' });
          reject(
            new Error(`The upstream "${this.#options.upstream}" did not answer ${method} in ${timeoutMs / 1_000} s`),
          );
        }, timeoutMs);
      }
      this.#write(line);
    });
  }

  notify(method: string, params: Record<string, unknown> | undefined): void {
    if (this.#closed !== null) return;
    this.#write(
      `${JSON.stringify(params === undefined ? { jsonrpc: '2.0', method } : { jsonrpc: '2.0', method, params })}\n`,
    );
  }

  close(reason: string): BackendCall[] {
    if (this.#closed !== null) return [];
    this.#closed = reason;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const { upstream } = this.#options;
    const unsent = Array.from(this.#queue.values(), (pending) => pending.call);
    const sent = [...this.#sent.values()];
    const own = [...this.#own.values()];
    this.#queue.clear();
    this.#sent.clear();
    this.#own.clear();
    this.#serverRequests.clear();
    for (const { call } of sent) {
      this.#fail(
        call,
        UPSTREAM_ENDED,
        `The upstream "${upstream}" ended during this call (${reason}); outcome unknown: it may have run.`,
      );
    }
    for (const request of own) request.reject(new Error(`The upstream "${upstream}" ended: ${reason}`));
    return unsent;
  }

  // --- requests to the child -------------------------------------------------

  #enqueue(call: BackendCall, rounds: number): Pending | null {
    const id = this.#nextId++;
    const deadline = Date.now() + this.#options.callTimeoutMs;
    const free = this.#blockedSince === 0 && this.#queue.size === 0 && this.#sent.size < this.#options.maxConcurrency;
    if (!free && (this.#queue.size >= maxQueuedCalls || this.#queuedCharacters >= maxQueuedCharacters)) return null;
    const token = call.params === undefined ? undefined : progressTokenOf(call.params);
    const line =
      this.era === 'modern'
        ? modernRequestLine(id, call, this.#options.clientInfo)
        : legacyRequestLine(id, call.method, call.params);
    const pending = newPending(id, call, deadline, token, rounds, line);
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
    this.#write(pending.line);
    pending.line = '';
  }

  #sendQueued(): void {
    while (this.#queue.size > 0 && this.#blockedSince === 0 && this.#sent.size < this.#options.maxConcurrency) {
      const first = this.#queue.values().next();
      if (first.done === true) return;
      this.#queue.delete(first.value.id);
      this.#queuedCharacters -= first.value.line.length;
      this.#sendNow(first.value);
    }
  }

  #cancel(given: Pending, reason: string): void {
    let pending = given;
    while (pending.next !== null) pending = pending.next;
    if (this.#queue.delete(pending.id)) {
      this.#queuedCharacters -= pending.line.length;
      return;
    }
    if (this.#sent.delete(pending.id)) this.#abandon(pending, reason);
  }

  /** The child is told; until it would have been over, what it still asks is not taken for another caller's. */
  #abandon(pending: Pending, reason: string): void {
    this.notify('notifications/cancelled', { requestId: pending.id, reason });
    this.#ghosts.set(pending.id, {
      until: Date.now() + this.#options.callTimeoutMs,
      sessionId: pending.call.sessionId,
    });
    if (this.#ghosts.size > maxQueuedCalls) {
      const oldest = this.#ghosts.keys().next();
      if (oldest.done !== true) this.#ghosts.delete(oldest.value);
    }
    this.#dropServerRequests(pending);
    this.#sendQueued();
  }

  #armTimer(deadline: number): void {
    this.#timer = setTimeout(() => this.#expire(), Math.max(1, deadline - Date.now()));
    this.#timer.unref();
  }

  #expire(): void {
    this.#timer = null;
    const now = Date.now();
    const { upstream, callTimeoutMs, onUnusable } = this.#options;
    const message = `The upstream "${upstream}" did not answer within ${callTimeoutMs / 1_000} s`;
    for (const pending of this.#sent.values()) {
      if (pending.deadline > now) break;
      this.#sent.delete(pending.id);
      this.#abandon(pending, 'time-out');
      this.#fail(pending.call, UPSTREAM_TIMEOUT, `${message}; outcome unknown: it may have run.`);
    }
    for (const pending of this.#queue.values()) {
      if (pending.deadline > now) break;
      this.#queue.delete(pending.id);
      this.#queuedCharacters -= pending.line.length;
      const error = upstreamError(
        UPSTREAM_TIMEOUT,
        upstream,
        `${message}; the call waited and did not run.`,
        'not run',
      );
      this.#call(() => pending.call.onError(error));
    }
    if (this.#blockedSince !== 0 && now - this.#blockedSince >= Math.min(stuckInputMs, callTimeoutMs)) {
      onUnusable('it stopped reading its standard input');
      return;
    }
    const next = this.#nextDeadline();
    if (next !== null && this.#timer === null) this.#armTimer(next);
  }

  #nextDeadline(): number | null {
    const first = this.#sent.values().next();
    if (first.done !== true) return first.value.deadline;
    const waiting = this.#queue.values().next();
    return waiting.done === true ? null : waiting.value.deadline;
  }

  // --- writing ---------------------------------------------------------------

  #write(line: string): void {
    this.#outgoing += line;
    if (this.#flushPlanned || this.#blockedSince !== 0) return;
    this.#flushPlanned = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushPlanned = false;
    if (this.#outgoing === '' || this.#closed !== null || !this.#input.writable) return;
    const text = this.#outgoing;
    this.#outgoing = '';
    if (!this.#input.write(text)) this.#blockedSince = Date.now();
  }

  #onDrain(): void {
    this.#blockedSince = 0;
    this.#flush();
    this.#sendQueued();
  }

  // --- reading ---------------------------------------------------------------

  #onLine(line: string): void {
    if (this.#closed !== null) return;
    const span = findResponseSpan(line);
    if (span !== null) {
      this.#onResult(span.id, line.slice(span.start, span.end));
      return;
    }
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch {
      this.#onNoJson(line);
      return;
    }
    if (Array.isArray(message)) for (const one of message) this.#onMessage(one);
    else this.#onMessage(message);
  }

  /** Everything that is not a plain result: errors, requests, notifications, unusual spellings. */
  #onMessage(message: unknown): void {
    if (typeof message !== 'object' || message === null) {
      this.#onNoJson(JSON.stringify(message));
      return;
    }
    const { id, method, params, result, error } = message as Record<string, unknown>;
    const fields = typeof params === 'object' && params !== null ? (params as Record<string, unknown>) : {};
    if (typeof method === 'string') {
      if (typeof id === 'string' || typeof id === 'number') this.#onRequest(id, method, fields);
      else this.#onNotification(method, fields);
      return;
    }
    // Some servers give a number back as a string.
    const ours = typeof id === 'string' && /^[0-9]{1,15}$/.test(id) ? Number(id) : id;
    if (typeof ours !== 'number') {
      this.#onNoJson(JSON.stringify(message));
    } else if (typeof result === 'object' && result !== null) {
      this.#onResult(ours, JSON.stringify(result));
    } else {
      this.#onError(ours, error);
    }
  }

  #onResult(id: number, resultJson: string): void {
    const pending = this.#sent.get(id);
    if (pending === undefined) {
      this.#takeOwn(id)?.resolve(resultJson);
      return;
    }
    this.#sent.delete(id);
    if (pending.serverRequests !== null) this.#dropServerRequests(pending);
    const { call } = pending;
    if (this.era === 'modern' && call.era === 'legacy' && isInputRequired(resultJson)) {
      this.#continueWithInput(pending, call, resultJson);
    } else {
      try {
        call.onResult(resultJson);
      } catch (thrown) {
        this.#logThrown(thrown);
      }
    }
    if (this.#queue.size > 0) this.#sendQueued();
  }

  #onError(id: number, error: unknown): void {
    const pending = this.#sent.get(id);
    const given = readRpcError(error);
    if (pending === undefined) {
      this.#takeOwn(id)?.reject(
        new UpstreamRpcError(given ?? { code: UPSTREAM_BAD_ANSWER, message: 'neither a result nor an error' }),
      );
      return;
    }
    this.#sent.delete(id);
    this.#dropServerRequests(pending);
    const { call } = pending;
    if (given === null) this.#failBadAnswer(call, 'neither a result nor an error');
    else this.#call(() => call.onError(given));
    this.#sendQueued();
  }

  #takeOwn(id: number): OwnRequest | undefined {
    this.#ghosts.delete(id);
    const own = this.#own.get(id);
    this.#own.delete(id);
    return own;
  }

  /** Outside text on standard output is common (banners, debug prints): it is logged, a little of it, and passed over. */
  #onNoJson(line: string): void {
    const { log, upstream } = this.#options;
    // A broken answer still names its call when the id comes first: better an error now than a time-out later.
    const id = /^\{"jsonrpc":\s?"2\.0",\s?"id":\s?([0-9]{1,15})\b/.exec(line)?.[1];
    const pending = id === undefined ? undefined : this.#sent.get(Number(id));
    if (pending !== undefined) {
      this.#sent.delete(pending.id);
      this.#dropServerRequests(pending);
      this.#failBadAnswer(pending.call, 'text that is not valid JSON');
    }
    this.#ignoredLines++;
    // 1, 2, 4, 8 …: a server that prints without end does not fill the log.
    if ((this.#ignoredLines & (this.#ignoredLines - 1)) === 0) {
      log.warn('upstream-line-ignored', {
        upstream,
        reason: 'not a JSON-RPC message',
        count: this.#ignoredLines,
        line: line.slice(0, 200),
      });
    }
  }

  #onOversized(beginning: string): void {
    const { upstream, maxLineBytes, onUnusable } = this.#options;
    const reason = `it sent a line of more than ${maxLineBytes} bytes`;
    const id = /^\{"jsonrpc":\s?"2\.0",\s?"id":\s?([0-9]{1,15})\b/.exec(beginning)?.[1];
    const pending = id === undefined ? undefined : this.#sent.get(Number(id));
    if (pending !== undefined) {
      this.#sent.delete(pending.id);
      this.#fail(
        pending.call,
        UPSTREAM_BAD_ANSWER,
        `The answer of the upstream "${upstream}" is larger than ${maxLineBytes} bytes.`,
      );
    }
    onUnusable(reason);
  }

  // --- what the child sends on its own ---------------------------------------

  #onNotification(method: string, params: Record<string, unknown>): void {
    switch (method) {
      case 'notifications/progress': {
        const token = params['progressToken'];
        const pending = this.#sent.get(typeof token === 'string' ? Number(token) : (token as number));
        const own = pending?.progressToken;
        if (pending === undefined || own === undefined) return;
        const { call } = pending;
        this.#call(() => call.onNotification(method, JSON.stringify({ ...params, progressToken: own })));
        return;
      }
      case 'notifications/cancelled': {
        const request = this.#serverRequests.get(params['requestId'] as RpcId);
        if (request !== undefined) {
          request.open = false;
          this.#serverRequests.delete(request.id);
        }
        return;
      }
      case 'notifications/message':
      case 'notifications/elicitation/complete': {
        const pending = this.#onlyClient();
        if (pending === null) {
          this.#options.log.debug('upstream-notification-dropped', { upstream: this.#options.upstream, method });
          return;
        }
        this.#call(() => pending.call.onNotification(method, JSON.stringify(params)));
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
    const pending = this.#onlyClient();
    if (pending === null || this.#serverRequests.size >= maxServerRequests) {
      const { log, upstream } = this.#options;
      log.warn('upstream-request-refused', { upstream, method, reason: 'it cannot be told which client it is for' });
      this.#reply(id, {
        error: {
          code: METHOD_NOT_FOUND,
          message: `${method} cannot be passed on: this process serves several clients, and the request belongs to no single call in flight`,
        },
      });
      return;
    }
    const request: ServerRequest = { id, open: true };
    this.#serverRequests.set(id, request);
    pending.serverRequests ??= new Set();
    pending.serverRequests.add(request);
    const { call } = pending;
    this.#call(() =>
      call.onServerRequest(method, params, (answer) => {
        if (!request.open) return;
        request.open = false;
        this.#serverRequests.delete(id);
        pending.serverRequests?.delete(request);
        this.#reply(id, answer);
      }),
    );
  }

  /**
   * The call that what the child sends on its own must belong to: the only one
   * in flight, or the latest of several of the same session. Null when it
   * cannot be told, also while given-up calls of others may still be at work.
   */
  #onlyClient(): Pending | null {
    let found: Pending | null = null;
    for (const pending of this.#sent.values()) {
      if (found !== null && !sameSession(found.call.sessionId, pending.call.sessionId)) return null;
      found = pending;
    }
    if (found === null) return null;
    const now = Date.now();
    for (const [id, ghost] of this.#ghosts) {
      if (ghost.until <= now) this.#ghosts.delete(id);
      else if (!sameSession(ghost.sessionId, found.call.sessionId)) return null;
    }
    return found;
  }

  /** The call is over: what the child still asks for it is refused. */
  #dropServerRequests(pending: Pending): void {
    if (pending.serverRequests === null) return;
    for (const request of pending.serverRequests) {
      if (!request.open) continue;
      request.open = false;
      this.#serverRequests.delete(request.id);
      this.#reply(request.id, {
        error: { code: METHOD_NOT_FOUND, message: 'The call that this request belongs to is over' },
      });
    }
    pending.serverRequests = null;
  }

  #reply(id: RpcId, answer: { result: unknown } | { error: RpcError }): void {
    if (this.#closed === null) this.#write(`${JSON.stringify({ jsonrpc: '2.0', id, ...answer })}\n`);
  }

  // --- modern upstream, legacy caller ----------------------------------------

  /** A legacy client cannot repeat its call with answers; the gateway asks it and repeats the call in its place. */
  #continueWithInput(pending: Pending, call: BackendCall, resultJson: string): void {
    let stopped = false;
    // Stands for the call while the client is being asked, so that cancel and time-out find it.
    const deadline = Date.now() + this.#options.callTimeoutMs;
    const asking = newPending(this.#nextId++, call, deadline, undefined, pending.rounds, '');
    pending.next = asking;
    this.#sent.set(asking.id, asking);
    answerInputRequests(call, resultJson, pending.rounds, {
      onParams: (params) => {
        if (stopped || !this.#sent.delete(asking.id)) return;
        stopped = true;
        const repeated = new RepeatedCall(call, params);
        asking.next = this.#enqueue(repeated, pending.rounds + 1);
        if (asking.next === null) {
          const { upstream } = this.#options;
          this.#call(() =>
            call.onError(upstreamError(UPSTREAM_BUSY, upstream, `The upstream "${upstream}" is busy.`, 'unknown')),
          );
        }
      },
      onError: (error) => {
        if (stopped || !this.#sent.delete(asking.id)) return;
        stopped = true;
        this.#call(() => call.onError(error));
      },
    });
  }

  // --- failing ---------------------------------------------------------------

  #fail(call: BackendCall, code: number, message: string): void {
    this.#call(() => call.onError(upstreamError(code, this.#options.upstream, message, 'unknown')));
  }

  #failBadAnswer(call: BackendCall, what: string): void {
    this.#fail(
      call,
      UPSTREAM_BAD_ANSWER,
      `The upstream "${this.#options.upstream}" answered with ${what}; outcome unknown: it may have run.`,
    );
  }

  /** A caller that throws must not take the other callers' answers with it. */
  #call(run: () => void): void {
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

/** An error answer of the child to a request of the gateway itself. */
export class UpstreamRpcError extends Error {
  readonly rpc: RpcError;

  constructor(rpc: RpcError) {
    super(rpc.message);
    this.name = 'UpstreamRpcError';
    this.rpc = rpc;
  }
}

/** The same call with other params. */
class RepeatedCall implements BackendCall {
  readonly params: Record<string, unknown>;
  readonly #call: BackendCall;

  constructor(call: BackendCall, params: Record<string, unknown>) {
    this.#call = call;
    this.params = params;
  }
  get method() {
    return this.#call.method;
  }
  get caller() {
    return this.#call.caller;
  }
  get era() {
    return this.#call.era;
  }
  get sessionId() {
    return this.#call.sessionId;
  }
  get clientCapabilities() {
    return this.#call.clientCapabilities;
  }
  onResult(resultJson: string) {
    this.#call.onResult(resultJson);
  }
  onError(error: RpcError) {
    this.#call.onError(error);
  }
  onNotification(method: string, paramsJson: string) {
    this.#call.onNotification(method, paramsJson);
  }
  onServerRequest(...given: Parameters<BackendCall['onServerRequest']>) {
    this.#call.onServerRequest(...given);
  }
}

function newPending(
  id: number,
  call: BackendCall,
  deadline: number,
  progressToken: RpcId | undefined,
  rounds: number,
  line: string,
): Pending {
  return { id, call, deadline, progressToken, rounds, line, next: null, serverRequests: null };
}

/** Two calls without a session may come from different clients. */
function sameSession(one: string | null, other: string | null): boolean {
  return one !== null && one === other;
}

function readRpcError(error: unknown): RpcError | null {
  if (typeof error !== 'object' || error === null) return null;
  const { code, message, data } = error as Record<string, unknown>;
  if (typeof code !== 'number') return null;
  const text = typeof message === 'string' ? message : 'The upstream gave an error without a message';
  return data === undefined ? { code, message: text } : { code, message: text, data };
}
