import { readFileSync, statSync } from 'node:fs';

/** What a record may have at most; a larger file is none of ours. */
const mostBytes = 65_536;

/**
 * When the last backup was made, as `mcp-deploy backup create` noted it. The file is read again when it has changed; a scrape
 * costs one stat otherwise.
 * @returns Unix time in seconds; null without a record that can be read
 */
export function watchBackupRecord(file: string | undefined): () => number | null {
  let known = '';
  let seconds: number | null = null;
  return () => {
    if (file === undefined) return null;
    try {
      const { ino, size, mtimeMs } = statSync(file);
      const seen = `${ino} ${size} ${mtimeMs}`;
      if (seen !== known) {
        seconds = size > mostBytes ? null : parseBackupTime(readFileSync(file, 'utf8'));
        known = seen;
      }
    } catch {
      known = '';
      seconds = null;
    }
    return seconds;
  };
}

/** Unix time in seconds of a record's `createdAt`; null for what is none. Pure. */
export function parseBackupTime(text: string): number | null {
  try {
    const record = JSON.parse(text) as { readonly createdAt?: unknown } | null;
    const ms = typeof record?.createdAt === 'string' ? Date.parse(record.createdAt) : Number.NaN;
    return Number.isFinite(ms) ? ms / 1_000 : null;
  } catch {
    return null;
  }
}
