import { close, stat, write } from 'node:fs';
import { createAuditChain } from './audit-chain.ts';
import {
  openForAppending,
  readAnchor,
  rotateAway,
  tidyRotated,
  type OpenFile,
  type RotatedFiles,
} from './append-file.ts';
import { renderAuditFields, type AuditEntry } from './audit-line.ts';
import type { Log } from './log.ts';

/** What a SIGKILL can cost: lines wait at most this long before the system has them. */
const FLUSH_MS = 100;
/** A batch this large is written without waiting. */
const BATCH_BYTES = 256 * 1_024;
/** Lines that wait behind a slow disk; beyond it they are dropped and counted, since memory is not endless. */
const MOST_WAITING_BYTES = 16 * 1_024 * 1_024;
/** How often it is looked whether the file was moved away or is to be rotated. */
const LOOK_MS = 1_000;
/** Between two attempts on a disk that takes nothing, at least. */
const RETRY_MS = 250;
/** After a rotation that failed, the next attempt. */
const ROTATE_AGAIN_MS = 60_000;
const NEWLINE = 0x0a;

export interface AuditWriterOptions {
  readonly file: string;
  readonly log: Log;
  /** How long lines wait for each other; 100 ms by default. */
  readonly flushMs?: number;
  /** Null: whoever moves the file away does so from outside. */
  readonly rotate?: (RotatedFiles & { readonly bytes: number; readonly ageMs: number }) | null;
  /**
   * What becomes of lines that the disk does not take: `fail-open` drops and counts them, `fail-closed` keeps those of
   * calls and says `isBlocked` until they are written.
   */
  readonly failure?: 'fail-open' | 'fail-closed';
  /** Makes the chain one that only the holder of this key can write. */
  readonly chainKey?: Buffer | null;
  /** How often the name of the file is looked at; 1 s by default. */
  readonly lookMs?: number;
}

export interface AuditWriter {
  /** Takes a line; it is in the file within `flushMs`. Never throws, never waits. */
  write(entry: AuditEntry): void;
  /** Writes on into a new file of the same name, after a rotation. Resolves when the old one has its last line. */
  reopen(): Promise<void>;
  /** Lines from now on are a chain of their own, sealed with this key; its first line names the end of what stands there. */
  useKey(key: Buffer): Promise<void>;
  /** Writes what is left and closes the file. What is written after it is dropped. */
  close(): Promise<void>;
  /** Lines lost so far: a full disk, or a disk too slow for the calls. */
  readonly dropped: number;
  /** Calls must not go on, since what they do could not be written down: only with `fail-closed`. */
  readonly isBlocked: boolean;
}

/**
 * Writes the audit file: one JSON line per call, appended, chained by hashes. The lines of one turn of the event loop,
 * or of the flush interval when there are many, become one write, so that a call pays for a concatenation only.
 * Several processes may write to the same file, each its own chain.
 * @throws EnvironmentError when the file cannot be opened.
 */
