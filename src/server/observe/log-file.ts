import { closeSync, statSync, writeSync } from 'node:fs';
import { openForAppending, rotateAway, tidyRotated, type OpenFile } from './append-file.ts';

/** How often it is looked whether the file was moved away, by another process or by logrotate. */
const lookMs = 1_000;
/** After a rotation that failed, the next attempt. */
const rotateAgainMs = 60_000;

export interface LogFileOptions {
  readonly file: string;
  /** Null: whoever moves the file away does so from outside. */
  readonly rotate: { readonly bytes: number; readonly keep: number } | null;
  readonly lookMs?: number;
}

/**
 * Opens a log file of the server's own. Every line is in the file when the call returns, so that the last words before
 * a crash are there; old files are moved away by size, also when several processes share the file.
 * @throws EnvironmentError when it cannot be opened; the returned function throws what the system says.
 */
export function openLogFile(options: LogFileOptions): (line: string) => void {
  const { file, rotate } = options;
  let opened = openForAppending(file, 'log');
  let { endedMidLine } = opened;
  let lookAgainMs = performance.now() + (options.lookMs ?? lookMs);

  function swapTo(next: OpenFile): void {
    closeSync(opened.descriptor);
    opened = next;
    ({ endedMidLine } = next);
  }

  function look(now: number): void {
    lookAgainMs = now + (options.lookMs ?? lookMs);
    try {
      const found = statSync(file, { throwIfNoEntry: false });
      const isOurs = found !== undefined && found.ino === opened.inode && found.dev === opened.device;
      if (isOurs) {
        if (rotate === null || found.size < rotate.bytes || !rotateAway(file, opened, Date.now())) return;
        tidyRotated(file, { keep: rotate.keep, gzip: false }).catch(() => {});
      }
      swapTo(openForAppending(file, 'log'));
    } catch {
      // A folder without permission: lines go on into the file that is open.
      lookAgainMs = now + rotateAgainMs;
    }
  }

  return (line) => {
    const now = performance.now();
    if (opened.isRegular && now >= lookAgainMs) look(now);
    const bytes = Buffer.from(endedMidLine ? `\n${line}` : line);
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(opened.descriptor, bytes, written);
    } finally {
      if (written > 0) endedMidLine = written < bytes.length;
    }
  };
}
