import { posix } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';
import type { TargetPaths } from './types.ts';

/** What every service manager runs. Keys and secrets are never among the arguments: every user of a machine can read those. */
export function serviceCommand(paths: TargetPaths): readonly string[] {
  const pidFile = paths.pidFile === undefined ? [] : ['--pid-file', paths.pidFile];
  return [paths.nodePath, paths.serverFile, '--config', paths.configFile, ...pidFile];
}

/** PATH of the service: services do not inherit a shell's, and npx lies beside the node that it belongs to. */
export function servicePath(paths: TargetPaths, folders: readonly string[]): string {
  return [...new Set([posix.dirname(paths.nodePath), ...folders])].join(':');
}

/** How long a service manager waits before it kills: the server needs its whole draining time, and some to end upstreams. */
export function stopSeconds(deployment: Deployment): number {
  return Math.ceil(deployment.server.drainSeconds) + 15;
}
