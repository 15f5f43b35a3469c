import type { HttpRequest, HttpResponse } from './http-message.ts';
import type { Session } from '../protocol/session.ts';
import type { Caller } from '../types.ts';
import { sendEmpty, sendJson, sendKeyRefused } from './answers.ts';
import type { CompressedAnswers } from './compress-answers.ts';
import type { EventStream, OpenStreams } from './event-stream.ts';
import type { WaitingExchanges } from './waiting-exchanges.ts';

/** What the client takes as the answer of a POST, from its Accept header. */
export type Accepts = 'json' | 'both' | 'stream';

/** Told when the client is gone before its answer was complete. */
export interface ExchangeOwner {
  clientGone(): void;
}

/** Keeps the events of one answer stream, so that a legacy client can resume it. */
export interface EventRecorder {
  /** Stores the message and gives its event id. */
  record(json: string): string;
  /** The connection was lost while the answer was not complete; the call goes on for a while. */
  connectionLost(): void;
  /** The answer is complete, delivered or not. */
  completed(): void;
}

/** Where the messages of an answer go that do not fit into one JSON body. */
interface AnswerStream {
  send(json: string, eventId: string | null): boolean;
  end(): void;
  lost(): void;
}

/** What all exchanges of a server share. */
export interface ExchangeHost {
  readonly streams: OpenStreams;
  readonly waiting: WaitingExchanges;
  /** Null when answers go out as they are. */
  readonly compressed: CompressedAnswers | null;
  /** Takes one of the caller's open streams and gives the way to return it; null when it has none left. */
  openStream(caller: Caller): (() => void) | null;
  /** How many keys have stopped being accepted so far. */
  readonly endedKeys: number;
  /** Whether the key of the exchange is still accepted. */
  stillAccepts(exchange: Exchange): boolean;
  bodyRead(exchange: Exchange, text: string): void;
  bodyTooLarge(exchange: Exchange): void;
  bodyRefused(exchange: Exchange): void;
}

/**
 * One POST and its answer. A single answer goes out as JSON in one write. When something has to be sent
 * before it, or it takes long, the answer becomes an event stream, if the client takes one.
 */
export class Exchange {
  readonly host: ExchangeHost;
  readonly req: HttpRequest;
  readonly res: HttpResponse;
  readonly caller: Caller;
  readonly accepts: Accepts;
  /** Head lines for every answer of this exchange (CORS), flat. */
  extraHeaders: readonly string[];
  readonly startedMs: number;
  /** As its host had it when the key was checked: while that has not changed, the key need not be looked at again. */
  readonly endedKeys: number;
  /** By which client, log and audit file speak of this request. */
  readonly requestId: string;
  /** Size of the body. */
  bytesIn = 0;
  owner: ExchangeOwner | null = null;
  /** Keeps the answer when it becomes a stream; null for answers that cannot be resumed. */
  recordedBy: Pick<Session, 'recordAnswer'> | null = null;
  /** The client understands a first event that only carries an id. */
  primesStreams = false;

  /** Links of the list of waiting exchanges. */
  previous: Exchange | null = null;
  next: Exchange | null = null;
  isWaiting = false;

  /** The session whose own stream carries the answer (HTTP+SSE of 2024-11-05); null for all others. */
  session: Session | null = null;

  #stream: AnswerStream | null = null;
  #returnStream: (() => void) | null = null;
  #recorder: EventRecorder | null = null;
  #outstanding = 1;
  /** Answers of a batch collected so far; null when this is no batch. */
  #parts: string[] | null = null;
  #finished = false;
  /** The answer goes on over another response; what becomes of this one does not matter. */
  #resumed = false;

  constructor(
    host: ExchangeHost,
    req: HttpRequest,
    res: HttpResponse,
    caller: Caller,
    accepts: Accepts,
    extraHeaders: readonly string[],
    requestId: string,
  ) {
    this.host = host;
    this.req = req;
    this.res = res;
    this.caller = caller;
    this.accepts = accepts;
    this.extraHeaders = extraHeaders;
    this.requestId = requestId;
    this.startedMs = performance.now();
    this.endedKeys = host.endedKeys;
    (res as OwnedResponse).exchange = this;
    res.on('close', onResponseClose);
  }

