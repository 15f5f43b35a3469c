import type { Deployment } from '../../deployment/schema.ts';
import { quotePlist } from '../../render/quote/plist.ts';
import { serviceCommand, servicePath, stopSeconds } from '../service-command.ts';
import type { TargetInput } from '../types.ts';

/** Everything templates/launchd/agent.plist.hbs lays out, for an agent of a person. Texts are quoted for XML. */
export function launchdView(input: TargetInput) {
  return { ...commonView(input), kind: 'agent', readers: 'the user', user: '', home: '' };
}

/** The same for a daemon, which runs from boot on, whoever is logged in. */
export function launchdDaemonView(input: TargetInput) {
  return {
    ...commonView(input),
    kind: 'daemon',
    readers: 'the machine',
    user: quotePlist(input.deployment.service.user, 'service.user'),
    home: quotePlist(input.paths.stateDir, 'the state folder'),
  };
}

function commonView({ deployment, paths }: TargetInput) {
  return {
    label: quotePlist(agentLabel(deployment), 'name'),
    arguments: serviceCommand(paths).map((argument) => ({ argument: quotePlist(argument, 'the server command') })),
    workingDirectory: quotePlist(paths.baseDir, 'the folder of mcp-deploy.yaml'),
    path: quotePlist(servicePath(paths, searchFolders), 'the path of Node'),
    stopSeconds: stopSeconds(deployment),
    logFile: quotePlist(paths.logFile, 'the log file'),
  };
}

/** launchd's name of the agent; also the name of its file. */
export function agentLabel(deployment: Deployment): string {
  return `mcp-deploy.${deployment.name}`;
}

/** /Library/LaunchAgents is for every person of the Mac, ~/Library/LaunchAgents for one. */
export function agentPath({ deployment, paths }: TargetInput): string {
  return `${paths.homeDir ?? ''}/Library/LaunchAgents/${agentLabel(deployment)}.plist`;
}

export function daemonPath(deployment: Deployment): string {
  return `/Library/LaunchDaemons/${agentLabel(deployment)}.plist`;
}

/** Homebrew on Apple silicon and on Intel, then the system's own. */
const searchFolders = ['/opt/homebrew/bin', '/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin'] as const;
