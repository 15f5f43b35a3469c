import type { TargetCommands, TargetInput } from '../types.ts';
import { needsLowPort, socketUnitName } from './socket-unit.ts';
import { unitName, unitPath, userUnitPath, usesHomeFolders } from './view.ts';

const readUnits = { title: 'read the units again', argv: ['systemctl', 'daemon-reload'] };
const strictVerify = 'systemd-analyze verify exits 0 on settings it does not know: anything it prints is a fault.';

export function planSystemdCommands(input: TargetInput): TargetCommands {
  const { deployment, paths } = input;
  const { user } = deployment.service;
  const unit = unitName(deployment);
  const socketUnit = socketUnitName(deployment);
  // The sockets first: a service that holds its ports itself would be in their way.
  const units = socketUnit === null ? [unit] : [socketUnit, unit];
  return {
    check: [{ title: 'check the unit', argv: ['systemd-analyze', 'verify', unitPath(deployment)] }],
    install: [
      {
        title: `create the user ${user} unless there is one`,
        argv: ['systemd-sysusers', '--inline', `u ${user} - "MCP server" - -`],
      },
      // Keys and certificates are for their owner only, so they belong to the one who reads them.
      { title: `give the state folder to ${user}`, argv: ['chown', '-R', `${user}:${user}`, paths.stateDir] },
      readUnits,
      { title: 'start it now and at every boot', argv: ['systemctl', 'enable', '--now', ...units] },
    ],
    restart: [readUnits, { title: 'restart the service', argv: ['systemctl', 'restart', unit] }],
    remove: [{ title: 'stop the service for good', argv: ['systemctl', 'disable', '--now', ...units] }, readUnits],
    notices: [
      strictVerify,
      ...(usesHomeFolders(input)
        ? [
            `A part of the service lies in a home folder: ${user} must be able to enter it, or move it to /opt and /etc.`,
          ]
        : []),
    ],
  };
}

export function planSystemdUserCommands(input: TargetInput): TargetCommands {
  const { deployment } = input;
  const unit = unitName(deployment);
  const systemctl = (...words: readonly string[]): readonly string[] => ['systemctl', '--user', ...words];
  const readAgain = { title: 'read the units again', argv: systemctl('daemon-reload') };
  return {
    check: [{ title: 'check the unit', argv: ['systemd-analyze', '--user', 'verify', userUnitPath(input)] }],
    install: [readAgain, { title: 'start it now and at every login', argv: systemctl('enable', '--now', unit) }],
    restart: [readAgain, { title: 'restart the service', argv: systemctl('restart', unit) }],
    remove: [{ title: 'stop the service for good', argv: systemctl('disable', '--now', unit) }, readAgain],
    notices: [
      strictVerify,
      'It runs while you are logged in; `loginctl enable-linger` lets it run from boot on.',
      ...(needsLowPort(deployment)
        ? ['A person may not listen on a port below 1024: take a port above 1023 in server.listen.']
        : []),
    ],
  };
}
