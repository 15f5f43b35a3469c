import type { TargetCommands, TargetInput } from '../types.ts';
import { unitName, unitPath, usesHomeFolders } from './view.ts';

export function planSystemdCommands(input: TargetInput): TargetCommands {
  const { deployment, paths } = input;
  const { user } = deployment.service;
  const unit = unitName(deployment);
  const readUnits = { title: 'read the units again', argv: ['systemctl', 'daemon-reload'] };
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
      { title: 'start it now and at every boot', argv: ['systemctl', 'enable', '--now', unit] },
    ],
    restart: [readUnits, { title: 'restart the service', argv: ['systemctl', 'restart', unit] }],
    remove: [{ title: 'stop the service for good', argv: ['systemctl', 'disable', '--now', unit] }, readUnits],
    notices: [
      'systemd-analyze verify exits 0 on settings it does not know: anything it prints is a fault.',
      ...(usesHomeFolders(input)
        ? [
            `A part of the service lies in a home folder: ${user} must be able to enter it, or move it to /opt and /etc.`,
          ]
        : []),
    ],
  };
}
