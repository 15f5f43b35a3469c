import { scopeOf } from './deployment-paths.ts';
import type { Plan, Step } from './types.ts';

/**
 * Whether a step of a service of the host needs root: it writes below /etc, /opt or /var, gives files to the service, asks or tells
 * systemd, or reads a key that only root may read. In every other scope none does. Pure.
 */
export function needsRoot({ action }: Step, stateDir: string): boolean {
  return scopeOf(stateDir) === 'system' && action.type !== 'adopt';
}

/** The ids of those steps. Pure. */
export function stepsForRoot({ steps }: Plan, stateDir: string): readonly string[] {
  return steps.filter((step) => needsRoot(step, stateDir)).map(({ id }) => id);
}
