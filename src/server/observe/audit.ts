import { close, fstatSync, openSync, readSync, write } from 'node:fs';
import { EnvironmentError } from '../../deployment/errors.ts';
import type { Era } from '../types.ts';
import type { Log } from './log.ts';
import { quoteText } from './quote-text.ts';
import { redactText } from './redact.ts';

/** What a SIGKILL can cost: lines wait at most this long before the system has them. */
const FLUSH_MS = 100;
/** A batch this large is written without waiting. */
const BATCH_CHARACTERS = 256 * 1_024;
/** Lines that wait behind a slow disk; beyond it they are dropped and counted, since memory is not endless. */
const MOST_WAITING_CHARACTERS = 16 * 1_024 * 1_024;
const NEWLINE = 0x0a;
const VALUE_CHARACTERS = 256;
const ERROR_CHARACTERS = 1_024;

/** One answered call. Arguments and results are not in it, by design: nothing to redact, nothing to leak. */
export interface AuditEntry {
  /** Correlation id: X-Request-Id of the answer. */
  readonly request: string;
  /** JSON-RPC id of the call, null for a request without one. */
  readonly id: string | number | null;
  /** MCP method; null for what was refused before its body was read. */
  readonly method: string | null;
  readonly status: string | number;
  /** Null for anything but a tool call. */
  readonly tool: string | null;
  readonly durationSeconds: number;
  /** Label of the key, '' without keys. */
  readonly key: string;
  readonly address: string;
  /** Null for what was refused before it was known. */
  readonly era: Era | null;
  readonly session: string | null;
  readonly upstream: string | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly error: string | null;
}

export interface AuditWriter {
  /** Takes a line; it is in the file within 100 ms. Never throws, never waits. */
  write(entry: AuditEntry): void;
  /** Writes on into a new file of the same name, after a rotation. Resolves when the old one has its last line. */
  reopen(): Promise<void>;
  /** Writes what is left and closes the file. What is written after it is dropped. */
  close(): Promise<void>;
  /** Lines lost so far: a full disk, or a disk too slow for the calls. */
  readonly dropped: number;
}

/**
 * Writes the audit file: one JSON line per call, appended. The lines of one turn of the event loop, or of 100 ms when
 * there are many, become one write, so that a call pays for a concatenation only.
 * @throws EnvironmentError when the file cannot be opened.
 */
export function createAuditWriter(options: { readonly file: string; readonly log: Log }): AuditWriter {
  const { file, log } = options;
  let { descriptor, endedMidLine } = openForAppending(file);
  let waiting = '';
  let waitingLines = 0;
  let dropped = 0;
  let failing = false;
  let closing: Promise<void> | null = null;
  let lastFlushMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | null = null;
  let scheduled: NodeJS.Immediate | null = null;
  let writing = false;
  /** Run between two writes. */
  const betweenWrites: (() => void)[] = [];

  function schedule(): void {
    if (timer !== null || scheduled !== null || writing || waitingLines === 0) return;
    const waitMs = lastFlushMs + FLUSH_MS - performance.now();
    if (waitMs <= 0 || waiting.length >= BATCH_CHARACTERS) scheduled = setImmediate(flush);
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
    if (writing || waitingLines === 0) return;
    lastFlushMs = performance.now();
    writing = true;
    const bytes = Buffer.from(endedMidLine ? `\n${waiting}` : waiting);
    const lines = waitingLines + (endedMidLine ? 1 : 0);
    waiting = '';
    waitingLines = 0;
    writeRest(bytes, 0, lines);
  }

  /** One write may take only a part, for example up to the last free block of a disk. */
  function writeRest(bytes: Buffer, from: number, lines: number): void {
    write(descriptor, bytes, from, bytes.length - from, null, (error, written) => {
      if (error !== null) {
        const lost = lines - countLines(bytes, from);
        countDropped(endedMidLine && from === 0 ? lost - 1 : lost, error.code ?? String(error));
        if (from > 0) endedMidLine = bytes[from - 1] !== NEWLINE;
      } else if (from + written < bytes.length) {
        writeRest(bytes, from + written, lines);
        return;
      } else {
        endedMidLine = false;
        if (failing) log.info('audit.writing-again', { file, dropped });
        failing = false;
      }
      writing = false;
      for (const run of betweenWrites.splice(0)) run();
      schedule();
    });
  }

  function countDropped(lines: number, why: string): void {
    dropped += lines;
    // Once for each time that it starts, not for each line.
    if (!failing) log.error('audit.dropping', { file, why, consequence: 'calls go on without audit lines' });
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
    await new Promise<void>((resolve) => {
      close(descriptor, () => resolve());
    });
  }

  return {
    write(entry) {
      if (closing !== null || waiting.length >= MOST_WAITING_CHARACTERS) {
        countDropped(1, closing === null ? 'the disk is slower than the calls' : 'the audit file is closed');
        return;
      }
      waiting += renderAuditLine(entry);
      waitingLines += 1;
      if (timer !== null && waiting.length >= BATCH_CHARACTERS) unschedule();
      schedule();
    },
    async reopen() {
      if (closing !== null) return;
      let next: OpenFile;
      try {
        next = openForAppending(file);
      } catch (error) {
        log.error('audit.reopen-failed', { file, error, consequence: 'lines go on into the file opened before' });
        return;
      }
      // In the callback, not after an await: the next write must not start in between.
      await new Promise<void>((resolve) => {
        const swap = (): void => {
          const old = descriptor;
          ({ descriptor, endedMidLine } = next);
          close(old, () => resolve());
        };
        if (writing) betweenWrites.push(swap);
        else swap();
      });
    },
    close() {
      closing ??= finish();
      return closing;
    },
    get dropped() {
      return dropped;
    },
  };
}

