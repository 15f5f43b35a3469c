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

/** Everything templates/systemd/service.hbs lays out. Texts are quoted for a unit. */
export function systemdView(input: TargetInput) {
  const { deployment, paths } = input;
  const unit = unitName(deployment);
  const sockets = socketFolders(deployment);
  const capabilities = needsLowPort(deployment) ? 'CAP_NET_BIND_SERVICE' : '';
  const stateDirectory = `mcp-deploy/${deployment.name}`;
  return {
    name: deployment.name,
    unit,
    installPath: unitPath(deployment),
    description: quoteSystemdValue(`MCP endpoint ${deployment.name}`, 'name'),
    user: quoteSystemdValue(deployment.service.user, 'service.user'),
    workingDirectory: quoteSystemdValue(paths.baseDir, 'the folder of mcp-deploy.yaml'),
    execStart: serviceCommand(paths)
      .map((argument) => quoteSystemdExec(argument, 'the server command'))
      .join(' '),
    drainSeconds: deployment.server.drainSeconds,
    stopSeconds: stopSeconds(deployment),
    stateDirectory,
    environment: [
      quoteSystemdEnvironment('HOME', `/var/lib/${stateDirectory}`, 'the state folder'),
      quoteSystemdEnvironment('PATH', servicePath(paths, ['/usr/local/bin', '/usr/bin', '/bin']), 'the path of Node'),
    ].map((assignment) => ({ assignment })),
    runtimeDirectory:
      sockets.inRun.length > 0 && sockets.inRun.map((path) => quoteSystemdWord(path, 'server.listen')).join(' '),
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

export function unitName(deployment: Deployment): string {
  return `${nameOnHost(deployment.name)}.service`;
}

export function unitPath(deployment: Deployment): string {
  return `/etc/systemd/system/${unitName(deployment)}`;
}

/** Whether a part of the service lies in somebody's home folder, which the service user usually cannot enter. */
export function usesHomeFolders({ paths }: TargetInput): boolean {
  return [paths.nodePath, paths.serverFile, paths.configFile, paths.baseDir, paths.stateDir].some((path) =>
    /^\/(?:home|root|run\/user)(?:\/|$)/.test(path),
  );
}

function needsLowPort(deployment: Deployment): boolean {
  return listenAddresses(deployment.server).some((address) => address.kind === 'tcp' && address.port < 1024);
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
