import { StringDecoder } from 'node:string_decoder';

export interface SseReaderOptions {
  /** Longest event; what is longer ends the reading. */
  readonly maxEventBytes: number;
  /** Data of one event, its lines joined by line feeds; never empty. */
  readonly onEvent: (data: string) => void;
  readonly onOversized: () => void;
}

/**
 * Reads an event stream piece by piece (HTML Living Standard, "Parsing an
 * event stream"). Of long lines that arrive in many pieces every character is
 * looked at once.
 */
export class SseReader {
  /** Id of the last event that had one: where the stream can be taken up again. */
  lastEventId: string | null = null;
  /** How long the server wants a client to wait before that, or null. */
  retryMs: number | null = null;
  readonly #options: SseReaderOptions;
  readonly #decoder = new StringDecoder('utf8');
  #pieces: string[] = [];
  #size = 0;
  #data: string[] = [];
  #skipLineFeed = false;
  #first = true;
  #over = false;

  constructor(options: SseReaderOptions) {
    this.#options = options;
  }

  push(chunk: Buffer): void {
    if (this.#over) return;
    this.#size += chunk.length;
    let text = this.#decoder.write(chunk);
    if (text === '') return;
    if (this.#first && text.startsWith('\uFEFF')) text = text.slice(1);
    this.#first = false;
    let from = 0;
    if (this.#skipLineFeed && text.startsWith('\n')) from = 1;
    this.#skipLineFeed = false;
    lineEnd.lastIndex = from;
    for (let found = lineEnd.exec(text); found !== null; found = lineEnd.exec(text)) {
      const line = text.slice(from, found.index);
      from = found.index + found[0].length;
      if (found[0] === '\r' && from === text.length) this.#skipLineFeed = true;
      if (this.#pieces.length === 0) this.#onLine(line);
      else this.#onLine(this.#pieces.join('') + line);
      this.#pieces = [];
      if (this.#over) return;
      // Listeners may have read other streams with the same expression.
      lineEnd.lastIndex = from;
    }
    if (from < text.length) this.#pieces.push(from === 0 ? text : text.slice(from));
    if (this.#size > this.#options.maxEventBytes) {
      this.#over = true;
      this.#pieces = [];
      this.#options.onOversized();
    }
  }

  #onLine(line: string): void {
    if (line === '') {
      const data = this.#data.length === 1 ? (this.#data[0] ?? '') : this.#data.join('\n');
      this.#data = [];
      this.#size = 0;
      if (data !== '') this.#options.onEvent(data);
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1);
    if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.lastEventId = value === '' ? null : value;
    else if (field === 'retry' && /^[0-9]{1,9}$/.test(value)) this.retryMs = Number(value);
  }
}

const lineEnd = /\r\n|\n|\r/g;
