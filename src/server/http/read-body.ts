import type { IncomingMessage } from 'node:http';

/** Receives the outcome of reading one body. Exactly one of the two is called, once; none when the client is gone. */
export interface BodyReceiver {
  readonly req: IncomingMessage;
  /** `bytes`: size of the body as it came. */
  bodyRead(text: string, bytes: number): void;
  bodyTooLarge(): void;
}

interface Reading {
  readonly receiver: BodyReceiver;
  readonly maxBytes: number;
  first: Buffer | null;
  rest: Buffer[] | null;
  bytes: number;
}

// Set to null and never deleted: a deleted property makes every later access to the request slow.
interface ReadRequest extends IncomingMessage {
  reading?: Reading | null;
}

/** Reads a request body of at most `maxBytes` as UTF-8 text. A body that arrives in one piece is not copied. */
export function readBody(receiver: BodyReceiver, maxBytes: number): void {
  const req = receiver.req as ReadRequest;
  const announced = req.headers['content-length'];
  if (announced !== undefined && Number(announced) > maxBytes) {
    receiver.bodyTooLarge();
    return;
  }
  req.reading = { receiver, maxBytes, first: null, rest: null, bytes: 0 };
  req.on('data', onData);
  req.on('end', onEnd);
}

function onData(this: ReadRequest, chunk: Buffer): void {
  const reading = this.reading;
  if (reading == null) return;
  reading.bytes += chunk.length;
  if (reading.bytes > reading.maxBytes) {
    this.reading = null;
    this.off('data', onData);
    this.pause();
    reading.receiver.bodyTooLarge();
    return;
  }
  if (reading.first === null) reading.first = chunk;
  else if (reading.rest === null) reading.rest = [reading.first, chunk];
  else reading.rest.push(chunk);
}

function onEnd(this: ReadRequest): void {
  const reading = this.reading;
  if (reading == null) return;
  this.reading = null;
  const { first, rest, bytes } = reading;
  const whole = rest === null ? first : Buffer.concat(rest, bytes);
  reading.receiver.bodyRead(whole === null ? '' : whole.toString('utf8'), bytes);
}
