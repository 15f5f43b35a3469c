import type { Readable } from 'node:stream';
import { isStackFrame } from '../../deployment/telling-words.ts';
import type { Log } from './backend-log.ts';
import { createLineReader } from './line-reader.ts';

const keptLines = 20;
const maxLineCharacters = 2_000;
const maxLoggedPerSecond = 50;

/**
 * Logs what a child writes to its standard error, line by line and at most 50
 * lines a second, and keeps the last 20 lines in `lastWords`, of which frames of a
 * stack go first: the error stands above them. Always reads on, so that a child that
 * floods is never stopped by a full pipe.
 */
export function readStderr(stream: Readable, upstream: string, log: Log): { readonly lastWords: string[] } {
  const lastWords: string[] = [];
  let second = 0;
  let logged = 0;
  let suppressed = 0;

  function onLine(line: string): void {
    const text = printable(line.length > maxLineCharacters ? `${line.slice(0, maxLineCharacters)}…` : line);
    lastWords.push(text);
    if (lastWords.length > keptLines) lastWords.splice(Math.max(0, lastWords.findIndex(isStackFrame)), 1);
    const now = Math.floor(Date.now() / 1_000);
    if (now !== second) {
      if (suppressed > 0) log.warn('upstream-stderr-suppressed', { upstream, lines: suppressed });
      second = now;
      logged = 0;
      suppressed = 0;
    }
    if (logged >= maxLoggedPerSecond) {
      suppressed++;
      return;
    }
    logged++;
    log.info('upstream-stderr', { upstream, line: text });
  }

  const reader = createLineReader({
    maxLineBytes: 64 * 1_024,
    onLine,
    onOversized: onLine,
  });
  stream.on('data', (chunk: Buffer) => reader.push(chunk));
  stream.on('end', () => reader.end());
  stream.on('error', () => {});
  return { lastWords };
}

/** Colours and other control characters of outside text reach no terminal and forge no log line. */
function printable(line: string): string {
  return line
    .replaceAll(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, '')
    .replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ');
}
