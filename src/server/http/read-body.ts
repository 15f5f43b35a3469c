import type { IncomingMessage } from 'node:http';
import type { HttpRequest } from './http-message.ts';
import { QuickRequest } from './quick/quick-request.ts';

/** Receives the outcome of reading one body. Exactly one of the two is called, once; none when the client is gone. */
export interface BodyReceiver {
  readonly req: HttpRequest;
  /** `bytes`: size of the body as it came. */
  bodyRead(text: string, bytes: number): void;
  bodyTooLarge(): void;
  /** The unfinished bodies of all requests together are as large as this server holds. */
  bodyRefused(): void;
}

/** What the unfinished bodies of all requests may hold together, bytes: many slow senders must not fill the memory. */
export class BodyBudget {
  readonly #most: number;
  #held = 0;

  constructor(mostBytes: number) {
    this.#most = mostBytes;
  }

  get heldBytes(): number {
    return this.#held;
  }

  /** False when there is no room; then nothing is taken. */
  take(bytes: number): boolean {
    if (this.#held + bytes > this.#most) return false;
    this.#held += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }
}

interface Reading {
  readonly receiver: BodyReceiver;
  readonly maxBytes: number;
  readonly budget: BodyBudget;
  /** Taken from the budget; a body that arrives in one piece takes nothing. */
  held: number;
  first: Buffer | null;
  rest: Buffer[] | null;
  bytes: number;
}

// Set to null and never deleted: a deleted property makes every later access to the request slow.
interface ReadRequest extends IncomingMessage {
  reading?: Reading | null;
}

/** Reads a request body of at most `maxBytes` as UTF-8 text. A body that arrives in one piece is not copied. */
export function readBody(receiver: BodyReceiver, maxBytes: number, budget: BodyBudget): void {
  const announced = receiver.req.headers['content-length'];
  if (announced !== undefined && Number(announced) > maxBytes) {
    receiver.bodyTooLarge();
    return;
  }
  if (receiver.req instanceof QuickRequest) {
    receiver.bodyRead(receiver.req.text, receiver.req.bodyBytes);
    return;
  }
  const req = receiver.req as ReadRequest;
  req.reading = { receiver, maxBytes, budget, held: 0, first: null, rest: null, bytes: 0 };
  req.on('data', onData);
  req.on('end', onEnd);
}

function onData(this: ReadRequest, chunk: Buffer): void {
  const reading = this.reading;
  if (reading == null) return;
  reading.bytes += chunk.length;
  if (reading.bytes > reading.maxBytes) {
    stopReading(this, reading);
    reading.receiver.bodyTooLarge();
    return;
  }
  if (reading.first === null) {
    reading.first = chunk;
    return;
  }
  if (!hold(this, reading)) {
    stopReading(this, reading);
    reading.receiver.bodyRefused();
    return;
  }
  if (reading.rest === null) reading.rest = [reading.first, chunk];
  else reading.rest.push(chunk);
}

/** Takes what has arrived since from the budget. */
function hold(req: ReadRequest, reading: Reading): boolean {
  const more = reading.bytes - reading.held;
  if (!reading.budget.take(more)) return false;
  if (reading.held === 0) req.once('close', onClose);
  reading.held += more;
  return true;
}

function onClose(this: ReadRequest): void {
  const reading = this.reading;
  if (reading != null) stopReading(this, reading);
}

function stopReading(req: ReadRequest, reading: Reading): void {
  req.reading = null;
  req.off('data', onData);
  req.pause();
  reading.budget.give(reading.held);
}

function onEnd(this: ReadRequest): void {
  const reading = this.reading;
  if (reading == null) return;
  this.reading = null;
  reading.budget.give(reading.held);
  const { first, rest, bytes } = reading;
  const whole = rest === null ? first : Buffer.concat(rest, bytes);
  reading.receiver.bodyRead(whole === null ? '' : whole.toString('utf8'), bytes);
}
