import { compileTemplate } from '../../render/compile-template.ts';
import type { RenderedFile, TargetInput } from '../types.ts';
import { socketUnitName, socketView } from './socket-unit.ts';
import { systemdView, unitName, unitPath, userServiceView, userUnitPath } from './view.ts';

/** The service, first, and the socket unit where systemd is to hold the sockets. */
export function renderSystemdFiles(input: TargetInput): readonly RenderedFile[] {
  const { deployment, templates } = input;
  const unit = unitName(deployment);
  const socketUnit = socketUnitName(deployment);
  const service = {
    path: `systemd/${unit}`,
    installPath: unitPath(deployment),
    mode: 0o644,
    content: compileTemplate(templates('systemd/service.hbs'))(systemdView(input)),
  };
  if (socketUnit === null) return [service];
  const view = socketView(deployment, unit, socketUnit);
  return [
    service,
    {
      path: `systemd/${socketUnit}`,
      installPath: view.installPath,
      mode: 0o644,
      content: compileTemplate(templates('systemd/socket.hbs'))(view),
    },
  ];
}

/** The service of one person. */
export function renderSystemdUserFiles(input: TargetInput): readonly RenderedFile[] {
  return [
    {
      path: `systemd-user/${unitName(input.deployment)}`,
      installPath: userUnitPath(input),
      mode: 0o644,
      content: compileTemplate(input.templates('systemd/user-service.hbs'))(userServiceView(input)),
    },
  ];
}
