import type { BackendCall, ListKind } from '../types.ts';
import { INTERNAL_ERROR } from './backend-errors.ts';
import { reasonOf, type Log } from './backend-log.ts';
import { REFUSED, type CircuitBreaker, type Ticket } from './circuit-breaker.ts';
import { callWith } from './call-with.ts';
import { payerOf } from './guarded-backend.ts';
import { answerInputRequests, isInputRequired } from './input-required.ts';
import { progressTokenOf } from './request-text.ts';
import { rpcErrorOf, type LogLevel, type ToolContext } from './tool-context.ts';
import { errorResult } from './tool-result.ts';
import { ToolFailure, ToolOutage, ToolRefusal } from './tool-runner.ts';

/** Something that a deployment declares and that can be called: a tool, a prompt, the reading of a resource. */
export interface DeclaredWork {
  readonly name: string;
  readonly timeoutSeconds: number;
  /** Whether what goes wrong is told as a result that a model can read, or as a JSON-RPC error. */
  readonly failsAs: 'result' | 'error';
  /** Null or absent when failures are not counted. */
  readonly breaker?: CircuitBreaker | null;
  /** Gives the JSON text of the result. */
  readonly run: (params: Readonly<Record<string, unknown>>, context: ToolContext) => Promise<string>;
  /** Calls under way. */
  running: number;
}

/** What all calls of one backend share. */
export interface DeclaredCallHost {
  readonly log: Log;
  readonly calls: Set<DeclaredCall>;
  listChanged(kind: ListKind): void;
  resourceUpdated(uri: string): void;
  /** Whether the client of this session wants log messages of this level. */
  wantsLevel(sessionId: string | null, level: LogLevel): boolean;
}

/** A person may take this long to answer; it is also how long a modern client's call waits for it. */
const answerSeconds = 600;

/** One call of something declared, and what its function is told of it. */
export class DeclaredCall implements ToolContext {
  readonly #work: DeclaredWork;
  readonly #host: DeclaredCallHost;
  readonly #first: BackendCall;
  #call: BackendCall;
  #round = 0;
  #timer: NodeJS.Timeout;
  #openQuestions = 0;
  #abort: AbortController | null = null;
  #over = false;
  /** How the breaker of the tool let it in. */
  #ticket: Ticket;

  constructor(work: DeclaredWork, call: BackendCall, host: DeclaredCallHost, ticket: Ticket = 0) {
    this.#ticket = ticket;
    this.#work = work;
    this.#first = call;
    this.#call = call;
    this.#host = host;
    host.calls.add(this);
    this.#timer = this.#startTimer(work.timeoutSeconds);
  }

  get name(): string {
    return this.#work.name;
  }

  get caller(): string {
    return this.#call.caller.label;
  }

  get clientCapabilities(): Readonly<Record<string, unknown>> {
    return this.#call.clientCapabilities;
  }

  get inputResponses(): ToolContext['inputResponses'] {
    return this.#call.params?.['inputResponses'] as ToolContext['inputResponses'];
  }

  get requestState(): string | undefined {
    const state = this.#call.params?.['requestState'];
    return typeof state === 'string' ? state : undefined;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#over) this.#abort.abort();
    return this.#abort.signal;
  }

  // The rest works also when it was taken out of the context.

  get log(): ToolContext['log'] {
    return (message, fields = {}) => this.#host.log.info('tool-log', { tool: this.#work.name, message, ...fields });
  }

