import { join } from 'node:path';
import type { CommandContext } from './context.ts';

/** What was done to keep a deployment alive, and how it went. */
export interface MaintenanceEvent {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly ok: boolean;
  /** One line. */
  readonly said: string;
}

/** By what was done, such as `restore-drill`: the last time only. */
export type MaintenanceRecord = Readonly<Record<string, MaintenanceEvent>>;

/** A record that is damaged, or none, is an empty one: everything is due then. */
export async function readMaintenanceRecord({ ports, stateDir }: CommandContext): Promise<MaintenanceRecord> {
  const bytes = await ports.files.read(recordFile(stateDir)).catch(() => null);
  try {
    const found: unknown = bytes === null ? {} : JSON.parse(bytes.toString('utf8'));
    if (typeof found !== 'object' || found === null) return {};
    return Object.fromEntries(Object.entries(found).filter(([, event]) => isEvent(event)));
  } catch {
    return {};
  }
}

/** Notes what was just done; in a folder without a deployment nothing is noted. */
export async function noteMaintenance(
  context: CommandContext,
  what: string,
  event: Omit<MaintenanceEvent, 'at'>,
): Promise<void> {
  const { ports, stateDir } = context;
  if ((await ports.files.stat(stateDir)) === null) return;
  const record = { ...(await readMaintenanceRecord(context)), [what]: { at: ports.clock.now(), ...event } };
  await ports.files.writeAtomic(recordFile(stateDir), `${JSON.stringify(record, null, 2)}\n`, 0o600);
}

function recordFile(stateDir: string): string {
  return join(stateDir, 'maintenance.json');
}

function isEvent(value: unknown): value is MaintenanceEvent {
  if (typeof value !== 'object' || value === null) return false;
  const { at, ok, said } = value as Partial<MaintenanceEvent>;
  return (
    typeof at === 'string' && Number.isFinite(Date.parse(at)) && typeof ok === 'boolean' && typeof said === 'string'
  );
}
