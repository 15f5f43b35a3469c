import type { HttpResponse } from './http-message.ts';

/** A reader that leaves more than this unread is cut off: its memory is ours. All readers together have a bound beside it. */
const maxUnreadBytes = 8 * 1_048_576;

/** How long a client that lost its stream waits before it resumes (MCP 2025-11-25, transports). */
const retryMs = 1_000;

const streamHead: readonly string[] = [
  'Content-Type',
  'text/event-stream',
  'Cache-Control',
  'no-cache, no-transform',
  'X-Accel-Buffering',
  'no',
];

/** What a stream tells the outside. */
export interface StreamEvents {
  eventSent(): void;
  slowReaderCut(unreadBytes: number): void;
}

/**
 * All open event streams: one timer keeps them alive instead of one timer each. A comment line goes out
 * on every stream that has been silent for `keepAliveMs`, so that no proxy or client cuts it.
 */
export class OpenStreams {
  readonly #streams = new Set<EventStream>();
  #keepAliveMs = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly events: StreamEvents;

  constructor(keepAliveMs: number, events: StreamEvents) {
    this.events = events;
    this.useKeepAlive(keepAliveMs);
  }

  /** Another silence after which a stream gets its comment line; open streams too. */
  useKeepAlive(keepAliveMs: number): void {
    this.#keepAliveMs = keepAliveMs;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#keepAlive(performance.now()), Math.max(10, Math.min(1_000, keepAliveMs / 4)));
    this.#timer.unref();
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Starts an event stream on a response: head and a comment line go out at once. */
  open(res: HttpResponse, extraHeaders: readonly string[]): EventStream {
    const stream = new EventStream(res, this);
    this.#streams.add(stream);
    res.writeHead(200, [...streamHead, ...extraHeaders]);
    res.write(': open\n\n');
    return stream;
  }

  forget(stream: EventStream): void {
    this.#streams.delete(stream);
  }

  /** Ends the stream that goes out on this response. */
  endOn(res: HttpResponse): void {
    for (const stream of this.#streams) if (stream.writesTo(res)) stream.end();
  }

  /** Ends what is still open and stops the timer. */
  close(): void {
    clearInterval(this.#timer);
    for (const stream of this.#streams) stream.end();
  }

  #keepAlive(nowMs: number): void {
    for (const stream of this.#streams) {
      if (nowMs - stream.lastWriteMs >= this.#keepAliveMs) stream.comment('keep-alive', nowMs);
    }
  }
}

/** One `text/event-stream` response. Writing to an ended or lost stream does nothing. */
export class EventStream {
  readonly #res: HttpResponse;
  readonly #all: OpenStreams;
  lastWriteMs = performance.now();
  ended = false;

  constructor(res: HttpResponse, all: OpenStreams) {
    this.#res = res;
    this.#all = all;
  }

  comment(text: string, nowMs: number): void {
    if (this.ended) return;
    this.lastWriteMs = nowMs;
    this.#res.write(`: ${text}\n\n`);
  }

  /** An event that is no message: `data` is one line. */
  sendEvent(name: string, data: string): void {
    if (!this.ended) this.#res.write(`event: ${name}\ndata: ${data}\n\n`);
  }

  /** An event without data: only an id to resume from, and when to come back for the rest. */
  prime(eventId: string): void {
    if (this.ended) return;
    this.#res.write(`id: ${eventId}\nretry: ${retryMs}\ndata: \n\n`);
  }

  /** Sends one message. False when the stream cannot take it: it has ended, or its reader is too slow and was cut. */
  send(json: string, eventId: string | null): boolean {
    if (this.ended) return false;
    if (this.#res.writableLength > maxUnreadBytes) {
      this.#all.events.slowReaderCut(this.#res.writableLength);
      this.destroy();
      return false;
    }
    this.lastWriteMs = performance.now();
    this.#res.write(renderEvent(json, eventId));
    this.#all.events.eventSent();
    return true;
  }

  writesTo(res: HttpResponse): boolean {
    return this.#res === res;
  }

  end(): void {
    if (this.ended) return;
    this.lost();
    this.#res.end();
  }

  destroy(): void {
    this.lost();
    this.#res.destroy();
  }

  /** The connection is gone, nothing more is written. */
  lost(): void {
    this.ended = true;
    this.#all.forget(this);
  }
}

function renderEvent(json: string, eventId: string | null): string {
  // A line break between JSON tokens would end the data line; inside of JSON strings there are none.
  const data = json.includes('\n') || json.includes('\r') ? json.replaceAll(/[\r\n]+/g, ' ') : json;
  return eventId === null ? `event: message\ndata: ${data}\n\n` : `event: message\nid: ${eventId}\ndata: ${data}\n\n`;
}
