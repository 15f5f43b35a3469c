import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { quotePlist } from '../render/quote/plist.ts';
import { quoteShell } from '../render/quote/shell.ts';
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

/**
 * What runs `cert renew` twice a day, at minutes that belong to the deployment, so that not every machine asks an
 * authority in the same one. Pure.
 *
 * @param argv the command, absolute program first
 */
export function renderRenewalTimer(
  kind: TimerKind,
  timer: { readonly name: string; readonly argv: readonly string[]; readonly homeDir: string; readonly uid: number },
): RenewalTimer {
  const unit = `${nameOnHost(timer.name)}-renew`;
  switch (kind) {
    case 'systemd':
      return systemdTimer('/etc/systemd/system', unit, timer.argv, []);
    case 'systemd-user':
      return systemdTimer(posix.join(timer.homeDir, '.config/systemd/user'), unit, timer.argv, ['--user']);
    case 'launchd':
      return launchdTimer(unit, timer);
    case 'cron':
      return {
        files: [{ path: `/etc/cron.d/${unit}`, mode: 0o644, content: `${cronLine(timer.name, timer.argv, 'root')}\n` }],
        install: [],
        remove: [],
      };
  }
}

/** One line for a crontab; with the user's name for /etc/cron.d. A percent sign would end the command there. */
export function cronLine(name: string, argv: readonly string[], user: string | null): string {
  const minute =
    createHash('sha256')
      .update(`${name} ${argv.join(' ')}`)
      .digest()
      .readUInt16BE(0) % 720;
  const command = argv.map((word) => quoteShell(word, 'the renewal command')).join(' ');
  const [hour, rest] = [Math.floor(minute / 60), minute % 60];
  return `${rest} ${hour},${hour + 12} * * * ${user === null ? '' : `${user} `}${command.replaceAll('%', String.raw`\%`)}`;
}

function systemdTimer(folder: string, unit: string, argv: readonly string[], scope: readonly string[]): RenewalTimer {
  const exec = argv.map((word) => quoteSystemdExec(word, 'the renewal command')).join(' ');
  const service = `[Unit]
Description=Renew the certificate of the MCP endpoint when it is due
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart=${exec}
TimeoutStartSec=30min
`;
  const timer = `[Unit]
Description=Twice a day: is the certificate of the MCP endpoint due?

[Timer]
OnCalendar=*-*-* 00/12:00:00
RandomizedDelaySec=11h
Persistent=true

[Install]
WantedBy=timers.target
`;
  const systemctl = (...words: readonly string[]): readonly string[] => ['systemctl', ...scope, ...words];
  return {
    files: [
      { path: posix.join(folder, `${unit}.service`), mode: 0o644, content: service },
      { path: posix.join(folder, `${unit}.timer`), mode: 0o644, content: timer },
    ],
    install: [
      { title: 'read the units again', argv: systemctl('daemon-reload') },
      { title: 'start the timer now and at every boot', argv: systemctl('enable', '--now', `${unit}.timer`) },
    ],
    remove: [{ title: 'stop the timer', argv: systemctl('disable', '--now', `${unit}.timer`) }],
  };
}

function launchdTimer(
  unit: string,
  { argv, homeDir, uid }: { readonly argv: readonly string[]; readonly homeDir: string; readonly uid: number },
): RenewalTimer {
  const path = posix.join(homeDir, 'Library/LaunchAgents', `${unit}.plist`);
  const words = argv.map((word) => `    <string>${quotePlist(word, 'the renewal command')}</string>`).join('\n');
  const content = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>${quotePlist(unit, 'name')}</string>
  <key>ProgramArguments</key>
  <array>
${words}
  </array>
  <key>StartInterval</key>
  <integer>43200</integer>
</dict>
</plist>
`;
  return {
    files: [{ path, mode: 0o644, content }],
    install: [{ title: 'start the agent', argv: ['launchctl', 'bootstrap', `gui/${uid}`, path] }],
    remove: [{ title: 'stop the agent', argv: ['launchctl', 'bootout', `gui/${uid}`, path] }],
  };
}
