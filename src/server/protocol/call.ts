import type { IncomingHttpHeaders } from 'node:http';
import { UPSTREAM_BUSY } from '../backends/backend-errors.ts';
import { saysError } from '../backends/says-error.ts';
import type { Exchange } from '../http/exchange.ts';
import type { AuditTrail } from '../observe/audit-trail.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import { takeTraceContext, withTraceContext } from '../observe/trace-context.ts';
import type { CallSpan, Traces } from '../observe/traces.ts';
import type { BackendCall, Caller, CancelCall, Era, RpcError, RpcId } from '../types.ts';
import type { CallOfKey, CallsInFlight, ToolCount } from './calls-in-flight.ts';
import { missingCapabilityError, missingClientCapability } from './client-capabilities.ts';
import type { MethodRule } from './methods.ts';
import { renderModernResult } from './modern-result.ts';
import type { ParkedCalls } from './parked-calls.ts';
import { metaKeys } from './revisions.ts';
import { isObject, readObject, renderId, renderNotification, rpcCodes } from './rpc-text.ts';
import type { ClientAnswer, Session } from './session.ts';

/** Which member of the JSON-RPC response the text is. */
export type AnswerMember = 'result' | 'error';

/** What all calls of a server share. */
export interface CallHost {
  readonly metrics: Metrics;
  readonly parked: ParkedCalls;
  /** Null when nothing is audited. */
  readonly audit: AuditTrail | null;
  /** `{"name":..,"version":..}` of this endpoint, as modern results carry it. */
  serverInfoJson(): string;
  /** Some callers see less than others: no result is for all of them. */
  callersDiffer(): boolean;
  readonly inFlight: CallsInFlight;
  /** Null when no spans are recorded. */
  readonly traces: Traces | null;
  isKnownTool(name: string): boolean;
  readonly log: Log;
}

/** Code outside the range that JSON-RPC and MCP reserve: the client itself took the request back. */
const cancelledCode = -32_800;

/** A place or a turn comes free in moments where it does at all. */
const busyRetrySeconds = '2';

const noCalls: CallOfKey[] = [];

const logLevels = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'];

/** One client request that a backend answers: the way there and back. */
export class Call implements BackendCall, CallOfKey {
  readonly id: RpcId;
  readonly method: string;
  readonly params: Record<string, unknown> | undefined;
  readonly caller: Caller;
  readonly era: Era;
  readonly session: Session | null;
  readonly sessionId: string | null;
  readonly clientCapabilities: Record<string, unknown>;
  readonly rule: MethodRule;
  readonly requestId: string;
  readonly bytesIn: number;

  /** Where the answer goes; null while a modern call is parked until its client repeats it. */
  exchange: Exchange | null;
  /** Id that the answer carries: that of the repeated request for a continued call. */
  answerId: RpcId;
  cancel: CancelCall | null = null;
  /** Kept by the session. */
  placeInSession = 0;
  /** Kept by the calls in flight, both. */
  callsOfKey: CallOfKey[] = noCalls;
  placeAmongThem = 0;
  toolCount: ToolCount | null = null;
  /** Its backend has asked a modern client something. */
  wasParked = false;

  readonly #host: CallHost;
  readonly #startedMs: number;
  readonly #span: CallSpan | null;
  #done = false;
  /** What the backend asked for and this client does not offer. */
  #missingCapability: string | null = null;
  #refusedWhy: string | null = null;
  /** Requests to the client that it has not answered. */
  #asked: Set<string> | null = null;

