import { fstatSync } from 'node:fs';
import type { Deployment } from '../deployment/schema.ts';
import { createErrorHook, type ErrorHook } from './observe/error-hook.ts';
import { openLogFile } from './observe/log-file.ts';
import { createLog, type LevelledLog } from './observe/log.ts';

const hookTimeoutMs = 10_000;

export interface OpenedLog {
  readonly log: LevelledLog;
  /** Waits for an error hook that is under way, for a moment; null without one. */
  readonly settle: (() => Promise<void>) | null;
}

/**
 * Opens the log that the settings ask for: a file of its own, else standard error, for systemd's journal with the
 * priority in front of each line.
 * @throws EnvironmentError when the file cannot be opened.
 */
export function openLog(logs: Deployment['logs'], env: NodeJS.ProcessEnv): OpenedLog {
  const { file, rotate, errorHook } = logs;
  let hook: ErrorHook | null = null;
  const log = createLog({
    level: logs.level,
    ...(file === undefined
      ? { forJournal: isJournal(env) }
      : {
          write: openLogFile({
            file,
            rotate: rotate === 'off' ? null : { bytes: rotate.megabytes * 1_048_576, keep: rotate.keep },
          }),
        }),
    onError: (line) => hook?.tell(line),
  });
  if (errorHook !== 'off') {
    hook = createErrorHook({
      target: errorHook,
      everyMs: errorHook.everySeconds * 1_000,
      timeoutMs: hookTimeoutMs,
      env,
      onFailure: (why) => log.warn('error-hook.failed', { why }),
    });
  }
  const settle = async (): Promise<void> => hook?.settle(2_000);
  return { log, settle: hook === null ? null : settle };
}

/** systemd.exec(5), JOURNAL_STREAM: device and inode of the stream, which may have been redirected since. */
function isJournal(env: NodeJS.ProcessEnv): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (stream === undefined || stream === '') return false;
  try {
    const { dev, ino } = fstatSync(2);
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}
