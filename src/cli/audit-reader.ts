import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { explainFileError } from '../host/file-errors.ts';
import { timeOf } from '../server/observe/append-file.ts';

const blockBytes = 1_048_576;
const NEWLINE = 0x0a;
/** Audit lines are some kilobytes at most; what is longer is none, and must not fill the memory. */
const longestLine = 1_048_576;
/** Processes that share a file write within a flush interval of each other, so times may go back by that. */
const disorderMs = 70_000;

/** Told of each line: its text without the newline, and its place in the (uncompressed) file in bytes. */
export type OnLine = (text: string, start: number, end: number) => void;

/**
 * Reads a file line by line, in memory that does not grow with it. A last line without newline is read too.
 * @param from where to begin, in bytes: the start of a line; 0 for a compressed file
 * @throws what `explainFileError` makes of what the system says
 */
export async function readLines(file: string, onLine: OnLine, from = 0, signal?: AbortSignal): Promise<void> {
  const raw = createReadStream(file, { start: from, highWaterMark: blockBytes });
  const gunzip = file.endsWith('.gz') ? createGunzip({ chunkSize: blockBytes }) : null;
  if (gunzip !== null) raw.on('error', (error) => gunzip.destroy(error)).pipe(gunzip);
  const source: Readable = gunzip ?? raw;
  let start = from;
  let rest: Buffer = Buffer.alloc(0);
  /** Bytes of a line too long to hold that were passed over. */
  let passedOver = 0;
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      signal?.throwIfAborted();
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let at = 0;
      for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, at)) {
        const length = passedOver + end - at + 1;
        onLine(bytes.toString('utf8', at, end), start, start + length);
        start += length;
        passedOver = 0;
        at = end + 1;
      }
      rest = bytes.subarray(at);
      if (rest.length > longestLine) {
        passedOver += rest.length;
        rest = Buffer.alloc(0);
      }
    }
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw explainFileError(error, 'read', file);
  } finally {
    raw.destroy();
  }
  if (rest.length > 0) onLine(rest.toString('utf8'), start, start + passedOver + rest.length);
}

/**
 * Reads a plain file backwards, line by line, until `onLine` returns false. The last line is left out when it has no
 * newline: somebody is still writing it.
 */
export async function readLinesBackwards(file: string, size: number, onLine: (text: string) => boolean): Promise<void> {
  const handle = await open(file, 'r').catch((error: unknown) => {
    throw explainFileError(error, 'read', file);
  });
  try {
    const block = Buffer.alloc(blockBytes / 4);
    /** The beginning of what was read so far: the end of a line whose start is further up. Null: not behind a newline yet. */
    let tail: Buffer | null = null;
    for (let end = size; end > 0;) {
      const start = Math.max(0, end - block.length);
      await handle.read(block, 0, end - start, start);
      let until = end - start;
      for (
        let at = block.lastIndexOf(NEWLINE, until - 1);
        at !== -1;
        at = at === 0 ? -1 : block.lastIndexOf(NEWLINE, at - 1)
      ) {
        if (tail !== null) {
          const line: Buffer = Buffer.concat([block.subarray(at + 1, until), tail]);
          if (line.length > 0 && !onLine(line.toString('utf8'))) return;
        }
        tail = Buffer.alloc(0);
        until = at;
      }
      if (tail !== null) {
        tail = tail.length > longestLine ? tail.subarray(0, 0) : Buffer.concat([block.subarray(0, until), tail]);
      }
      end = start;
    }
    if (tail !== null && tail.length > 0) onLine(tail.toString('utf8'));
  } finally {
    await handle.close();
  }
}

/** Where in a plain file the lines of a time begin: a halving search, so that what is older is not read. */
export async function findTime(file: string, sinceMs: number): Promise<number> {
  const { size } = await stat(file);
  const handle = await open(file, 'r').catch((error: unknown) => {
    throw explainFileError(error, 'read', file);
  });
  try {
    const wantedMs = sinceMs - disorderMs;
    const window = Buffer.alloc(65_536);
    let low = 0;
    let high = size;
    while (high - low > 4 * window.length) {
      const middle = Math.floor((low + high) / 2);
      const { bytesRead } = await handle.read(window, 0, window.length, middle);
      const first = window.subarray(0, bytesRead).indexOf(NEWLINE) + 1;
      const time = first === 0 ? null : timeOf(window.toString('latin1', first, Math.min(bytesRead, first + 64)));
      // A piece without a time: what stands before it is read as well, which only costs time.
      if (time === null || time >= wantedMs) high = middle;
      else low = middle + first;
    }
    return low;
  } finally {
    await handle.close();
  }
}
