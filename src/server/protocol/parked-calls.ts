import { randomUUID } from 'node:crypto';
import type { Exchange } from '../http/exchange.ts';
import type { RpcId } from '../types.ts';
import type { AnswerMember, Call } from './call.ts';
import { payerOf } from './calls-in-flight.ts';
import { isObject, renderId, renderRpcResult, rpcCodes } from './rpc-text.ts';
import type { ClientAnswer } from './session.ts';

/** A client that has not repeated its call after this long has given up. */
const parkedForMs = 600_000;
const maxParked = 10_000;
const maxParkedPerKey = 250;
/** What the parked calls of one key hold: parameters, questions and answers that wait, bytes. A call of any allowed size fits. */
const bytesPerKey = 8 * 1_048_576;
const maxQuestions = 100;
/** Questions that come within this time of the first go out with it: nothing to a person, a whole round saved. */
const collectForMs = 10;
/** Tells our states from those that a modern upstream gave its caller itself. */
export const ownStatePrefix = 'mcp-deploy-call-';

interface Parked {
  readonly call: Call;
  /** Given out with the last questions; another one each time, so that an old answer is not taken for a new one. */
  state: string;
  readonly questions: Map<string, { method: string; params: unknown; reply: (answer: ClientAnswer) => void }>;
  sinceMs: number;
  /** The answer that came while nobody was there to take it. */
  settled: { member: AnswerMember; text: string; status: number } | null;
  nextQuestion: number;
  /** Questions are being collected before they go out. */
  isParking: boolean;
  readonly payer: string;
  /** What it holds. */
  bytes: number;
}

/**
 * Modern calls whose backend asked the client something. The question goes out as a result of type
 * input_required, which ends the exchange; the backend's call stays open here until the client repeats the
 * request with its answers and the state that it was given. Bounded in number, size and time. A key that has more than it
 * may gives up its own oldest; no key can push out the calls of another.
 */
export class ParkedCalls {
  readonly #byState = new Map<string, Parked>();
  readonly #byCall = new Map<Call, Parked>();
  /** Oldest first. */
  readonly #ofKey = new Map<string, Set<Parked>>();
  readonly #bytesPerKey: number;
  readonly #maxBytes: number;
  readonly #timer: NodeJS.Timeout;
  #bytes = 0;

  readonly #makeId: () => string;

  /**
   * @param bodyBytes size of the largest request
   * @param makeId gives ids that cannot be guessed; with several workers they tell the call's worker
   */
  constructor(bodyBytes = 0, makeId: () => string = randomUUID) {
    this.#makeId = makeId;
    this.#bytesPerKey = Math.max(bytesPerKey, 2 * bodyBytes);
    this.#maxBytes = 16 * this.#bytesPerKey;
    this.#timer = setInterval(() => this.#sweep(), 10_000);
    this.#timer.unref();
  }

