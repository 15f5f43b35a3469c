import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths, scopeOf } from '../plan/deployment-paths.ts';
import type { PersonalWish } from '../host/read-personal-facts.ts';
import { isPersonal } from '../plan/personal-service.ts';
import { hostProxies, hostProxyOf } from '../plan/host-proxies.ts';
import type { HostFile, RenderedHost } from '../plan/system-facts.ts';
import { renderTarget } from '../targets/index.ts';
import { describeProxySite } from '../targets/proxy-site.ts';
import type { TargetInput } from '../targets/types.ts';
import { isInContainers } from './render-containers.ts';
import type { CommandContext } from './context.ts';
import { inputFor } from './target-input.ts';

/** What the targets write for a deployment in system scope; null in any other. Throws a UserError where a format cannot carry it. */
export function renderHost(context: CommandContext, deployment: Deployment): RenderedHost | null {
  if (isPersonal(deployment)) return renderPersonal(context, deployment).host;
  if (scopeOf(context.stateDir) !== 'system') return null;
  const input = hostInput(context, deployment);
  const from = (program: HostFile['program']): readonly HostFile[] =>
    renderTarget(program, input).map(({ installPath, mode, content }) => ({
      program,
      path: installPath,
      mode,
      content,
    }));
  const proxy = hostProxyOf(deployment);
  return {
    files: [...from('systemd'), ...(proxy === null ? [] : from(proxy.name))],
    proxyUrl: proxy === null ? null : localUrl(input),
    ...(proxy === null ? {} : { proxyPorts: portsOf(input) }),
  };
}

/** The service of a person: its file, and who reads it. */
export function renderPersonal(
  context: CommandContext,
  deployment: Deployment,
): { readonly host: RenderedHost; readonly wish: PersonalWish } {
  const paths = deploymentPaths(context.stateDir);
  const isLaunchd = deployment.service.manager === 'launchd';
  const program = isLaunchd ? 'launchd' : 'systemd-user';
  const homeDir = context.world.env['HOME'] ?? homedir();
  const uid = process.getuid?.() ?? 501;
  const base = inputFor(context, deployment);
  const input: TargetInput = {
    ...base,
    paths: {
      ...base.paths,
      // A link to the release that is live: its path stays when the server is another one.
      serverFile: join(context.stateDir, 'current', 'serve.js'),
      logFile: join(paths.logsDir, 'launchd.log'),
      pidFile: paths.pidFile,
      homeDir,
      uid,
    },
  };
  const [file] = renderTarget(program, input);
  if (file === undefined) throw new Error(`no file of ${program}`);
  const { installPath, mode, content } = file;
  return {
    host: { files: [{ program, path: installPath, mode, content }], proxyUrl: null },
    wish: {
      unit: isLaunchd ? basename(installPath, '.plist') : basename(installPath),
      file: installPath,
      manager: isLaunchd ? { type: 'launchd', domain: `gui/${uid}`, file: installPath } : { type: 'systemd-user' },
    },
  };
}

/** The same as a part of what is desired; where containers serve, what their files are made from. */
export function hostOf(
  context: CommandContext,
  deployment: Deployment,
): { readonly host?: RenderedHost; readonly containers?: TargetInput } {
  if (isInContainers(deployment)) return { containers: inputFor(context, deployment) };
  const host = renderHost(context, deployment);
  return host === null ? {} : { host };
}

/** The units of rendered files, and those of the proxies of a host. */
export function unitsOf(host: Pick<RenderedHost, 'files'>): readonly string[] {
  const units = host.files.filter(({ program }) => program === 'systemd').map(({ path }) => basename(path));
  return [...units, ...hostProxies.map(({ unit }) => unit)];
}

function hostInput(context: CommandContext, deployment: Deployment): TargetInput {
  const paths = deploymentPaths(context.stateDir);
  const { service } = deployment;
  const base = inputFor(context, deployment);
  return {
    ...base,
    // A service that apply installs loses no call when it restarts, unless that is not wanted.
    deployment: service.sockets === 'auto' ? { ...deployment, service: { ...service, sockets: 'on' } } : deployment,
    paths: {
      ...base.paths,
      serverFile: join(paths.buildDir, 'serve.js'),
      // What the service may write.
      stateDir: paths.logsDir,
      pidFile: paths.pidFile,
    },
  };
}

function portsOf(input: TargetInput): readonly number[] {
  const { httpPort, httpsPort } = describeProxySite(input);
  return [...new Set([httpPort, httpsPort])];
}

/** Through the proxy, under a name that leads to this machine; null when it has none such. */
function localUrl(input: TargetInput): string | null {
  const site = describeProxySite(input);
  if (!site.serverNames.includes('localhost')) return null;
  return `https://localhost${site.httpsPort === 443 ? '' : `:${site.httpsPort}`}${site.path}`;
}