  get progress(): ToolContext['progress'] {
    return (done, total, message) => {
      const progressToken = progressTokenOf(this.#first.params);
      if (progressToken !== undefined)
        this.#notify('notifications/progress', { progressToken, progress: done, total, message });
    };
  }

  get say(): ToolContext['say'] {
    return (level, data) => {
      if (!this.#host.wantsLevel(this.#call.sessionId, level)) return;
      this.#notify('notifications/message', { level, logger: this.#work.name, data });
    };
  }

  get elicit(): ToolContext['elicit'] {
    return (params) => this.#ask('elicitation/create', params);
  }

  get sample(): ToolContext['sample'] {
    return (params) => this.#ask('sampling/createMessage', params);
  }

  get roots(): ToolContext['roots'] {
    return () => this.#ask('roots/list', {});
  }

  get listChanged(): ToolContext['listChanged'] {
    return (kind) => this.#host.listChanged(kind);
  }

  get resourceUpdated(): ToolContext['resourceUpdated'] {
    return (uri) => this.#host.resourceUpdated(uri);
  }

  async run(): Promise<void> {
    this.#work.running++;
    let result: string;
    try {
      result = await this.#work.run(this.#call.params ?? {}, this);
    } catch (error) {
      this.#failed(error);
      return;
    } finally {
      this.#work.running--;
    }
    if (this.#over) return;
    this.#tellBreaker('well');
    if (this.#call.era === 'legacy' && isInputRequired(result)) this.#askAndRepeat(result);
    else if (this.#finish()) this.#answer(() => this.#first.onResult(result));
  }

  /** Nobody waits for it any more. */
  cancel(): void {
    this.#tellBreaker('nothing');
    if (this.#finish()) this.#abort?.abort();
  }

  stop(): void {
    this.#tellBreaker('nothing');
    this.#giveUp('was stopped, because the server is stopping');
  }

  /** A legacy client cannot repeat its call with answers: it is asked, and the call is repeated in its place. */
  #askAndRepeat(result: string): void {
    this.#startTimer(answerSeconds);
    answerInputRequests(this.#call, result, this.#round, {
      onParams: (params) => {
        if (this.#over) return;
        this.#startTimer(this.#work.timeoutSeconds);
        this.#round++;
        this.#call = callWith(this.#first, { params });
        void this.run();
      },
      onError: (error) => {
        if (this.#finish()) this.#answer(() => this.#first.onError(error));
      },
    });
  }

  #ask(method: string, params: Readonly<Record<string, unknown>>): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#over) {
        reject(new ToolFailure('the call is over already'));
        return;
      }
      // It lives, and a trial does not have to wait for a person.
      if (this.#ticket > 0) this.#tellBreaker('well');
      if (this.#openQuestions++ === 0) this.#startTimer(answerSeconds);
      this.#first.onServerRequest(method, { ...params }, (answer) => {
        if (--this.#openQuestions === 0 && !this.#over) this.#startTimer(this.#work.timeoutSeconds);
        if ('result' in answer) resolve(answer.result);
        else reject(Object.assign(new ToolFailure(answer.error.message), answer.error));
      });
    });
  }

  #notify(method: string, params: Readonly<Record<string, unknown>>): void {
    if (!this.#over) this.#first.onNotification(method, JSON.stringify(params));
  }

  #failed(error: unknown): void {
    const { name } = this.#work;
    const rpcError = rpcErrorOf(error);
    if (!this.#over && !(error instanceof ToolFailure) && rpcError === null) {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#host.log.warn('tool-failed', { tool: name, reason });
    }
    // What a tool reports is its answer; only what kept it from answering counts.
    if (error instanceof ToolRefusal) this.#tellBreaker('nothing');
    else if (!(error instanceof ToolOutage)) this.#tellBreaker('well');
    else this.#tellBreaker(error.reached ? 'reached' : 'unreached');
    if (!this.#finish()) return;
    if (error instanceof ToolRefusal) this.#first.noteRefusal?.(error.message);
    if (rpcError !== null) this.#answer(() => this.#first.onError(rpcError));
    else this.#answerFailure(`${name} failed: ${reasonOf(error)}`);
  }

  #giveUp(what: string): void {
    if (!this.#finish()) return;
    this.#abort?.abort();
    this.#answerFailure(`${this.#work.name} ${what}`);
  }

  #answerFailure(message: string): void {
    this.#answer(() => {
      if (this.#work.failsAs === 'result') this.#first.onResult(errorResult(message));
      else this.#first.onError({ code: INTERNAL_ERROR, message });
    });
  }

  #answer(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#host.log.error('call-handler-failed', { tool: this.#work.name, reason: reasonOf(error) });
    }
  }

  #startTimer(seconds: number): NodeJS.Timeout {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#tellBreaker('reached');
      this.#giveUp(`did not answer within ${seconds} s`);
    }, seconds * 1_000);
    this.#timer.unref();
    return this.#timer;
  }

  /** `reached` and `unreached` are failures. Only the first outcome is told. */
  #tellBreaker(outcome: 'well' | 'nothing' | 'reached' | 'unreached'): void {
    const { breaker } = this.#work;
    if (this.#over || breaker === undefined || breaker === null || this.#ticket === REFUSED) return;
    const ticket = this.#ticket;
    this.#ticket = REFUSED;
    if (outcome === 'nothing') breaker.toldNothing(ticket);
    else if (outcome === 'well') breaker.succeeded(payerOf(this.#first.caller), ticket);
    else breaker.failed(payerOf(this.#first.caller), ticket, outcome === 'reached');
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#host.calls.delete(this);
    return true;
  }
}