  /** Calls whose client is away. */
  get size(): number {
    let away = 0;
    for (const parked of this.#byState.values()) if (parked.call.exchange === null && !parked.call.isDone) away++;
    return away;
  }

  /** Puts a question of the backend to the client. False when that is not possible. */
  ask(call: Call, method: string, params: Record<string, unknown>, reply: (answer: ClientAnswer) => void): boolean {
    if (!call.rule.mayAskForInput) return false;
    let parked = this.#byCall.get(call);
    if (parked === undefined) {
      const payer = payerOf(call.caller);
      if (!this.#makeRoom(payer, 1, call.bytesIn)) return false;
      parked = {
        call,
        payer,
        bytes: 0,
        state: '',
        questions: new Map(),
        sinceMs: 0,
        settled: null,
        nextQuestion: 1,
        isParking: false,
      };
      this.#byCall.set(call, parked);
      const own = this.#ofKey.get(payer);
      if (own === undefined) this.#ofKey.set(payer, new Set([parked]));
      else own.add(parked);
      this.#hold(parked, call.bytesIn);
      call.wasParked = true;
    }
    const questionBytes = JSON.stringify(params).length;
    if (parked.questions.size >= maxQuestions || !this.#makeRoom(parked.payer, 0, questionBytes, parked)) return false;
    this.#hold(parked, questionBytes);
    const { elicitationId: _legacyOnly, ...modernParams } = params;
    parked.questions.set(`q${parked.nextQuestion++}`, { method, params: modernParams, reply });
    this.#parkSoon(parked);
    return true;
  }

  /** Whether this `requestState` was given out here, or by another process of this server; the others are an upstream's. */
  isOwnState(state: unknown): boolean {
    return typeof state === 'string' && state.startsWith(ownStatePrefix);
  }

  /** Continues a parked call on the exchange of the repeated request. False when the state is unknown here. */
  resume(exchange: Exchange, id: RpcId, method: string, params: Record<string, unknown>): boolean {
    const parked = this.#byState.get(String(params['requestState']));
    if (parked === undefined || parked.call.exchange !== null) return false;
    const { call } = parked;
    const sameTarget =
      call.method === method &&
      call.caller.keyId === exchange.caller.keyId &&
      (call.rule.nameField === null || call.params?.[call.rule.nameField] === params[call.rule.nameField]);
    if (!sameTarget) return false;

    call.exchange = exchange;
    call.answerId = id;
    exchange.owner = call;
    const answers = isObject(params['inputResponses']) ? params['inputResponses'] : {};
    for (const [key, question] of parked.questions) {
      if (!Object.hasOwn(answers, key)) continue;
      parked.questions.delete(key);
      question.reply({ result: answers[key] });
    }
    if (parked.settled !== null) {
      const { member, text, status } = parked.settled;
      this.#forget(parked);
      call.deliver(member, text, status);
    } else if (parked.questions.size > 0) {
      this.#park(parked);
    } else {
      exchange.wait();
    }
    return true;
  }

  /** The backend answered while the client was away. */
  settled(call: Call, member: AnswerMember, text: string, status: number): void {
    const parked = this.#byCall.get(call);
    if (parked === undefined) return;
    if (this.#makeRoom(parked.payer, 0, text.length, parked)) {
      parked.settled = { member, text, status };
      this.#hold(parked, text.length);
      return;
    }
    // It has run, and its answer is too large to be kept: who comes back is told so.
    const message = 'The answer was too large to be kept until the client came back.';
    const error = JSON.stringify({ code: rpcCodes.internalError, message });
    parked.settled = { member: 'error', text: error, status: 200 };
  }

  /** The call has ended with its client there, or for good. */
  forgetCall(call: Call): void {
    const parked = this.#byCall.get(call);
    if (parked !== undefined) this.#forget(parked);
  }

  /** Gives up the parked calls of a key that was revoked. */
  abandonAllOf(keyId: string): void {
    for (const parked of this.#byState.values()) if (parked.call.caller.keyId === keyId) this.#abandon(parked);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const parked of this.#byState.values()) this.#abandon(parked);
  }

  /** What a backend asks at once reaches the client at once, not one question a round. */
  #parkSoon(parked: Parked): void {
    if (parked.isParking) return;
    parked.isParking = true;
    setTimeout(() => {
      parked.isParking = false;
      if (this.#byCall.get(parked.call) === parked) this.#park(parked);
    }, collectForMs);
  }

  /** Answers the exchange with every open question and lets it go. */
  #park(parked: Parked): void {
    const { exchange, answerId } = parked.call;
    if (exchange === null) return;
    this.#byState.delete(parked.state);
    parked.state = ownStatePrefix + this.#makeId();
    this.#byState.set(parked.state, parked);
    parked.call.exchange = null;
    parked.sinceMs = performance.now();
    const inputRequests: Record<string, unknown> = {};
    for (const [key, { method, params }] of parked.questions) inputRequests[key] = { method, params };
    const result = JSON.stringify({ resultType: 'input_required', inputRequests, requestState: parked.state });
    exchange.complete(renderRpcResult(renderId(answerId), result));
  }

  #sweep(): void {
    const tooOld = performance.now() - parkedForMs;
    for (const parked of this.#byState.values()) {
      if (parked.call.exchange === null && parked.sinceMs < tooOld) this.#abandon(parked);
    }
  }

  /**
   * Makes room among the calls of this key, the longest away first. False when that is not enough, or when all keys
   * together hold as much as there may be.
   */
  #makeRoom(payer: string, calls: number, bytes: number, keep: Parked | null = null): boolean {
    const own = this.#ofKey.get(payer) ?? new Set<Parked>();
    let held = 0;
    for (const parked of own) held += parked.bytes;
    const isTooMuch = (): boolean =>
      own.size + calls > maxParkedPerKey ||
      held + bytes > this.#bytesPerKey ||
      this.#byCall.size + calls > maxParked ||
      this.#bytes + bytes > this.#maxBytes;
    for (const parked of [...own].sort((a, b) => a.sinceMs - b.sinceMs)) {
      if (!isTooMuch()) break;
      // One whose client is there is not parked at the moment.
      if (parked === keep || parked.call.exchange !== null) continue;
      held -= parked.bytes;
      this.#abandon(parked);
    }
    return !isTooMuch();
  }

  #hold(parked: Parked, bytes: number): void {
    parked.bytes += bytes;
    this.#bytes += bytes;
  }

  #abandon(parked: Parked): void {
    this.#forget(parked);
    parked.call.abandon('the client did not come back with its answer');
  }

  #forget(parked: Parked): void {
    this.#byState.delete(parked.state);
    if (!this.#byCall.delete(parked.call)) return;
    this.#hold(parked, -parked.bytes);
    const own = this.#ofKey.get(parked.payer);
    own?.delete(parked);
    if (own?.size === 0) this.#ofKey.delete(parked.payer);
  }
}