  constructor(
    host: CallHost,
    exchange: Exchange,
    id: RpcId,
    method: string,
    params: Record<string, unknown> | undefined,
    rule: MethodRule,
    era: Era,
    session: Session | null,
    clientCapabilities: Record<string, unknown>,
  ) {
    this.#host = host;
    this.exchange = exchange;
    this.id = id;
    this.answerId = id;
    this.method = method;
    this.rule = rule;
    this.era = era;
    this.session = session;
    this.sessionId = session === null ? null : session.id;
    this.clientCapabilities = clientCapabilities;
    this.caller = exchange.caller;
    this.requestId = exchange.requestId;
    this.bytesIn = exchange.bytesIn;
    this.#startedMs = exchange.startedMs;
    const { headers } = exchange.req;
    if (host.traces === null) {
      this.#span = null;
      this.params = takeTraceContext(params, headers);
    } else {
      this.#span = this.#startSpan(host.traces, params, headers);
      this.params = withTraceContext(params, this.#span.context);
    }
    session?.addCall(this);
    host.inFlight.add(this);
  }

  get isDone(): boolean {
    return this.#done;
  }

  onResult(resultJson: string): void {
    if (this.#done) return;
    let result = resultJson;
    if (this.era === 'modern') {
      const { cacheable } = this.rule;
      const rendered = renderModernResult(
        resultJson,
        cacheable,
        this.#host.serverInfoJson(),
        this.#host.callersDiffer(),
      );
      if (rendered === null) {
        this.onError({
          code: rpcCodes.internalError,
          message: 'The MCP server behind this endpoint sent a broken result.',
        });
        return;
      }
      result = rendered;
    }
    const failed = this.method === 'tools/call' && saysError(resultJson);
    this.#end(
      failed ? 'error' : 'ok',
      result,
      failed ? 'the tool reported an error' : null,
      failed ? 'tool_error' : null,
    );
    this.#answer('result', result, 200);
  }

  onError(given: RpcError): void {
    if (this.#done) return;
    const error = this.era === 'modern' ? this.#inModernTerms(given) : given;
    const text = JSON.stringify(error);
    this.#end('error', text, `${error.message} (${error.code})`, String(error.code));
    if (error.code === UPSTREAM_BUSY && this.exchange !== null) {
      this.exchange.extraHeaders = [...this.exchange.extraHeaders, 'Retry-After', busyRetrySeconds];
      this.#answer('error', text, 503);
      return;
    }
    this.#answer('error', text, this.era === 'modern' ? modernStatus(error.code) : 200);
  }

  onNotification(method: string, paramsJson: string): void {
    if (this.#done || this.exchange === null) return;
    if (this.era === 'modern' && method === 'notifications/message' && !this.#wantsLog(paramsJson)) return;
    this.exchange.push(renderNotification(method, paramsJson));
  }

  onServerRequest(method: string, params: Record<string, unknown>, reply: (answer: ClientAnswer) => void): void {
    if (this.#done) return;
    const missing = missingClientCapability(method, params, this.clientCapabilities);
    if (missing !== null) {
      if (missing !== method) this.#missingCapability = missing;
      reply({ error: { code: rpcCodes.methodNotFound, message: `The client does not offer ${missing}.` } });
    } else if (this.era === 'modern') {
      if (!this.#host.parked.ask(this, method, params, reply)) {
        reply({
          error: { code: rpcCodes.internalError, message: `The client cannot be asked during ${this.method}.` },
        });
      }
    } else {
      this.#askLegacy(method, params, reply);
    }
  }

  /**
   * Errors of legacy backends as MCP 2026-07-28 has them. One that was refused a question mostly passes the refusal
   * on: the client is told what it lacks. A resource that does not exist has another code now.
   */
  #inModernTerms(error: RpcError): RpcError {
    if (error.code === rpcCodes.legacyResourceNotFound && this.method === 'resources/read') {
      return { ...error, code: rpcCodes.invalidParams, data: error.data ?? { uri: this.params?.['uri'] } };
    }
    if (this.#missingCapability === null) return error;
    const passedOn = error.code === rpcCodes.methodNotFound || error.code === rpcCodes.internalError;
    return passedOn ? missingCapabilityError(this.#missingCapability) : error;
  }

  noteRefusal(why: string): void {
    this.#refusedWhy = why;
  }

  /** Answers what no backend may see: hidden from this caller. The audit tells it from a failure. */
  refuse(given: RpcError, why: string): void {
    if (this.#done) return;
    this.#refusedWhy = why;
    this.onError(given);
  }

  /** The client's connection is gone and will not come back. */
  clientGone(): void {
    this.#cancel('the client is gone');
  }

  /** The client sent notifications/cancelled, or its session ended. */
  cancelByClient(reason: string): void {
    if (this.#done) return;
    this.#cancel(reason);
    this.#answer('error', JSON.stringify({ code: cancelledCode, message: 'The request was cancelled.' }), 200);
  }

  endForKey(): void {
    if (this.#done) return;
    this.#cancel('the key is not accepted any more');
    this.exchange?.refuseKey();
  }

  /** Ends the call without an answer: it was refused or given up before a backend had it, or while parked. */
  abandon(reason: string): void {
    this.#cancel(reason);
  }

  /** Sends the answer on the exchange that is attached now. */
  deliver(member: AnswerMember, text: string, status: number): void {
    this.exchange?.complete(`{"jsonrpc":"2.0","id":${renderId(this.answerId)},"${member}":${text}}`, status);
  }

  #answer(member: AnswerMember, text: string, status: number): void {
    if (this.exchange === null) {
      this.#host.parked.settled(this, member, text, status);
      return;
    }
    if (this.wasParked) this.#host.parked.forgetCall(this);
    this.deliver(member, text, status);
  }

  #cancel(reason: string): void {
    if (this.#done) return;
    this.#end('cancelled', '', `${reason}; outcome unknown: it may have run.`, 'cancelled');
    if (this.wasParked) this.#host.parked.forgetCall(this);
    this.cancel?.(reason);
  }

  /** `failure`: what went wrong in one word or code, without anything of the call in it. */
  #end(status: 'ok' | 'error' | 'cancelled', resultText: string, error: string | null, failure: string | null): void {
    this.#done = true;
    this.#span?.end(failure);
    this.session?.removeCall(this);
    if (this.#asked !== null) for (const id of this.#asked) this.session?.forgetAnswer(id);
    const seconds = (performance.now() - this.#startedMs) / 1_000;
    const tool = this.method === 'tools/call' ? toolName(this.params) : null;
    this.#logEnd(this.#refusedWhy === null ? status : 'refused', tool, seconds, failure);
    if (this.#refusedWhy !== null) {
      this.#endRefused(tool, seconds, this.#refusedWhy);
      return;
    }
    this.#host.metrics.request(this.method, tool, status, seconds);
    if (tool !== null) this.#host.metrics.toolExecution(tool, status, seconds);
    this.#host.audit?.ended(this, status, seconds, resultText, error);
    this.#host.inFlight.remove(this);
  }

  #startSpan(traces: Traces, params: Record<string, unknown> | undefined, headers: IncomingHttpHeaders): CallSpan {
    const { method, era, id, requestId, caller } = this;
    return traces.receive({
      method,
      isKnown: method === 'tools/call' && this.#host.isKnownTool(toolName(params)),
      era,
      id,
      requestId,
      address: caller.address,
      keyLabel: caller.label,
      startedMs: this.#startedMs,
      params,
      headers,
    });
  }

  /** One line for each call at level debug; the audit file is the place for a record. */
  #logEnd(status: string, tool: string | null, seconds: number, failure: string | null): void {
    const { log } = this.#host;
    if (log.writes?.('debug') !== true) return;
    const { requestId, method, era, caller } = this;
    log.debug('call.ended', { requestId, method, tool, status, seconds, failure, era, caller: caller.label });
  }

  #endRefused(tool: string | null, seconds: number, why: string): void {
    const { requestId, caller, id, method, params, era, sessionId, bytesIn } = this;
    this.#host.metrics.request(method, tool, 'refused', seconds);
    const { address, label: key } = caller;
    this.#host.audit?.refused({
      requestId,
      why,
      address,
      key,
      id,
      method,
      params,
      era,
      session: sessionId,
      bytesIn,
      seconds,
      hasSpan: this.#span !== null,
    });
    this.#host.inFlight.remove(this);
  }

  #askLegacy(method: string, params: Record<string, unknown>, reply: (answer: ClientAnswer) => void): void {
    const { session, exchange } = this;
    if (session === null || exchange === null) {
      reply({ error: { code: rpcCodes.internalError, message: 'A client without a session cannot be asked.' } });
      return;
    }
    const asked = (this.#asked ??= new Set());
    const id = session.expectAnswer((answer) => {
      if (id !== null) asked.delete(id);
      reply(answer);
    });
    if (id === null) {
      reply({ error: { code: rpcCodes.internalError, message: 'The client has too many questions open.' } });
      return;
    }
    asked.add(id);
    const json = JSON.stringify({ jsonrpc: '2.0', id, method, params });
    if (exchange.push(json)) return;
    session.forgetAnswer(id);
    asked.delete(id);
    reply({
      error: { code: rpcCodes.internalError, message: 'The client takes no event stream, so it cannot be asked.' },
    });
  }

  /** Log messages reach modern clients only if the request asked for them, at the level that it asked for. */
  #wantsLog(paramsJson: string): boolean {
    const meta = this.params?.['_meta'];
    const wanted = isObject(meta) ? logLevels.indexOf(String(meta[metaKeys.logLevel])) : -1;
    if (wanted === -1) return false;
    const message = readObject(paramsJson);
    return message !== null && logLevels.indexOf(String(message['level'])) >= wanted;
  }
}

function toolName(params: Record<string, unknown> | undefined): string {
  const name = params?.['name'];
  return typeof name === 'string' ? name : 'other';
}

/** HTTP status of an error that a backend answered (spec 2026-07-28, transports). */
function modernStatus(code: number): number {
  if (code === rpcCodes.methodNotFound) return 404;
  return code === rpcCodes.missingCapability ? 400 : 200;
}