let stampMs = 0;
let stamp = '';

/** The line of one call, with its newline; times in seconds, sizes in bytes. */
export function renderAuditLine(entry: AuditEntry, nowMs: number = Date.now()): string {
  if (nowMs !== stampMs) {
    stampMs = nowMs;
    stamp = new Date(nowMs).toISOString();
  }
  return (
    `{"time":"${stamp}","request":${renderScalar(entry.request)},"id":${renderScalar(entry.id)}` +
    `,"method":${renderScalar(entry.method)},"status":${renderScalar(entry.status)}` +
    `,"tool":${renderScalar(entry.tool)},"duration_seconds":${renderScalar(Math.round(entry.durationSeconds * 1e6) / 1e6)}` +
    `,"key":${renderScalar(entry.key)},"address":${renderScalar(entry.address)},"era":${renderScalar(entry.era)}` +
    `,"session":${renderScalar(entry.session)},"upstream":${renderScalar(entry.upstream)}` +
    `,"bytes_in":${renderScalar(entry.bytesIn)},"bytes_out":${renderScalar(entry.bytesOut)}` +
    `,"error":${entry.error === null ? 'null' : renderError(entry.error)}}\n`
  );
}

function renderScalar(value: string | number | null): string {
  if (value === null) return 'null';
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'null';
  return quoteText(value.length > VALUE_CHARACTERS ? `${value.slice(0, VALUE_CHARACTERS)}…` : value);
}

/** The only text that may quote what a client or an upstream said. */
function renderError(text: string): string {
  const clean = redactText(text.slice(0, 2 * ERROR_CHARACTERS));
  return quoteText(clean.length > ERROR_CHARACTERS ? `${clean.slice(0, ERROR_CHARACTERS)}…` : clean);
}

function countLines(bytes: Buffer, end: number): number {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at !== -1 && at < end; at = bytes.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}

interface OpenFile {
  descriptor: number;
  /** The file ends in a torn line, of a kill or a full disk; the next line must not be glued to it. */
  endedMidLine: boolean;
}

function openForAppending(file: string): OpenFile {
  try {
    const descriptor = openSync(file, 'a+', 0o640);
    const { size } = fstatSync(descriptor);
    const last = Buffer.alloc(1);
    const endedMidLine = size > 0 && readSync(descriptor, last, 0, 1, size - 1) === 1 && last[0] !== NEWLINE;
    return { descriptor, endedMidLine };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new EnvironmentError(`The audit file ${file} cannot be written`, {
      why: code === 'ENOENT' ? 'Its folder does not exist.' : `The system says ${code ?? String(error)}.`,
      next: 'Make its folder writable for the user of the server, or choose another file.',
      cause: error,
    });
  }
}