export function createAuditWriter(options: AuditWriterOptions): AuditWriter {
  const { file, log, flushMs = FLUSH_MS, rotate = null, lookMs = LOOK_MS } = options;
  const keepsLines = options.failure === 'fail-closed';
  let chain = createAuditChain(options.chainKey ?? null);
  let opened = openForAppending(file);
  let { endedMidLine } = opened;
  let waiting: string[] = [];
  let waitingBytes = 0;
  let dropped = 0;
  /** Lines lost since the last one that was written: the next one says it. */
  let unsaid = 0;
  let failing = false;
  let closing: Promise<void> | null = null;
  let lastFlushMs = Number.NEGATIVE_INFINITY;
  let lookAgainMs = performance.now() + lookMs;
  let rotateAgainMs = 0;
  let timer: NodeJS.Timeout | null = null;
  let scheduled: NodeJS.Immediate | null = null;
  let writing = false;
  /** Run between two writes. */
  const betweenWrites: (() => void)[] = [];

  function schedule(): void {
    if (timer !== null || scheduled !== null || writing || waiting.length === 0) return;
    const waitMs = lastFlushMs + (failing ? Math.max(flushMs, RETRY_MS) : flushMs) - performance.now();
    if (waitMs <= 0 || (waitingBytes >= BATCH_BYTES && !failing)) scheduled = setImmediate(flush);
    else timer = setTimeout(flush, waitMs);
  }

  function unschedule(): void {
    if (timer !== null) clearTimeout(timer);
    if (scheduled !== null) clearImmediate(scheduled);
    timer = null;
    scheduled = null;
  }

  function flush(): void {
    unschedule();
    if (writing || waiting.length === 0) return;
    lastFlushMs = performance.now();
    writing = true;
    if (!opened.isRegular || (lastFlushMs < lookAgainMs && !failing)) writeBatch();
    else lookAtFile(writeBatch);
  }

  /** Follows a file that was moved away, opens it anew after a failure, and rotates it when it is due. */
  function lookAtFile(then: () => void): void {
    stat(file, (error, found) => {
      const now = Date.now();
      lookAgainMs = performance.now() + lookMs;
      const isOurs = error === null && found.ino === opened.inode && found.dev === opened.device;
      if (!isOurs || failing) follow();
      else if (rotate !== null && (found.size >= rotate.bytes || now - opened.startedAtMs >= rotate.ageMs)) {
        if (found.size > 0 && lastFlushMs >= rotateAgainMs) rotateNow(now, rotate);
      }
      then();
    });
  }

  function rotateNow(now: number, files: RotatedFiles): void {
    try {
      if (!rotateAway(file, opened, now)) return;
      follow();
      tidyRotated(file, files).catch((error: unknown) => log.warn('audit.tidy-failed', { file, error }));
    } catch (error) {
      rotateAgainMs = lastFlushMs + ROTATE_AGAIN_MS;
      log.error('audit.rotate-failed', { file, error, consequence: 'lines go on into the same file' });
    }
  }

  /** Only between two writes: goes on in what stands under the name now. */
  function follow(): void {
    const next = openAgain();
    if (next !== null) swapTo(next);
  }

  function openAgain(): OpenFile | null {
    try {
      return openForAppending(file);
    } catch (error) {
      const consequence = 'lines go on into the file opened before';
      if (!failing) log.error('audit.reopen-failed', { file, error, consequence });
      return null;
    }
  }

  function swapTo(next: OpenFile): void {
    const old = opened.descriptor;
    opened = next;
    ({ endedMidLine } = next);
    close(old, () => {});
  }

  function writeBatch(): void {
    const lines = waiting;
    const before = chain.position;
    const said = unsaid;
    waiting = [];
    waitingBytes = 0;
    unsaid = 0;
    const text = chain.seal(lines, said, () => readAnchor(opened));
    const glue = endedMidLine ? '\n' : '';
    writeRest(Buffer.from(glue + text), 0, (written, bytes, error) => {
      if (written > 0) endedMidLine = bytes[written - 1] !== NEWLINE;
      if (error === null) {
        if (failing) log.info('audit.writing-again', { file, dropped });
        failing = false;
      } else {
        const ends = text.split('\n', Math.max(0, countLines(bytes, written) - glue.length));
        const last = ends.at(-1);
        // What did not get there whole is no part of the chain: the next line follows the last one that did.
        if (last === undefined) unsaid = said;
        chain.position =
          last === undefined ? before : { seq: before.seq + ends.length, hash: last.slice(-45).slice(0, 43) };
        rescue(lines.slice(ends.length), error.code ?? String(error));
      }
      writing = false;
      for (const run of betweenWrites.splice(0)) run();
      if (closing === null) schedule();
    });
  }

  function rescue(lines: string[], why: string): void {
    if (!keepsLines) {
      countDropped(lines.length, why);
      return;
    }
    waiting = [...lines, ...waiting];
    for (const line of lines) waitingBytes += Buffer.byteLength(line);
    sayFailing(why);
  }

  /** One write may take only a part, for example up to the last free block of a disk. */
  function writeRest(
    bytes: Buffer,
    from: number,
    done: (written: number, bytes: Buffer, error: NodeJS.ErrnoException | null) => void,
  ): void {
    write(opened.descriptor, bytes, from, bytes.length - from, null, (error, written) => {
      if (error !== null) done(from, bytes, error);
      else if (from + written < bytes.length) writeRest(bytes, from + written, done);
      else done(bytes.length, bytes, null);
    });
  }

  function countDropped(lines: number, why: string): void {
    dropped += lines;
    unsaid += lines;
    sayFailing(why);
  }

  /** Once for each time that it starts, not for each line. */
  function sayFailing(why: string): void {
    const consequence = keepsLines
      ? 'calls are refused with 503 until lines can be written'
      : 'calls go on without audit lines';
    if (!failing) log.error('audit.dropping', { file, why, consequence });
    failing = true;
  }

  function pauseBetweenWrites(): Promise<void> {
    return new Promise((resolve) => {
      if (writing) betweenWrites.push(resolve);
      else resolve();
    });
  }

  async function finish(): Promise<void> {
    await pauseBetweenWrites();
    flush();
    await pauseBetweenWrites();
    if (waiting.length > 0) dropped += waiting.length;
    await new Promise<void>((resolve) => {
      close(opened.descriptor, () => resolve());
    });
    const { seq, hash } = chain.position;
    // A second place for where the chain ends: lines cut off at the end of the file leave no other trace.
    if (seq > 0) log.info('audit.closed', { file, chain: chain.id, lines: seq, lastHash: hash });
  }

  return {
    write(entry) {
      if (closing !== null) countDropped(1, 'the audit file is closed');
      else if (waitingBytes >= MOST_WAITING_BYTES) countDropped(1, 'the disk is slower than the calls');
      // Requests that are refused all the time must not take the room of the calls that ran.
      else if (failing && keepsLines && entry.status === 'refused') countDropped(1, 'the disk takes no lines');
      else {
        const fields = renderAuditFields(entry);
        waiting.push(fields);
        // Counting makes one piece of memory of the text, too. Else it waits as many small ones, and what the garbage
        // collector has to move meanwhile is several times as much.
        waitingBytes += Buffer.byteLength(fields);
        if (timer !== null && waitingBytes >= BATCH_BYTES && !failing) unschedule();
        schedule();
      }
    },
    async reopen() {
      const next = closing === null ? openAgain() : null;
      if (next === null) return;
      // In the callback, not after an await: the next write must not start in between.
      await new Promise<void>((resolve) => {
        const swap = (): void => {
          swapTo(next);
          resolve();
        };
        if (writing) betweenWrites.push(swap);
        else swap();
      });
    },
    async useKey(key) {
      await pauseBetweenWrites();
      if (closing !== null) return;
      const { seq, hash } = chain.position;
      if (seq > 0) log.info('audit.key-replaced', { file, chain: chain.id, lines: seq, lastHash: hash });
      chain = createAuditChain(key);
    },
    close() {
      closing ??= finish();
      return closing;
    },
    get dropped() {
      return dropped;
    },
    get isBlocked() {
      return keepsLines && failing;
    },
  };
}

function countLines(bytes: Buffer, end: number): number {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at !== -1 && at < end; at = bytes.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}
