import type { LaunchdManager, UnitChange } from '../plan/units.ts';
import { runCommand } from './run-command.ts';
import type { ApplyPorts } from './ports.ts';
import type { UnitState } from './units.ts';

type Running = Pick<ApplyPorts, 'processes' | 'clock'>;

const jobTimeoutMs = 600_000;
/** launchd is still busy with the job that left: bootout ends before its job does. */
const busyCodes: ReadonlySet<number | null> = new Set([5, 36, 37]);
const busyMs = 30_000;

/** Brings jobs of launchd to a state. Source: launchctl(1); load and unload are deprecated and tell no errors. */
export async function changeJobs(
  changes: readonly UnitChange[],
  manager: LaunchdManager,
  ports: Running,
): Promise<string> {
  for (const { unit, at } of changes) {
    const isLoaded = await isJobLoaded(unit, manager, ports);
    switch (at) {
      case 'stop':
        if (isLoaded) await bootOut(unit, manager, ports);
        break;
      case 'reload':
        await runCommand(['launchctl', 'kill', 'SIGHUP', `${manager.domain}/${unit}`], ports, jobTimeoutMs);
        break;
      case 'start':
      case 'restart':
        // A changed file is read by bootstrap only; kickstart starts what is loaded.
        if (at === 'start' && isLoaded) break;
        if (isLoaded) await bootOut(unit, manager, ports);
        await bootstrap(manager, ports);
    }
  }
  return changes.map(({ unit, at }) => `${unit}: ${at}`).join(', ');
}

/** How each job was: loaded is running, for these start with their loading and are kept alive. */
export async function readJobs(
  changes: readonly UnitChange[],
  manager: LaunchdManager,
  ports: Running,
): Promise<readonly UnitState[]> {
  const states: UnitState[] = [];
  for (const unit of new Set(changes.map((each) => each.unit))) {
    const active = await isJobLoaded(unit, manager, ports);
    states.push({ unit, enabled: active, active });
  }
  return states;
}

/** The first half of an undo, while the files of the step are there. */
export async function stopNewJobs(
  before: readonly UnitState[],
  manager: LaunchdManager,
  ports: Running,
): Promise<void> {
  for (const { unit, active } of before) {
    if (!active && (await isJobLoaded(unit, manager, ports))) await bootOut(unit, manager, ports);
  }
}

/** The second half, when all files are back. */
export async function putJobsBack(
  before: readonly UnitState[],
  manager: LaunchdManager,
  ports: Running,
): Promise<void> {
  for (const { unit, active } of before) {
    if (!active) continue;
    if (await isJobLoaded(unit, manager, ports)) await bootOut(unit, manager, ports);
    await bootstrap(manager, ports);
  }
}

export async function isJobLoaded(
  label: string,
  { domain }: LaunchdManager,
  { processes }: Pick<ApplyPorts, 'processes'>,
): Promise<boolean> {
  return (await processes.run(['launchctl', 'print', `${domain}/${label}`], jobTimeoutMs)).exitCode === 0;
}

async function bootOut(label: string, { domain }: LaunchdManager, ports: Running): Promise<void> {
  const { exitCode } = await ports.processes.run(['launchctl', 'bootout', `${domain}/${label}`], jobTimeoutMs);
  // 36: it goes, and takes the time that its server needs to drain.
  if (exitCode === 0 || busyCodes.has(exitCode)) return;
  await runCommand(['launchctl', 'bootout', `${domain}/${label}`], ports, jobTimeoutMs);
}

async function bootstrap({ domain, file }: LaunchdManager, ports: Running): Promise<void> {
  const argv = ['launchctl', 'bootstrap', domain, file];
  const until = ports.clock.elapsed() + busyMs;
  while (ports.clock.elapsed() < until) {
    const { exitCode } = await ports.processes.run(argv, jobTimeoutMs);
    if (exitCode === 0) return;
    if (!busyCodes.has(exitCode)) break;
    await ports.clock.sleep(250);
  }
  await runCommand(argv, ports, jobTimeoutMs);
}
