import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { compileTemplate } from '../render/compile-template.ts';
import { quoteCrontab } from '../render/quote/crontab.ts';
import { quotePlist } from '../render/quote/plist.ts';
import { quoteSystemdExec } from '../render/quote/systemd.ts';
import { nameOnHost } from './name-on-host.ts';
import type { Command } from './types.ts';

export type TimerKind = 'systemd' | 'systemd-user' | 'launchd' | 'cron';

export interface RenewalTimer {
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

/**
 * What runs `cert renew` twice a day, at minutes that belong to the deployment, so that not every machine asks an
 * authority in the same one. Pure.
 */
export function renderRenewalTimer(kind: TimerKind, timer: TimerInput): RenewalTimer {
  const unit = `${nameOnHost(timer.name)}-renew`;
  switch (kind) {
    case 'systemd':
      return systemdTimer('/etc/systemd/system', unit, timer, []);
    case 'systemd-user':
      return systemdTimer(posix.join(timer.homeDir, '.config/systemd/user'), unit, timer, ['--user']);
    case 'launchd':
      return launchdTimer(unit, timer);
    case 'cron': {
      const path = `/etc/cron.d/${unit}`;
      const view = { installPath: path, line: cronLine(timer.name, timer.argv, 'root') };
      const content = compileTemplate(timer.templates('cron/renew.hbs'))(view);
      return { files: [{ path, mode: 0o644, content }], install: [], remove: [] };
    }
  }
}

/** One line for a crontab; with the user's name for /etc/cron.d. */
export function cronLine(name: string, argv: readonly string[], user: string | null): string {
  const minute =
    createHash('sha256')
      .update(`${name} ${argv.join(' ')}`)
      .digest()
      .readUInt16BE(0) % 720;
  const command = argv.map((word) => quoteCrontab(word, 'the renewal command')).join(' ');
  const [hour, rest] = [Math.floor(minute / 60), minute % 60];
  return `${rest} ${hour},${hour + 12} * * * ${user === null ? '' : `${user} `}${command}`;
}

function systemdTimer(
  folder: string,
  unit: string,
  { argv, templates }: TimerInput,
  scope: readonly string[],
): RenewalTimer {
  const command = argv.map((word) => quoteSystemdExec(word, 'the renewal command')).join(' ');
  const systemctl = (...words: readonly string[]): readonly string[] => ['systemctl', ...scope, ...words];
  const file = (suffix: 'service' | 'timer') => ({
    path: posix.join(folder, `${unit}.${suffix}`),
    mode: 0o644,
    content: compileTemplate(templates(`systemd/renew.${suffix}.hbs`))({ command, service: `${unit}.service` }),
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

function launchdTimer(unit: string, { argv, homeDir, uid, templates }: TimerInput): RenewalTimer {
  const path = posix.join(homeDir, 'Library/LaunchAgents', `${unit}.plist`);
  const content = compileTemplate(templates('launchd/renew.plist.hbs'))({
    label: quotePlist(unit, 'name'),
    arguments: argv.map((word) => ({ argument: quotePlist(word, 'the renewal command') })),
  });
  return {
    files: [{ path, mode: 0o644, content }],
    install: [{ title: 'start the agent', argv: ['launchctl', 'bootstrap', `gui/${uid}`, path] }],
    remove: [{ title: 'stop the agent', argv: ['launchctl', 'bootout', `gui/${uid}`, path] }],
  };
}
