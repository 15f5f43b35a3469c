import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { HostTimer, TimerJob } from '../targets/host-timer.ts';
import type { Step } from './types.ts';

/** What `--install-timer` put outside of the folder of the deployment: `uninstall` takes exactly that away. */
export interface TimerRecord {
  /** Of the deployment: in a copied folder the timer is that of the original. */
  readonly stateDir: string;
  readonly files: readonly { readonly path: string; readonly sha256: string }[];
  /** Commands that stop it, before its files go. */
  readonly remove: readonly (readonly string[])[];
  /** Commands that start it, for an undo. */
  readonly install: readonly (readonly string[])[];
}

/** The jobs that can have a timer. */
export const timerJobs: readonly TimerJob['job'][] = ['renew', 'backup'];

export function timerRecordFile(stateDir: string, job: TimerJob['job']): string {
  return join(stateDir, job === 'renew' ? 'timer.json' : 'backup-timer.json');
}

export function timerRecordOf(
  timer: HostTimer,
  stateDir: string,
  job: TimerJob['job'],
): { readonly path: string; readonly mode: number; readonly content: string } {
  const record: TimerRecord = {
    stateDir,
    files: timer.files.map(({ path, content }) => ({ path, sha256: hash(content) })),
    remove: timer.remove.map(({ argv }) => argv),
    install: timer.install.map(({ argv }) => argv),
  };
  return { path: timerRecordFile(stateDir, job), mode: 0o600, content: `${JSON.stringify(record, null, 2)}\n` };
}

/** A record as it was read, or null when it is none or that of another folder. */
export function parseTimerRecord(text: string, stateDir: string): TimerRecord | null {
  try {
    const record = JSON.parse(text) as Partial<TimerRecord> | null;
    const whole = Array.isArray(record?.files) && Array.isArray(record.remove) && Array.isArray(record.install);
    return whole && record.stateDir === stateDir ? (record as TimerRecord) : null;
  } catch {
    return null;
  }
}

/**
 * The steps that take a timer away. A file that was changed since it was written is the user's and stays, and so does the
 * timer then.
 * @param textOf what is in a file now, null where there is none
 */
export function timerRemovalSteps(
  record: TimerRecord,
  job: TimerJob['job'],
  textOf: (path: string) => string | null,
): { readonly steps: readonly Step[]; readonly kept: readonly string[] } {
  const there = record.files.filter(({ path }) => textOf(path) !== null);
  const kept = there.filter(({ path, sha256 }) => hash(textOf(path) ?? '') !== sha256).map(({ path }) => path);
  if (kept.length > 0 || there.length === 0) return { steps: [], kept };
  const common = { why: 'installed by mcp-deploy', group: 'removal' } as const;
  const start = record.install.at(-1);
  return {
    kept,
    steps: [
      ...record.remove.map((argv, index): Step => ({
        ...common,
        id: `stop-${job}-timer-${index}`,
        title: `stop the ${timerWords[job]}`,
        action: { type: 'run-command', argv },
        undo: start === undefined ? { type: 'none' } : { type: 'run-command', argv: start },
      })),
      ...[...there.map(({ path }) => path), ...timerStamps(record).filter((path) => textOf(path) !== null)].map(
        (path, index): Step => ({
          ...common,
          id: `remove-${job}-timer-${index}`,
          title: `remove ${path}`,
          action: { type: 'remove-file', path },
          undo: { type: 'restore' },
        }),
      ),
    ],
  };
}

/** Where systemd notes when a timer of the host last elapsed (Persistent= in systemd.timer(5)); it leaves them behind. */
export function timerStamps({ files }: TimerRecord): readonly string[] {
  return files.flatMap(({ path }) => {
    const unit = /^\/etc\/systemd\/system\/([^/]+\.timer)$/.exec(path)?.[1];
    return unit === undefined ? [] : [`/var/lib/systemd/timers/stamp-${unit}`];
  });
}

/** What people call it. */
export const timerWords: Readonly<Record<TimerJob['job'], string>> = { renew: 'renewal timer', backup: 'backup timer' };

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
