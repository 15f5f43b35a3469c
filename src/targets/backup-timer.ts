import type { Deployment } from '../deployment/schema.ts';
import { renderHostTimer, type HostTimer, type TimerInput, type TimerJob, type TimerKind } from './host-timer.ts';

type Backup = Deployment['backup'];

/** What runs `backup create` as often as `backup.every` says, at `backup.at`. Pure. */
export function renderBackupTimer(kind: TimerKind, timer: TimerInput, backup: Backup): HostTimer {
  return renderHostTimer(kind, timer, backupTimerJob(backup));
}

/** When backups are made, in the words of each program; daily where the deployment does not say. */
export function backupTimerJob({ every = 'daily', at }: Pick<Backup, 'every' | 'at'>): TimerJob {
  const [hour = 2, minute = 0] = at.split(':').map(Number);
  const time = `${at}:00`;
  switch (every) {
    case 'hourly':
      return {
        job: 'backup',
        schedule: { calendar: `*-*-* *:${at.slice(3)}:00`, fields: [{ field: 'Minute', value: minute }] },
        cron: `${minute} * * * *`,
      };
    case 'daily':
      return {
        job: 'backup',
        schedule: { calendar: `*-*-* ${time}`, fields: clock(hour, minute) },
        cron: `${minute} ${hour} * * *`,
      };
    case 'weekly':
      return {
        job: 'backup',
        schedule: { calendar: `Sun *-*-* ${time}`, fields: [{ field: 'Weekday', value: 0 }, ...clock(hour, minute)] },
        cron: `${minute} ${hour} * * 0`,
      };
    case 'monthly':
      return {
        job: 'backup',
        schedule: { calendar: `*-*-01 ${time}`, fields: [{ field: 'Day', value: 1 }, ...clock(hour, minute)] },
        cron: `${minute} ${hour} 1 * *`,
      };
  }
}

/** Seconds from one backup to the next, at most; null where none is planned. */
export function backupEverySeconds({ every }: Pick<Backup, 'every'>): number | null {
  switch (every) {
    case undefined:
      return null;
    case 'hourly':
      return 3_600;
    case 'daily':
      return 86_400;
    case 'weekly':
      return 7 * 86_400;
    case 'monthly':
      return 31 * 86_400;
  }
}

function clock(hour: number, minute: number) {
  return [
    { field: 'Hour', value: hour },
    { field: 'Minute', value: minute },
  ];
}
