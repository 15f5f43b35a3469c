import { createHash } from 'node:crypto';
import { cronTimerLine, renderHostTimer, type HostTimer, type TimerInput, type TimerKind } from './host-timer.ts';

/**
 * What runs `cert renew` twice a day, at minutes that belong to the deployment, so that not every machine asks an
 * authority in the same one. Pure.
 */
export function renderRenewalTimer(kind: TimerKind, timer: TimerInput): HostTimer {
  return renderHostTimer(kind, timer, { job: 'renew', schedule: {}, cron: twiceADay(timer.name, timer.argv) });
}

/** The same as one line for a crontab; with the user's name for /etc/cron.d. */
export function renewalCronLine(name: string, argv: readonly string[], user: string | null): string {
  return cronTimerLine({ cron: twiceADay(name, argv) }, argv, user);
}

function twiceADay(name: string, argv: readonly string[]): string {
  const minute =
    createHash('sha256')
      .update(`${name} ${argv.join(' ')}`)
      .digest()
      .readUInt16BE(0) % 720;
  const [hour, rest] = [Math.floor(minute / 60), minute % 60];
  return `${rest} ${hour},${hour + 12} * * *`;
}
