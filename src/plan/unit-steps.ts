import { basename } from 'node:path';
import { deploymentPaths } from './deployment-paths.ts';
import type { HostFacts } from './facts.ts';
import { waitSteps } from './plan-service.ts';
import type { SystemWishes } from './system-wishes.ts';
import type { BuildSteps } from './release-steps.ts';
import { sha256Hex } from './server-config.ts';
import type { RenderedHost, SystemFacts } from './system-facts.ts';
import type { Step } from './types.ts';
import type { UnitChange } from './units.ts';

/** What each unit of ours has to do; nothing when all is as it should be. */
export function planUnits(
  { host }: SystemWishes,
  facts: HostFacts,
  { activeUnits, enabledUnits }: SystemFacts,
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
  // Somebody has disabled it: it would be gone after the next boot.
  const isEnabled = enabledUnits === undefined || names.every((unit) => enabledUnits.includes(unit));
  if (at === null && opened.length === 0 && isEnabled) return [];
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

/** Why the service is touched, in a few words. */
export function serviceReason(facts: HostFacts, build: BuildSteps, unitsChange: boolean): string {
  if (facts.server.state === 'stopped') return 'not running';
  const reasons = [
    ...(build.serverChanges ? ['another version'] : []),
    ...(unitsChange ? ['its unit changed'] : []),
    ...(build.steps.length > 0 && !build.serverChanges ? ['settings changed'] : []),
  ];
  return reasons.length === 0 ? 'it runs with another configuration' : reasons.join(', ');
}

/** Brings units to a state, and back. */
export function serviceStep(units: readonly UnitChange[], why: string): Step {
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

/** All together, since they name each other. */
export function checkUnitsStep(host: RenderedHost): Step {
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

/** Waits until the service runs with the new configuration. */
export function readySteps({ deployment, host, config }: SystemWishes, facts: HostFacts): readonly Step[] {
  const unit = serviceUnitOf(host);
  return waitSteps(facts, deployment, 'before anything counts on it').map((step): Step => {
    const { action } = step;
    if (action.type !== 'wait-until-ready') return step;
    return { ...step, action: { ...action, unit, configSha256: sha256Hex(config) } };
  });
}

/** The unit that runs the server; its socket, where there is one, is beside it. */
export function serviceUnitOf(host: Pick<RenderedHost, 'files'>): string {
  const unit = host.files.map(({ path }) => basename(path)).find((name) => name.endsWith('.service'));
  if (unit === undefined) throw new Error('no service among the rendered files');
  return unit;
}
