import type { UnitChange, UnitManager } from '../plan/units.ts';
import { changeJobs, putJobsBack, readJobs, stopNewJobs } from './launchd-jobs.ts';
import { runCommand } from './run-command.ts';
import type { ApplyPorts } from './ports.ts';

type Running = Pick<ApplyPorts, 'processes'>;
type Changing = Pick<ApplyPorts, 'processes' | 'clock'>;

/** How a unit was before a step changed it: kept in the journal. */
export interface UnitState {
  readonly unit: string;
  readonly enabled: boolean;
  readonly active: boolean;
}

/** A service that stops lets its calls finish first. */
const unitTimeoutMs = 600_000;

/** Carries the changes out, in order. @throws EnvironmentError with what systemd or the service said */
export async function changeUnits(
  units: readonly UnitChange[],
  ports: Changing,
  manager?: UnitManager,
): Promise<string> {
  if (manager?.type === 'launchd') return changeJobs(units, manager, ports);
  const systemctl = systemctlOf(ports, manager);
  await systemctl('daemon-reload');
  for (const { unit, at, enabled } of units) {
    if (enabled === false) await systemctl('disable', '--quiet', unit);
    await systemctl(verbs[at], unit);
    if (enabled === true) await systemctl('enable', '--quiet', unit);
  }
  return units.map(({ unit, at }) => `${unit} ${done[at]}`).join(', ');
}

const verbs = { start: 'start', restart: 'restart', reload: 'reload-or-restart', stop: 'stop' } as const;
const done = { start: 'started', restart: 'restarted', reload: 'reloaded', stop: 'stopped' } as const;

export async function readUnits(
  units: readonly UnitChange[],
  ports: Changing,
  manager?: UnitManager,
): Promise<readonly UnitState[]> {
  if (manager?.type === 'launchd') return readJobs(units, manager, ports);
  const states: UnitState[] = [];
  for (const unit of new Set(units.map((each) => each.unit))) {
    const { ActiveState, UnitFileState } = await showUnit(unit, ports, manager);
    states.push({
      unit,
      enabled: UnitFileState === 'enabled' || UnitFileState === 'enabled-runtime',
      active: ActiveState === 'active' || ActiveState === 'activating' || ActiveState === 'reloading',
    });
  }
  return states;
}

/**
 * The first half of an undo, while the files of the step are still there: what was not enabled is not enabled any more, and
 * what did not run is stopped.
 */
export async function stopWhatWasNotThere(
  before: readonly UnitState[],
  ports: Changing,
  manager?: UnitManager,
): Promise<void> {
  if (manager?.type === 'launchd') return stopNewJobs(before, manager, ports);
  const systemctl = systemctlOf(ports, manager);
  for (const { unit, enabled, active } of before.toReversed()) {
    const now = await showUnit(unit, ports, manager);
    if (now.LoadState === 'not-found') continue;
    if (!enabled && now.UnitFileState === 'enabled') await systemctl('disable', '--quiet', unit);
    if (!active && now.ActiveState !== 'inactive') {
      await systemctl('stop', unit);
      await ports.processes.run([...programOf(manager), 'reset-failed', unit], unitTimeoutMs);
    }
  }
}

/** The second half, when all files are back: what ran runs again, with them. */
export async function putUnitsBack(
  units: readonly UnitChange[],
  before: readonly UnitState[],
  ports: Changing,
  manager?: UnitManager,
): Promise<void> {
  if (manager?.type === 'launchd') return putJobsBack(before, manager, ports);
  const systemctl = systemctlOf(ports, manager);
  await systemctl('daemon-reload');
  for (const { unit, enabled, active } of before) {
    const now = await showUnit(unit, ports, manager);
    if (enabled && now.UnitFileState !== 'enabled') await systemctl('enable', '--quiet', unit);
    const changes = units.filter((each) => each.unit === unit).map(({ at }) => at);
    if (!active || changes.length === 0) continue;
    // What still runs as it did is left alone: a socket goes on to take connections.
    if (changes.every((at) => at === 'start') && now.ActiveState === 'active') continue;
    await systemctl(changes.every((at) => at === 'reload') ? 'reload-or-restart' : 'restart', unit);
  }
}

/** Properties of a unit as `systemctl show` gives them; empty texts where there is none. */
export async function showUnit(
  unit: string,
  { processes }: Running,
  manager?: UnitManager,
): Promise<Readonly<Record<string, string>>> {
  const names = 'LoadState,ActiveState,SubState,UnitFileState,NRestarts';
  const { output } = await processes.run([...programOf(manager), 'show', `--property=${names}`, unit], unitTimeoutMs);
  return Object.fromEntries(
    output.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at === -1 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
    }),
  );
}

/** What a unit said last. */
export async function readUnitWords(
  unit: string,
  { processes }: Running,
  manager?: UnitManager,
): Promise<readonly string[]> {
  if (manager?.type === 'launchd') return [];
  const argv = [
    'journalctl',
    ...(manager === undefined ? [] : ['--user']),
    '--unit',
    unit,
    '--output',
    'cat',
    '--lines',
    '12',
    '--no-pager',
    '--quiet',
  ];
  const { output } = await processes.run(argv, unitTimeoutMs);
  return output.split('\n').filter(Boolean);
}

function systemctlOf(ports: Running, manager: UnitManager | undefined): (...args: readonly string[]) => Promise<void> {
  return (...args) => runCommand([...programOf(manager), ...args], ports, unitTimeoutMs);
}

function programOf(manager: UnitManager | undefined): readonly string[] {
  return manager === undefined ? ['systemctl'] : ['systemctl', '--user'];
}
