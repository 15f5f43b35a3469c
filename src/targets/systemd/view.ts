import { posix } from 'node:path';
import { listenAddresses } from '../../deployment/listen-address.ts';
import type { Deployment } from '../../deployment/schema.ts';
import {
  quoteSystemdEnvironment,
  quoteSystemdExec,
  quoteSystemdValue,
  quoteSystemdWord,
} from '../../render/quote/systemd.ts';
import { nameOnHost } from '../name-on-host.ts';
import { serviceCommand, servicePath, stopSeconds } from '../service-command.ts';
import type { TargetInput } from '../types.ts';
import { needsLowPort, socketUnitName } from './socket-unit.ts';
import { readSystemdKnows } from './systemd-version.ts';

/** Everything templates/systemd/service.hbs lays out. Texts are quoted for a unit. */
export function systemdView(input: TargetInput) {
  const { deployment, paths } = input;
  const socketUnit = socketUnitName(deployment);
  // Sockets that systemd opens need no power of the service.
  const capabilities = socketUnit === null && needsLowPort(deployment) ? 'CAP_NET_BIND_SERVICE' : '';
  const sockets = socketUnit === null ? socketFolders(deployment) : { inRun: [], elsewhere: [] };
  const stateDirectory = `mcp-deploy/${deployment.name}`;
  const common = commonView(input);
  return {
    ...common,
    unit: unitName(deployment),
    installPath: unitPath(deployment),
    socketUnit: socketUnit ?? '',
    mounts: quoteSystemdWord(paths.stateDir, 'the state folder'),
    user: quoteSystemdValue(deployment.service.user, 'service.user'),
    stateDirectory,
    environment: [
      quoteSystemdEnvironment('HOME', `/var/lib/${stateDirectory}`, 'the state folder'),
      quoteSystemdEnvironment('PATH', servicePath(paths, searchFolders), 'the path of Node'),
    ].map((assignment) => ({ assignment })),
    runtimeDirectory:
      sockets.inRun.length > 0 && sockets.inRun.map((path) => quoteSystemdWord(path, 'server.listen')).join(' '),
    credentials: common.knows.credentials
      ? Object.entries(deployment.service.credentials).map(([name, path]) => ({
          credential: quoteSystemdValue(`${name}:${path}`, 'service.credentials'),
        }))
      : [],
    readWritePaths: [paths.stateDir, ...sockets.elsewhere]
      .map((path) => quoteSystemdWord(path, 'the state folder'))
      .join(' '),
    // "yes" hides home folders altogether, so also what the service is made of when that lies in one.
    protectHome: usesHomeFolders(input) ? 'read-only' : 'yes',
    capabilities,
    // In a user namespace of its own a service has no power over ports below 1024.
    privateUsers: capabilities === '',
  };
}

/** Everything templates/systemd/user-service.hbs lays out. */
export function userServiceView(input: TargetInput) {
  return {
    ...commonView(input),
    unit: unitName(input.deployment),
    installPath: userUnitPath(input),
    path: quoteSystemdEnvironment('PATH', servicePath(input.paths, searchFolders), 'the path of Node'),
  };
}

function commonView({ deployment, paths, programVersion }: TargetInput) {
  const { service } = deployment;
  const knows = readSystemdKnows(programVersion);
  return {
    name: deployment.name,
    knows,
    type: knows.notifyReload ? 'notify-reload' : knows.notify ? 'notify' : knows.exec ? 'exec' : 'simple',
    description: quoteSystemdValue(`MCP endpoint ${deployment.name}`, 'name'),
    identifier: nameOnHost(deployment.name),
    workingDirectory: quoteSystemdValue(paths.baseDir, 'the folder of mcp-deploy.yaml'),
    execStart: serviceCommand(paths)
      .map((argument) => quoteSystemdExec(argument, 'the server command'))
      .join(' '),
    drainSeconds: deployment.server.drainSeconds,
    stopSeconds: stopSeconds(deployment),
    watchdogSeconds: knows.notify && service.watchdogSeconds > 0 ? service.watchdogSeconds : 0,
    memoryMax: service.memoryMax,
    tasksMax: service.tasksMax,
    openFiles: service.openFiles,
  };
}

export function unitName(deployment: Deployment): string {
  return `${nameOnHost(deployment.name)}.service`;
}

export function unitPath(deployment: Deployment): string {
  return `/etc/systemd/system/${unitName(deployment)}`;
}

/** Below the home of the person, or where an administrator puts units for every person. */
export function userUnitPath({ deployment, paths }: TargetInput): string {
  const folder = paths.homeDir === undefined ? '/etc/systemd/user' : posix.join(paths.homeDir, '.config/systemd/user');
  return posix.join(folder, unitName(deployment));
}

/** Whether a part of the service lies in somebody's home folder, which the service user usually cannot enter. */
export function usesHomeFolders({ paths }: TargetInput): boolean {
  return [paths.nodePath, paths.serverFile, paths.configFile, paths.baseDir, paths.stateDir].some((path) =>
    /^\/(?:home|root|run\/user)(?:\/|$)/.test(path),
  );
}

/** Folders of Unix sockets: those below /run, which systemd makes at each start, and others, which have to be there. */
function socketFolders(deployment: Deployment): { inRun: readonly string[]; elsewhere: readonly string[] } {
  const folders = new Set(
    listenAddresses(deployment.server).flatMap((a) =>
      a.kind === 'unix' ? [posix.dirname(posix.normalize(a.path))] : [],
    ),
  );
  const inRun = [...folders].flatMap((folder) => /^\/(?:var\/)?run\/(.+)$/s.exec(folder)?.[1] ?? []);
  const elsewhere = [...folders].filter((folder) => !/^\/(?:var\/)?run\/./s.test(folder));
  return { inRun, elsewhere };
}

const searchFolders = ['/usr/local/bin', '/usr/bin', '/bin'] as const;
