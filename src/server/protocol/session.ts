import type { EventStream } from '../http/event-stream.ts';
import type { EventRecorder, Exchange } from '../http/exchange.ts';
import type { RpcError, RpcId } from '../types.ts';
import type { Call } from './call.ts';
import { EventLog, type EventBudget } from './event-log.ts';

/** Answer of a client to a request of a backend. */
export type ClientAnswer = { result: unknown } | { error: RpcError };

/** Stream number of the GET stream; answer streams count from 1. */
const standaloneStream = 0;

/** Questions of backends to one client that may be open at once. */
const maxPending = 1_000;

/** Numbers that one server gives out before those of the next one begin; what parseEventId reads holds all of them. */
const numbersOfServer = 1_000_000;
const eventsOfServer = 1_000_000_000_000;
const mostMoves = 900;

interface ResumableAnswer {
  readonly exchange: Exchange;
  /** 0 while connected. */
  lostAtMs: number;
  /** The one that the client came back on last; null before. */
  stream: EventStream | null;
}

/**
 * One legacy session. It belongs to the key that made it. Everything but the identity is made when it is
 * needed: most sessions are idle, and clients almost never delete them.
 */
export class Session {
  readonly id: string;
  readonly keyId: string;
  /** What initialize agreed on. Set again where the session is older than its initialize (HTTP+SSE). */
  revision: string;
  clientCapabilities: Record<string, unknown>;
  lastSeenMs = performance.now();
  ended = false;
  /** Another server may go on with it. */
  isShared = false;
  /** Until when what was seen of it has been told. */
  toldMs = 0;
  /** How often it went from one server to another. */
  readonly moves: number;

  readonly #budget: EventBudget;
  #log: EventLog | null = null;
  #stream: EventStream | null = null;
  #hadStream = false;
  /** In no order; each call knows its place. */
  #calls: Call[] | null = null;
  #pending: Map<string, (answer: ClientAnswer) => void> | null = null;
  #answers: Map<number, ResumableAnswer> | null = null;
  #nextStream: number;
  #nextRequest: number;

  constructor(
    id: string,
    keyId: string,
    revision: string,
    clientCapabilities: Record<string, unknown>,
    budget: EventBudget,
    moves = 0,
  ) {
    this.id = id;
    this.keyId = keyId;
    this.revision = revision;
    this.clientCapabilities = clientCapabilities;
    this.#budget = budget;
    this.moves = moves;
    // What a client knows by numbers of another server is not taken for something of this one.
    this.#nextStream = 1 + (moves % mostMoves) * numbersOfServer;
    this.#nextRequest = this.#nextStream;
  }

  /** In use right now: does not end by idling. */
  get isActive(): boolean {
    return this.#stream !== null || (this.#calls !== null && this.#calls.length > 0);
  }

  touch(): void {
    this.lastSeenMs = performance.now();
  }

  // Calls in flight, so that notifications/cancelled finds them.

  addCall(call: Call): void {
    this.#calls ??= [];
    call.placeInSession = this.#calls.length;
    this.#calls.push(call);
  }

  removeCall(call: Call): void {
    const last = this.#calls?.pop();
    if (this.#calls === null || last === undefined || last === call) return;
    this.#calls[call.placeInSession] = last;
    last.placeInSession = call.placeInSession;
  }

  /** Looked for one by one: cancelling is rare, and adding and removing are on the way of every call. */
  findCall(id: RpcId): Call | null {
    return this.#calls?.find((call) => call.id === id) ?? null;
  }

  // Requests of backends to this client.

  /** Registers a request and gives the id it goes out with; null when too many wait already. */
  expectAnswer(reply: (answer: ClientAnswer) => void): string | null {
    this.#pending ??= new Map();
    if (this.#pending.size >= maxPending) return null;
    const id = `s${this.#nextRequest++}`;
    this.#pending.set(id, reply);
    return id;
  }

  forgetAnswer(id: string): void {
    this.#pending?.delete(id);
  }

  /** Routes an answer of the client. False when nothing waits for it. */
  takeAnswer(id: RpcId, answer: ClientAnswer): boolean {
    if (typeof id !== 'string') return false;
    const reply = this.#pending?.get(id);
    if (reply === undefined) return false;
    this.#pending?.delete(id);
    reply(answer);
    return true;
  }

  // Streams.

  /** Makes `stream` the GET stream. The newest wins: an old one is ended, it may be half open. */
  attachStream(stream: EventStream): void {
    this.#stream?.end();
    this.#stream = stream;
    this.#hadStream = true;
  }

  detachStream(stream: EventStream): void {
    if (this.#stream === stream) this.#stream = null;
    this.touch();
  }

  /** Sends a message that belongs to no call. Kept for resumption when the client had a stream and lost it. */
  notify(json: string): void {
    if (!this.#hadStream) return;
    // Not as an argument: it is to be kept also while there is no stream.
    const id = this.#events().add(standaloneStream, json);
    this.#stream?.send(json, id);
  }

  /** Sends again what a resuming client missed on the GET stream. */
  replayStandalone(stream: EventStream, afterSequence: number): void {
    this.#log?.replay(standaloneStream, afterSequence, (id, json) => stream.send(json, id));
  }

  /** Makes the answer of `exchange` resumable. */
  recordAnswer(exchange: Exchange): EventRecorder {
    const number = this.#nextStream++;
    const answer: ResumableAnswer = { exchange, lostAtMs: 0, stream: null };
    this.#answers ??= new Map();
    this.#answers.set(number, answer);
    const events = this.#events();
    return {
      record: (json) => events.add(number, json),
      connectionLost: () => {
        answer.lostAtMs = performance.now();
      },
      completed: () => this.#answers?.delete(number),
    };
  }

  /** Continues an answer stream on `stream`: what was missed first. False when that answer is complete. */
  resumeAnswer(number: number, afterSequence: number, stream: EventStream): boolean {
    this.#log?.replay(number, afterSequence, (id, json) => stream.send(json, id));
    const answer = this.#answers?.get(number);
    if (answer === undefined) return false;
    answer.lostAtMs = 0;
    answer.stream = stream;
    answer.exchange.resumeOn(stream);
    return true;
  }

  /** A resumed connection of an answer stream was lost; one that another has taken over from does not matter. */
  answerLost(number: number, stream: EventStream): void {
    const answer = this.#answers?.get(number);
    if (answer?.stream === stream) answer.lostAtMs = performance.now();
  }

  /** Cancels calls whose client has not come back for its answer since `lostBeforeMs`. */
  giveUpLostAnswers(lostBeforeMs: number): void {
    if (this.#answers === null) return;
    for (const [number, answer] of this.#answers) {
      if (answer.lostAtMs === 0 || answer.lostAtMs > lostBeforeMs) continue;
      this.#answers.delete(number);
      answer.exchange.owner?.clientGone();
    }
  }

  /** Ends streams, cancels calls and lets backends that wait for an answer know. */
  end(): void {
    this.ended = true;
    this.#stream?.end();
    this.#stream = null;
    if (this.#pending !== null) {
      for (const reply of this.#pending.values())
        reply({ error: { code: -32_000, message: 'The session has ended.' } });
      this.#pending = null;
    }
    for (const call of this.#calls?.slice() ?? []) call.cancelByClient('the session has ended');
    this.#answers = null;
    this.#log?.clear();
  }

  #events(): EventLog {
    this.#log ??= new EventLog(this.#budget, this.keyId, 1 + (this.moves % mostMoves) * eventsOfServer);
    return this.#log;
  }
}
