import { StringDecoder } from 'node:string_decoder';

/**
 * Splits a byte stream into lines of UTF-8 text. A chunk is decoded once, up to
 * its last line end, so that many small messages cost one decode and a split
 * character never meets the decoder; the pieces of a long line are joined once.
 */
export interface LineReader {
  push(chunk: Buffer): void;
  /** The stream has ended: an unfinished last line is given out. */
  end(): void;
}

export interface LineReaderOptions {
  readonly maxLineBytes: number;
  /** A line without its end (LF or CRLF); empty lines are left out. */
  readonly onLine: (line: string) => void;
  /** A line grew over the limit. Gets its beginning (at most 4 KiB); the rest up to the next line end is dropped. */
  readonly onOversized: (beginning: string) => void;
}

const LF = 10;
const shownBeginningBytes = 4_096;

export function createLineReader(options: LineReaderOptions): LineReader {
  const { maxLineBytes, onLine, onOversized } = options;
  // Decoded as they come, so that the bytes of a long line need not be kept beside its text.
  let pieces: string[] = [];
  let pieceBytes = 0;
  const decoder = new StringDecoder('utf8');
  /** Inside a line that is too long already. */
  let skipping = false;

  function takePieces(last: Buffer): string {
    pieces.push(decoder.write(last), decoder.end());
    const whole = pieces.join('');
    pieces = [];
    pieceBytes = 0;
    return whole;
  }

  function reportOversized(): void {
    const beginning = (pieces[0] ?? '').slice(0, shownBeginningBytes);
    pieces = [];
    decoder.end();
    pieceBytes = 0;
    onOversized(beginning);
  }

  function give(line: string): void {
    const text = line.charCodeAt(line.length - 1) === 13 ? line.slice(0, -1) : line;
    if (text.length > maxLineBytes) onOversized(text.slice(0, shownBeginningBytes));
    else if (text.length > 0) onLine(text);
  }

  function giveLines(text: string): void {
    let start = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      give(text.slice(start, end));
      start = end + 1;
    }
    if (start < text.length) give(text.slice(start));
  }

  return {
    push(chunk) {
      let rest = chunk;
      if (skipping) {
        const end = rest.indexOf(LF);
        if (end === -1) return;
        skipping = false;
        rest = rest.subarray(end + 1);
      }
      if (pieces.length > 0) {
        const firstEnd = rest.indexOf(LF);
        if (firstEnd !== -1) {
          if (pieceBytes + firstEnd > maxLineBytes) reportOversized();
          else give(takePieces(rest.subarray(0, firstEnd)));
          rest = rest.subarray(firstEnd + 1);
        }
      }
      const lastEnd = rest.lastIndexOf(LF);
      if (lastEnd !== -1) {
        giveLines(rest.subarray(0, lastEnd).toString('utf8'));
        rest = rest.subarray(lastEnd + 1);
      }
      if (rest.length === 0) return;
      pieces.push(decoder.write(rest));
      pieceBytes += rest.length;
      if (pieceBytes > maxLineBytes) {
        reportOversized();
        skipping = true;
      }
    },
    end() {
      if (pieces.length > 0) give(takePieces(Buffer.alloc(0)));
    },
  };
}
