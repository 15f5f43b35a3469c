import { posix } from 'node:path';
import { compileTemplate } from '../render/compile-template.ts';
import { quoteCrontab } from '../render/quote/crontab.ts';
import { quotePlist } from '../render/quote/plist.ts';
import { quoteSystemdExec } from '../render/quote/systemd.ts';
import { nameOnHost } from './name-on-host.ts';
import type { Command } from './types.ts';

export type TimerKind = 'systemd' | 'systemd-user' | 'launchd' | 'cron';

/** What a host is told to run again and again, and how it is told to stop. */
export interface HostTimer {
  readonly files: readonly { readonly path: string; readonly mode: number; readonly content: string }[];
  /** From written files to a running timer, in order. */
  readonly install: readonly Command[];
  readonly remove: readonly Command[];
}

export interface TimerInput {
  readonly name: string;
  /** The command, absolute program first. */
  readonly argv: readonly string[];
  readonly homeDir: string;
  readonly uid: number;
  /** Text of a file below templates/. */
  readonly templates: (path: string) => string;
}

/** What sets one timer of a deployment apart from another. */
export interface TimerJob {
  /** End of the unit's name, and name of the templates: `renew`. */
  readonly job: 'renew' | 'backup';
  /** For a template of systemd or launchd, beside the command. */
  readonly schedule: Readonly<Record<string, unknown>>;
  /** The five fields of a crontab. */
  readonly cron: string;
}

/** Files and commands of a timer for one of the programs that run something by the clock. Pure. */
export function renderHostTimer(kind: TimerKind, timer: TimerInput, job: TimerJob): HostTimer {
  const unit = `${nameOnHost(timer.name)}-${job.job}`;
  switch (kind) {
    case 'systemd':
      return systemdTimer('/etc/systemd/system', unit, { timer, job, scope: [] });
    case 'systemd-user':
      return systemdTimer(posix.join(timer.homeDir, '.config/systemd/user'), unit, { timer, job, scope: ['--user'] });
    case 'launchd':
      return launchdTimer(unit, timer, job);
    case 'cron': {
      const path = `/etc/cron.d/${unit}`;
      const view = { installPath: path, line: cronTimerLine(job, timer.argv, 'root') };
      const content = compileTemplate(timer.templates(`cron/${job.job}.hbs`))(view);
      return { files: [{ path, mode: 0o644, content }], install: [], remove: [] };
    }
  }
}

/** One line for a crontab; with the user's name for /etc/cron.d. */
export function cronTimerLine({ cron }: Pick<TimerJob, 'cron'>, argv: readonly string[], user: string | null): string {
  const command = argv.map((word) => quoteCrontab(word, 'the command of the timer')).join(' ');
  return `${cron} ${user === null ? '' : `${user} `}${command}`;
}

function systemdTimer(
  folder: string,
  unit: string,
  {
    timer: { argv, templates },
    job,
    scope,
  }: { readonly timer: TimerInput; readonly job: TimerJob; readonly scope: readonly string[] },
): HostTimer {
  const command = argv.map((word) => quoteSystemdExec(word, 'the command of the timer')).join(' ');
  const systemctl = (...words: readonly string[]): readonly string[] => ['systemctl', ...scope, ...words];
  const file = (suffix: 'service' | 'timer') => ({
    path: posix.join(folder, `${unit}.${suffix}`),
    mode: 0o644,
    content: compileTemplate(templates(`systemd/${job.job}.${suffix}.hbs`))({
      ...job.schedule,
      command,
      service: `${unit}.service`,
    }),
  });
  return {
    files: [file('service'), file('timer')],
    install: [
      { title: 'read the units again', argv: systemctl('daemon-reload') },
      { title: 'start the timer now and at every boot', argv: systemctl('enable', '--now', `${unit}.timer`) },
    ],
    remove: [{ title: 'stop the timer', argv: systemctl('disable', '--now', `${unit}.timer`) }],
  };
}

function launchdTimer(unit: string, { argv, homeDir, uid, templates }: TimerInput, job: TimerJob): HostTimer {
  const path = posix.join(homeDir, 'Library/LaunchAgents', `${unit}.plist`);
  const content = compileTemplate(templates(`launchd/${job.job}.plist.hbs`))({
    ...job.schedule,
    label: quotePlist(unit, 'name'),
    arguments: argv.map((word) => ({ argument: quotePlist(word, 'the command of the timer') })),
  });
  return {
    files: [{ path, mode: 0o644, content }],
    install: [{ title: 'start the agent', argv: ['launchctl', 'bootstrap', `gui/${uid}`, path] }],
    remove: [{ title: 'stop the agent', argv: ['launchctl', 'bootout', `gui/${uid}`, path] }],
  };
}
