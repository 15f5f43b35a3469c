import { basename, join } from 'node:path';
import type { HostFacts } from './facts.ts';
import { accountSteps, folderSteps } from './host-folders.ts';
import { hostProxies, hostProxyOf, proxyReading, type HostProxy } from './host-proxies.ts';
import { managedFileSteps } from './managed-file.ts';
import { pairReaderSteps, proxyPreparation, proxyRemoval, proxySteps, type ProxySteps } from './plan-proxy.ts';
import { refuseHost, requireSystem } from './refuse-host.ts';
import { buildSteps, trialStep } from './release-steps.ts';
import type { HostFile, RenderedHost } from './system-facts.ts';
import type { SystemWishes } from './system-wishes.ts';
import { checkUnitsStep, serviceUnitOf, planUnits, readySteps, serviceReason, serviceStep } from './unit-steps.ts';
import type { AdoptedFile, Notice, Step } from './types.ts';
import type { StartedUnits } from './units.ts';

export interface SystemPlan {
  /** Before keys and certificates: what they need. */
  readonly before: readonly Step[];
  /** After them: files, the trial, the switch and the services. */
  readonly after: readonly Step[];
  readonly notices: readonly Notice[];
  readonly adopted: readonly AdoptedFile[];
  /** The release whose folder is live when this is done. */
  readonly build: { readonly version: string; readonly sha256: string; readonly folder: number };
  /** Units of others that run for this deployment alone; null when it never had one. */
  readonly started: StartedUnits | null;
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
  const left = [...former.sites].map(([each, paths]) => ({
    ...proxyRemoval(each, paths, facts, 'not wanted any more'),
    isActive: system.activeUnits.includes(each.unit),
  }));
  const serves = units.length > 0;
  const after = [
    ...build.steps,
    ...files.filter(({ file }) => file.program === 'systemd').flatMap(({ steps }) => steps),
    ...(changed('systemd') ? [checkUnitsStep(host)] : []),
    ...left.flatMap(({ change, check, isActive }) => [...change, ...(isActive ? [check] : [])]),
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
    ...left.flatMap(({ reload, isActive }) => (isActive ? [reload] : [])),
    ...(proxy !== null && wanted !== null && left.some(({ isActive }) => isActive) ? [freeStep(wanted, host)] : []),
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
    started: startedUnits(
      [...(proxy === null ? [] : [proxy.reload]), ...left.flatMap((each) => (each.isActive ? [each.reload] : []))],
      facts,
    ),
  };
}

/** Two programs never own one port: the next one waits until the former one has let go. */
function freeStep({ title }: HostProxy, { proxyPorts = [] }: RenderedHost): Step {
  return {
    id: 'free-ports',
    title: `wait until ${proxyPorts.length === 1 ? 'port' : 'ports'} ${proxyPorts.join(' and ')} are free`,
    why: `${title} takes them`,
    group: 'server',
    action: { type: 'wait-until-free', ports: proxyPorts, next: title, timeoutMs: 15_000 },
    undo: { type: 'none' },
  };
}

/** The units of others that run for this deployment alone when the steps are done; null when it never had one. */
function startedUnits(steps: readonly Step[], { release }: HostFacts): StartedUnits | null {
  const started = new Map(Object.entries(release?.started ?? {}));
  for (const { action } of steps) {
    for (const { unit, at, enabled } of action.type === 'service' ? action.units : []) {
      if (at === 'start') started.set(unit, enabled === true ? 'started and enabled' : 'started');
      if (at === 'stop') started.delete(unit);
    }
  }
  return started.size === 0 && release?.started === undefined ? null : Object.fromEntries(started);
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

const unitFolder = '/etc/systemd/system';

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
  const service = serviceUnitOf(host);
  const socket = `${basename(service, '.service')}.socket`;
  const sites = new Map<HostProxy, readonly string[]>();
  for (const proxy of hostProxies) {
    const paths = former.filter((path) => proxyReading(path) === proxy);
    if (proxy !== wanted && paths.length > 0) sites.set(proxy, paths);
  }
  return {
    // Those of timers are somebody else's wish: they come and go with --install-timer and uninstall.
    units: former.filter((path) => path === join(unitFolder, service) || path === join(unitFolder, socket)),
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
