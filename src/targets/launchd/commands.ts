import type { TargetCommands, TargetInput } from '../types.ts';
import { agentLabel, agentPath, daemonPath } from './view.ts';

/** load and unload are deprecated and tell no errors; these take their place. Source: launchctl(1). */
export function planLaunchdCommands(input: TargetInput): TargetCommands {
  const domain = `gui/${input.paths.uid ?? 501}`;
  const service = `${domain}/${agentLabel(input.deployment)}`;
  const file = agentPath(input);
  return {
    check: [{ title: 'check the property list', argv: ['plutil', '-lint', file] }],
    install: [{ title: 'start it now and at every login', argv: ['launchctl', 'bootstrap', domain, file] }],
    // A changed file is read only by bootout and bootstrap; kickstart restarts what is loaded.
    restart: [{ title: 'restart the agent', argv: ['launchctl', 'kickstart', '-k', service] }],
    remove: [{ title: 'stop the agent for good', argv: ['launchctl', 'bootout', service] }],
    notices: [
      'An agent runs while its person is logged in.',
      ...(input.paths.uid === undefined ? ['gui/501 is the first person of a Mac; `id -u` tells yours.'] : []),
    ],
  };
}

export function planLaunchdDaemonCommands({ deployment, paths }: TargetInput): TargetCommands {
  const { user } = deployment.service;
  const service = `system/${agentLabel(deployment)}`;
  const file = daemonPath(deployment);
  return {
    check: [{ title: 'check the property list', argv: ['plutil', '-lint', file] }],
    install: [
      // launchd takes a daemon from root's hands only.
      { title: 'give the file to root', argv: ['chown', 'root:wheel', file] },
      { title: `give the state folder to ${user}`, argv: ['chown', '-R', user, paths.stateDir] },
      { title: 'start it now and at every boot', argv: ['launchctl', 'bootstrap', 'system', file] },
    ],
    restart: [{ title: 'restart the daemon', argv: ['launchctl', 'kickstart', '-k', service] }],
    remove: [{ title: 'stop the daemon for good', argv: ['launchctl', 'bootout', service] }],
    notices: [
      `The user ${user} has to be there. One that nobody can log in as: sysadminctl -addUser _mcp -roleAccount -UID 300, and service.user: _mcp.`,
      'A port below 1024 needs a proxy in front, or pf.',
    ],
  };
}