  bodyRead(text: string, bytes: number): void {
    this.bytesIn = bytes;
    if (!this.#finished) this.host.bodyRead(this, text);
  }

  bodyTooLarge(): void {
    if (!this.#finished) this.host.bodyTooLarge(this);
  }

  bodyRefused(): void {
    if (!this.#finished) this.host.bodyRefused(this);
  }

  /** The answer will be an array of `count` parts. */
  expectBatch(count: number): void {
    this.#outstanding = count;
    this.#parts = [];
  }

  get isBatch(): boolean {
    return this.#parts !== null;
  }

  /** The answer goes to the stream of a session, which outlives it; the POST itself is only accepted. */
  answerOn(session: Session, stream: EventStream): void {
    this.session = session;
    this.#resumed = true;
    this.#stream = { send: (json) => stream.send(json, null), end() {}, lost() {} };
  }

  /** The answer comes later, from a backend. */
  wait(): void {
    if (this.#stream !== null) return;
    if (this.accepts === 'both') this.host.waiting.add(this);
    else if (this.accepts === 'stream') this.upgrade();
  }

  /** Sends the answer, or one part of a batch. Further calls do nothing. */
  complete(json: string, status = 200): void {
    if (this.#finished) return;
    this.#outstanding--;
    if (this.#stream !== null) {
      this.#stream.send(json, this.#recorder === null ? null : this.#recorder.record(json));
      if (this.#outstanding > 0) return;
      this.#finish();
      this.#stream.end();
      return;
    }
    let body = json;
    if (this.#parts !== null) {
      this.#parts.push(json);
      if (this.#outstanding > 0) return;
      body = `[${this.#parts.join(',')}]`;
    }
    // Without a stream left for its key the client gets JSON that it did not ask for, which is better than nothing.
    if (this.accepts === 'stream' && status === 200 && this.upgrade()) {
      this.#outstanding++;
      this.complete(body);
      return;
    }
    this.#finish();
    const { compressed } = this.host;
    const shown = this.#parts === null ? status : 200;
    if (compressed === null) sendJson(this.res, shown, body, this.extraHeaders);
    else compressed.send(this.req, this.res, shown, body, this.extraHeaders);
  }

  /** Accepted, and there is nothing to answer. */
  accept(): void {
    this.#finish();
    sendEmpty(this.res, 202, this.extraHeaders);
  }

  /** Another kind of answer has been sent on the response: problem details, an OAuth error. */
  answered(): void {
    this.#finish();
  }

  /** The key is not accepted any more: an answer that has not begun becomes 401, a stream ends. */
  refuseKey(): void {
    if (this.#finished) return;
    this.#finish();
    if (!this.res.headersSent) sendKeyRefused(this.res, 'The key is not accepted any more.', false, this.extraHeaders);
    this.#stream?.end();
  }

  /** Sends a message before the answer. False when there is no way to: the client takes no stream, or is gone. */
  push(json: string): boolean {
    if (this.#finished || !this.upgrade()) return false;
    if (this.#stream === null) return false;
    if (this.#recorder !== null) {
      // Stored also while the connection is lost: the client may come back for it.
      this.#stream.send(json, this.#recorder.record(json));
      return true;
    }
    return this.#stream.send(json, null);
  }

  /** Turns the answer into an event stream. False when the client takes none, or has as many as it may. */
  upgrade(): boolean {
    if (this.#stream !== null) return true;
    if (this.#finished || this.accepts === 'json' || this.res.headersSent || this.res.destroyed) return false;
    this.host.waiting.remove(this);
    this.#returnStream = this.host.openStream(this.caller);
    if (this.#returnStream === null) return false;
    const stream = this.host.streams.open(this.res, this.extraHeaders);
    this.#stream = stream;
    if (this.recordedBy !== null) {
      this.#recorder = this.recordedBy.recordAnswer(this);
      const id = this.#recorder.record('');
      if (this.primesStreams) stream.prime(id);
    }
    return true;
  }

  /** The client came back on another response: what follows goes there. */
  resumeOn(stream: EventStream): void {
    this.#resumed = true;
    this.#stream?.end();
    this.#stream = stream;
  }

  connectionClosed(): void {
    this.#returnStream?.();
    if (this.#finished || this.#resumed) return;
    this.host.waiting.remove(this);
    this.#stream?.lost();
    if (this.#recorder !== null) {
      this.#recorder.connectionLost();
      return;
    }
    this.#finished = true;
    this.owner?.clientGone();
  }

  #finish(): void {
    this.#finished = true;
    this.host.waiting.remove(this);
    this.#recorder?.completed();
  }
}

interface OwnedResponse extends HttpResponse {
  exchange?: Exchange;
}

function onResponseClose(this: HttpResponse): void {
  (this as OwnedResponse).exchange?.connectionClosed();
}
