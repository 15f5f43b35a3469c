import { basename } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import type { HostFacts } from './facts.ts';
import { requireSystem } from './refuse-host.ts';
import type { Plan } from './types.ts';
import type { UnitChange } from './units.ts';

/** Starts, stops or restarts the service of a host; whether it starts at boot stays as it is. */
export function planSystemService(purpose: 'start' | 'stop' | 'restart', facts: HostFacts): Plan {
  const { activeUnits } = requireSystem(facts);
  const names = Object.keys(facts.release?.files ?? {})
    .filter((path) => path.startsWith('/etc/systemd/system/') && facts.files[path] !== undefined)
    .map((path) => basename(path));
  // Not that of a timer.
  const service = names.find(
    (name) => name.endsWith('.service') && !names.includes(`${basename(name, '.service')}.timer`),
  );
  if (service === undefined) {
    throw new UserError(`There is nothing to ${purpose}: the service is not installed.`, {
      next: 'mcp-deploy apply',
      exitCode: 3,
    });
  }
  const sockets = names.filter((name) => name.endsWith('.socket'));
  // A socket would start the service again for the first client.
  const units: readonly UnitChange[] =
    purpose === 'stop'
      ? [...sockets, service].map((unit) => ({ unit, at: 'stop', enabled: null }))
      : [
          ...sockets.map((unit): UnitChange => ({ unit, at: 'start', enabled: null })),
          { unit: service, at: purpose, enabled: null },
        ];
  const isDone =
    purpose !== 'restart' &&
    [...sockets, service].every((unit) => activeUnits.includes(unit) === (purpose === 'start'));
  return {
    schemaVersion: 1,
    deployment: basename(facts.stateDir),
    purpose,
    release: facts.release?.release ?? 0,
    steps: isDone
      ? []
      : [
          {
            id: 'service',
            title: `${purpose} ${service}`,
            why: 'asked for',
            group: 'server',
            action: { type: 'service', units },
            undo: { type: 'restore-units', units },
          },
        ],
    notices: [],
    desired: facts.release?.desired ?? null,
  };
}
