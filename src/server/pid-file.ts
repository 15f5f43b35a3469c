import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { EnvironmentError } from '../deployment/errors.ts';

/** What `--pid-file` holds. */
export interface PidRecord {
  readonly pid: number;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly version: string;
  /** SHA-256 of the configuration file's bytes, hex; null when flags configure the server. */
  readonly configSha256: string | null;
}

/**
 * Writes the file at once or not at all, mode 0600.
 * @throws EnvironmentError
 */
export function writePidFile(file: string, version: string, config: Buffer | null): void {
  const record: PidRecord = {
    pid: process.pid,
    // Written anew after a reload, which is no start.
    startedAt: new Date(Date.now() - process.uptime() * 1_000).toISOString(),
    version,
    configSha256: config === null ? null : createHash('sha256').update(config).digest('hex'),
  };
  const aside = `${file}.${process.pid}`;
  try {
    writeFileSync(aside, `${JSON.stringify(record)}\n`, { mode: 0o600 });
    renameSync(aside, file);
  } catch (error) {
    rmSync(aside, { force: true });
    throw new EnvironmentError(`The pid file ${file} cannot be written`, {
      why: error instanceof Error ? error.message : String(error),
      cause: error,
    });
  }
}

/** Removes the file if it is still ours: a successor may have written its own. */
export function removePidFile(file: string): void {
  try {
    const record = JSON.parse(readFileSync(file, 'utf8')) as Partial<PidRecord>;
    if (record.pid === process.pid) rmSync(file, { force: true });
  } catch {
    // Gone or replaced: not ours any more.
  }
}
