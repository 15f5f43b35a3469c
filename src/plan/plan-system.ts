import { basename, dirname, join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import { hostProxies, hostProxyOf, proxyReading, type HostProxy } from './host-proxies.ts';
import { managedFileSteps } from './managed-file.ts';
import { pairReaderSteps, proxyPreparation, proxyRemoval, proxySteps, type ProxySteps } from './plan-proxy.ts';
import { refuseTakenPorts, waitSteps } from './plan-service.ts';
import { sha256Hex } from './server-config.ts';
import type { HostFile, RenderedHost, SystemFacts } from './system-facts.ts';
import { trialFiles, trialUnitText } from './trial-server.ts';
import type { AdoptedFile, Notice, Owner, Step, UnitChange } from './types.ts';

/** The server that a release starts, where it is not the one of this mcp-deploy. */
export interface WantedBuild {
  readonly file: string;
  readonly sha256: string;
  readonly version: string;
}

export interface SystemPlan {
  /** Before keys and certificates: what they need. */
  readonly before: readonly Step[];
  /** After them: files, the trial, the switch and the services. */
  readonly after: readonly Step[];
  readonly notices: readonly Notice[];
  readonly adopted: readonly AdoptedFile[];
  /** The release whose folder is live when this is done. */
  readonly build: { readonly version: string; readonly sha256: string; readonly folder: number };
}

export interface SystemWishes {
  readonly deployment: Deployment;
  /** Text of server.json. */
  readonly config: string;
  readonly host: RenderedHost;
  readonly build: WantedBuild;
  readonly adopt: boolean;
  /** Number of the release that this plan makes. */
  readonly release: number;
  /** Whether files that the server loads once are written before: only another process has them. */
  readonly filesChange: boolean;
  /** Whether steps between `before` and `after` change what the server reads by itself. */
  readonly othersChange: boolean;
}

/** Files of ours that this deployment does not want any more, as they were written: another one is somebody's now. */
function formerFiles(
  host: RenderedHost,
  wanted: HostProxy | null,
  facts: HostFacts,
): { readonly units: string[]; readonly sites: ReadonlyMap<HostProxy, readonly string[]> } {
  const kept = new Set(host.files.map(({ path }) => path));
  const former = Object.entries(facts.release?.files ?? {})
    .filter(([path, { sha256 }]) => !kept.has(path) && facts.files[path]?.sha256 === sha256)
    .map(([path]) => path);
  const sites = new Map<HostProxy, readonly string[]>();
  for (const proxy of hostProxies) {
    const paths = former.filter((path) => proxyReading(path) === proxy);
    if (proxy !== wanted && paths.length > 0) sites.set(proxy, paths);
  }
  return {
    units: former.filter((path) => /^\/etc\/systemd\/system\/[^/]+\.(?:service|socket|timer)$/.test(path)),
    sites,
  };
}

function removeFormer(path: string): Step {
  return {
    id: `remove-${basename(path).replaceAll('.', '-')}`,
    title: `remove ${path}`,
    why: 'not wanted any more',
    group: 'configuration',
    action: { type: 'remove-file', path },
    undo: { type: 'restore' },
  };
}

/** Of the service in system scope. */
export function serviceOwner(deployment: Pick<Deployment, 'service'>): Owner {
  return { user: 'root', group: deployment.service.user };
}

/**
 * The steps that bring a host to a deployment: user, folders, a release of its own with server and configuration, unit and site,
 * each checked and tried before the one link that makes it live.
 *
 * @throws EnvironmentError (exit 3) when this host cannot carry it
 */
export function planSystem(wishes: SystemWishes, facts: HostFacts): SystemPlan {
  const { deployment, host } = wishes;
  const system = requireSystem(facts);
  refuseHost(deployment, facts, system);
  const build = buildSteps(wishes, facts, system);
  const files = host.files.map((file) => ({ file, ...hostFileSteps(file, wishes.adopt, facts) }));
  const changed = (program: HostFile['program']): boolean =>
    files.some(({ file, steps }) => file.program === program && steps.length > 0);
  const wanted = hostProxyOf(deployment);
  const former = formerFiles(host, wanted, facts);
  const units = planUnits(wishes, facts, system, {
    unitsChange: changed('systemd') || former.units.length > 0 || wishes.filesChange,
    serverChanges: build.serverChanges,
    configChanges: build.steps.length > 0,
    changedSockets: files
      .filter(({ file, steps }) => file.path.endsWith('.socket') && steps.length > 0)
      .map(({ file }) => basename(file.path)),
    formerUnits: former.units.map((path) => basename(path)),
  });
  const proxy = wanted === null ? null : wantedProxySteps(wanted, wishes, facts, changed(wanted.name));
  const left = [...former.sites].map(([each, paths]) => proxyRemoval(each, paths, facts, 'not wanted any more'));
  const serves = units.length > 0;
  const after = [
    ...build.steps,
    ...files.filter(({ file }) => file.program === 'systemd').flatMap(({ steps }) => steps),
    ...(changed('systemd') ? [checkUnitsStep(host)] : []),
    ...left.flatMap(({ change, check }) => [...change, check]),
    ...pairReaderSteps(deployment, wanted?.readsKeysAs ?? null, facts),
    ...(proxy?.change ?? []),
    ...files.filter(({ file }) => file.program !== 'systemd').flatMap(({ steps }) => steps),
    ...(proxy === null ? [] : [proxy.check]),
    ...(build.steps.length > 0 && deployment.service.trial ? [trialStep(wishes, facts)] : []),
    ...build.link,
    ...(serves ? [serviceStep(units, serviceReason(facts, build, changed('systemd')))] : []),
    ...former.units.map((path) => removeFormer(path)),
    ...(former.units.length > 0
      ? [{ ...serviceStep([], 'some are gone'), id: 'read-units', title: 'read the units again' }]
      : []),
    ...(serves || wishes.othersChange ? readySteps(wishes, facts) : []),
    // Who leaves first: the next one takes the same ports.
    ...left.map(({ reload }) => reload),
    ...(proxy === null ? [] : [proxy.reload]),
    ...left.flatMap((each) => each.after),
  ];
  return {
    before: [
      ...(proxy === null ? [] : [proxy.checkBefore]),
      ...accountSteps(deployment, facts, system),
      ...folderSteps(deployment, facts),
    ],
    after,
    notices: [...build.notices, ...files.flatMap(({ notices }) => notices)],
    adopted: files.flatMap(({ adopted }) => adopted),
    build: build.live,
  };
}

export function requireSystem({ system }: HostFacts): SystemFacts {
  if (system === undefined) throw new Error('a plan for a host without facts of the host');
  return system;
}

/** The unit that runs the server; its socket, where there is one, is beside it. */
function serviceUnitOf(host: Pick<RenderedHost, 'files'>): string {
  const unit = host.files.map(({ path }) => basename(path)).find((name) => name.endsWith('.service'));
  if (unit === undefined) throw new Error('no service among the rendered files');
  return unit;
}

const leastFreeBytes = 64 * 1024 * 1024;

function refuseHost(deployment: Deployment, facts: HostFacts, system: SystemFacts): void {
  const proxy = hostProxyOf(deployment);
  for (const name of ['systemctl', 'systemd-analyze', 'useradd', 'runuser']) {
    if (system.programs[name] !== undefined) continue;
    throw new EnvironmentError(`There is no ${name} on this host.`, {
      why: 'mcp-deploy.yaml asks for systemd (service.manager).',
      next: 'Set service.manager: none.',
    });
  }
  if (proxy !== null && system.programs[proxy.name] === undefined) {
    throw new EnvironmentError(`There is no ${proxy.name} on this host.`, {
      why: `mcp-deploy.yaml asks for ${proxy.title} (proxy.program).`,
      next: `apt-get install ${proxy.name}        or set proxy.program: none`,
    });
  }
  if (system.freeBytes < leastFreeBytes) {
    throw new EnvironmentError('The disk of /opt is almost full.', {
      why: `${Math.floor(system.freeBytes / 1_048_576)} MB are free; a release needs ${leastFreeBytes / 1_048_576} MB to be made safely.`,
      next: 'Make room, then run the command again: df -h /opt',
    });
  }
  if (/^\/(?:root|home)(?:\/|$)/.test(facts.baseDir)) {
    throw new EnvironmentError(`${facts.baseDir} is in a home folder.`, {
      why: `The service runs as ${deployment.service.user}, starts its MCP servers in the folder of mcp-deploy.yaml, and may not enter homes.`,
      next: `Move it: mkdir -p /srv/${deployment.name} && mv ${facts.deploymentFile.path} /srv/${deployment.name}/`,
    });
  }
  refuseTakenPorts(facts, deployment);
  const { serverCertificate: certificate } = facts;
  if (deployment.tls.source === 'files' && certificate !== null && certificate.daysLeft < 0) {
    throw new EnvironmentError('Your certificate has expired.', {
      why: `${deployment.tls.certificate} ended on ${certificate.notAfter.slice(0, 10)}: no client would connect.`,
      next: 'Put a new one in its place, then run the command again.',
    });
  }
}

/** Refused as late as possible, so that everyone may look at a plan. @throws EnvironmentError (exit 3) */
export function refuseWithoutRights(facts: HostFacts, command: string): void {
  if (facts.system === undefined || facts.system.isRoot) return;
  throw new EnvironmentError('This changes the host, and that is for root.', {
    why: 'service.manager: systemd writes below /etc, /opt and /var, and starts services.',
    next: `sudo ${command}`,
  });
}

function accountSteps(deployment: Deployment, facts: HostFacts, { account }: SystemFacts): readonly Step[] {
  if (account !== null) return [];
  const { user } = deployment.service;
  const home = deploymentPaths(facts.stateDir).runDir;
  return [
    {
      id: 'service-user',
      title: `make user ${user}`,
      why: 'runs the server, cannot log in',
      group: 'configuration',
      action: { type: 'ensure-user', user, home },
      undo: { type: 'remove-user', user, home },
    },
  ];
}

function folderSteps(deployment: Deployment, facts: HostFacts): readonly Step[] {
  const { configDir, keysDir, pkiDir, logsDir, releasesDir, runDir } = deploymentPaths(facts.stateDir);
  const shared = serviceOwner(deployment);
  const own: Owner = { user: deployment.service.user, group: deployment.service.user };
  // Where the proxy opens the key by itself it goes through them; what is in them it cannot list.
  const passed = (hostProxyOf(deployment)?.readsKeysAs ?? null) === null ? 0o750 : 0o751;
  const wanted: readonly (readonly [string, number, Owner?])[] = [
    [dirname(configDir), 0o755],
    [configDir, passed, shared],
    [keysDir, 0o750, shared],
    [pkiDir, passed, shared],
    [dirname(runDir), 0o755],
    [runDir, 0o700, own],
    [dirname(logsDir), 0o755],
    [logsDir, 0o750, own],
    [releasesDir, 0o755],
  ];
  return wanted
    .filter(([path]) => facts.directories?.includes(path) !== true)
    .map(([path, mode, owner]): Step => ({
      id: `folder-${path.slice(1).replaceAll('/', '-')}`,
      title: `make ${path}`,
      why: 'none yet',
      group: 'configuration',
      action: { type: 'make-directory', path, mode, ...(owner === undefined ? {} : { owner }) },
      undo: { type: 'restore' },
    }));
}

interface BuildSteps {
  readonly steps: readonly Step[];
  readonly link: readonly Step[];
  readonly serverChanges: boolean;
  readonly notices: readonly Notice[];
  readonly live: SystemPlan['build'];
}

/** A folder `releases/N` with server and configuration, when either is not as the live one has it. */
function buildSteps(wishes: SystemWishes, facts: HostFacts, { current }: SystemFacts): BuildSteps {
  const { build, config, deployment, filesChange, release } = wishes;
  const paths = deploymentPaths(facts.stateDir);
  const configNow = facts.files[paths.serverConfig];
  const serverChanges = current?.serverSha256 !== build.sha256;
  const configChanges = configNow?.sha256 !== sha256Hex(config);
  const about = { version: build.version, sha256: build.sha256 };
  const isEdited =
    configNow !== undefined &&
    current !== null &&
    facts.release?.files[join(paths.releasesDir, String(current.number), 'server.json')]?.sha256 !== configNow.sha256;
  const notices: readonly Notice[] =
    isEdited && current !== null
      ? [
          {
            level: 'warning',
            text: `${paths.serverConfig} was edited by hand; the edit stays in releases/${current.number}. Settings belong into mcp-deploy.yaml.`,
          },
        ]
      : [];
  if (current !== null && !serverChanges && !configChanges && !filesChange) {
    return { steps: [], link: [], serverChanges, notices, live: { ...about, folder: current.number } };
  }
  const folder = join(paths.releasesDir, String(release));
  const why = [
    ...(current === null ? ['none yet'] : []),
    ...(current !== null && serverChanges ? ['another version of the server'] : []),
    ...(current !== null && configChanges ? ['settings changed'] : []),
    ...(current !== null && filesChange ? ['its files changed'] : []),
  ].join(', ');
  const common = { why, group: 'server', undo: { type: 'restore' } } as const;
  return {
    serverChanges,
    notices,
    live: { ...about, folder: release },
    steps: [
      {
        ...common,
        id: 'release-folder',
        title: `make releases/${release}`,
        action: { type: 'make-directory', path: folder, mode: 0o755 },
      },
      {
        ...common,
        id: 'release-server',
        title: 'copy the server',
        why: current !== null && !serverChanges ? 'each release has its own' : why,
        action: {
          type: 'copy-file',
          from: build.file,
          path: join(folder, 'serve.js'),
          mode: 0o644,
          sha256: build.sha256,
        },
      },
      {
        ...common,
        id: 'release-config',
        title: 'write server configuration',
        action: {
          type: 'write-file',
          path: join(folder, 'server.json'),
          mode: 0o640,
          content: config,
          owner: serviceOwner(deployment),
        },
      },
      ...(deployment.service.trial ? [] : [checkConfigStep(deployment, facts, folder)]),
    ],
    link: [
      {
        ...common,
        id: 'switch-release',
        title: `switch to release ${release}`,
        action: { type: 'link', path: paths.buildDir, target: `releases/${release}` },
      },
    ],
  };
}

/** Where the new release may not be tried beside the old one, it is at least looked through by its own server and user. */
function checkConfigStep({ service }: Deployment, { nodePath }: HostFacts, folder: string): Step {
  const serve = [nodePath, join(folder, 'serve.js'), '--config', join(folder, 'server.json'), '--check'];
  return {
    id: 'check-release',
    title: 'check the new release',
    why: 'before it takes over',
    group: 'server',
    action: { type: 'run-command', argv: ['runuser', '-u', service.user, '--', ...serve] },
    undo: { type: 'none' },
  };
}

function trialStep({ deployment, host, release }: SystemWishes, facts: HostFacts): Step {
  const unit = serviceUnitOf(host);
  const trial = trialFiles(unit);
  const folder = join(deploymentPaths(facts.stateDir).releasesDir, String(release));
  const unitText = host.files.find(({ path }) => basename(path) === unit)?.content ?? '';
  const slowest = Math.max(0, ...Object.values(deployment.server.upstreams).map((upstream) => upstream.startSeconds));
  return {
    id: 'try-release',
    title: 'try the new release beside what runs',
    why: 'what cannot start must not take over',
    group: 'server',
    action: {
      type: 'trial-server',
      ...trial,
      unitText: trialUnitText(unitText, [facts.nodePath, join(folder, 'serve.js'), '--config', trial.configFile]),
      configOf: join(folder, 'server.json'),
      owner: serviceOwner(deployment),
      timeoutMs: 10_000 + Math.round(slowest * 1_000),
    },
    undo: { type: 'stop-trial', unit: trial.unit, files: [trial.unitFile, trial.configFile] },
  };
}

function hostFileSteps(file: HostFile, adopt: boolean, facts: HostFacts) {
  const name = basename(file.path);
  const made = managedFileSteps(
    {
      id: `${file.program}-${name.replaceAll('.', '-')}`,
      title: `write ${name}`,
      path: file.path,
      mode: file.mode,
      content: file.content,
      group: 'configuration',
    },
    facts,
    { adopt },
  );
  const reader = proxyReading(file.path);
  if (reader !== null) {
    const undo = { type: 'restore', readBy: reader.unit } as const;
    return { ...made, steps: made.steps.map((step): Step => ({ ...step, undo })) };
  }
  return made;
}

/** All together, since they name each other. */
function checkUnitsStep(host: RenderedHost): Step {
  const units = host.files.filter(({ program }) => program === 'systemd').map(({ path }) => path);
  return {
    id: 'check-units',
    title: `check ${units.map((path) => basename(path)).join(' and ')}`,
    why: 'systemd must understand them',
    group: 'configuration',
    action: { type: 'run-command', argv: ['systemd-analyze', 'verify', ...units] },
    undo: { type: 'none' },
  };
}

/** What each unit of ours has to do; nothing when all is as it should be. */
function planUnits(
  { host }: SystemWishes,
  facts: HostFacts,
  { activeUnits }: SystemFacts,
  changes: {
    readonly unitsChange: boolean;
    readonly serverChanges: boolean;
    readonly configChanges: boolean;
    readonly changedSockets: readonly string[];
    readonly formerUnits: readonly string[];
  },
): readonly UnitChange[] {
  const service = serviceUnitOf(host);
  const isActive = activeUnits.includes(service) && facts.server.state === 'running';
  const names = host.files.filter(({ program }) => program === 'systemd').map(({ path }) => basename(path));
  const sockets = names.filter((name) => name.endsWith('.socket'));
  const at = !isActive
    ? 'start'
    : changes.unitsChange || changes.serverChanges || isOutdated(facts)
      ? 'restart'
      : changes.configChanges
        ? 'reload'
        : null;
  const opened = sockets.filter((unit) => !activeUnits.includes(unit) || changes.changedSockets.includes(unit));
  if (at === null && opened.length === 0) return [];
  // While the service holds a port, no socket can be opened there, nor the other way round.
  const mustRest = isActive && (opened.length > 0 || changes.formerUnits.length > 0);
  return [
    ...(mustRest ? [{ unit: service, at: 'stop', enabled: null } as const] : []),
    ...changes.formerUnits.map((unit): UnitChange => ({ unit, at: 'stop', enabled: false })),
    ...sockets.map((unit): UnitChange => ({ unit, at: opened.includes(unit) ? 'restart' : 'start', enabled: true })),
    { unit: service, at: mustRest ? 'start' : (at ?? 'start'), enabled: true },
  ];
}

/** Whether the running server is another one than what the link says, after a crash or a hand at work. */
function isOutdated({ server, files, stateDir }: HostFacts): boolean {
  const config = files[deploymentPaths(stateDir).serverConfig];
  return server.state === 'running' && config !== undefined && server.configSha256 !== config.sha256;
}

function serviceReason(facts: HostFacts, build: BuildSteps, unitsChange: boolean): string {
  if (facts.server.state === 'stopped') return 'not running';
  const reasons = [
    ...(build.serverChanges ? ['another version'] : []),
    ...(unitsChange ? ['its unit changed'] : []),
    ...(build.steps.length > 0 && !build.serverChanges ? ['settings changed'] : []),
  ];
  return reasons.length === 0 ? 'it runs with another configuration' : reasons.join(', ');
}

function serviceStep(units: readonly UnitChange[], why: string): Step {
  const last = units.at(-1);
  return {
    id: 'service',
    title: `${last?.at ?? 'start'} ${last?.unit ?? ''}`,
    why,
    group: 'server',
    action: { type: 'service', units },
    undo: { type: 'restore-units', units },
  };
}

function readySteps({ deployment, host, config }: SystemWishes, facts: HostFacts): readonly Step[] {
  const unit = serviceUnitOf(host);
  return waitSteps(facts, deployment, 'before anything counts on it').map((step): Step => {
    const { action } = step;
    if (action.type !== 'wait-until-ready') return step;
    return { ...step, action: { ...action, unit, configSha256: sha256Hex(config) } };
  });
}

/** The steps of the proxy that is wanted in front; null when it has nothing to do. */
function wantedProxySteps(
  proxy: HostProxy,
  { deployment, host }: SystemWishes,
  facts: HostFacts,
  siteChanges: boolean,
): Pick<ProxySteps, 'checkBefore' | 'change' | 'check' | 'reload'> | null {
  const site = host.files.find(({ program }) => program === proxy.name);
  if (site === undefined) throw new Error(`no site of ${proxy.name} among the rendered files`);
  const change = proxyPreparation(proxy, site, deployment, facts);
  if (change.length === 0 && !siteChanges) return null;
  const restarts = change.some(({ id }) => id === 'haproxy-options');
  return { change, ...proxySteps(proxy, facts, { restarts, why: 'its site changed', readsFolder: true }) };
}
