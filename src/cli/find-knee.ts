import type { LoadResult } from '../host/load/run-load.ts';

/** Where more connections stop giving more calls. */
export interface Knee {
  readonly connections: number;
  readonly callsPerSecond: number;
}

/** Twice the connections that give less than this more are no gain. */
const worthwhile = 1.15;

/**
 * The step after which more connections gave less than 15 % more calls; null while every step still gave more.
 * A step with mistakes counts as no gain. Pure.
 */
export function findKnee(
  steps: readonly Pick<LoadResult, 'connections' | 'callsPerSecond' | 'errors' | 'rateLimited'>[],
): Knee | null {
  for (const [at, { connections, callsPerSecond }] of steps.entries()) {
    const next = steps[at + 1];
    if (next === undefined) return null;
    const failed = Object.keys(next.errors).length > 0 || next.rateLimited > 0;
    if (failed || next.callsPerSecond < callsPerSecond * worthwhile) return { connections, callsPerSecond };
  }
  return null;
}

/** 1, 2, 4 … up to this many. */
export function planSteps(most: number): readonly number[] {
  const steps: number[] = [];
  for (let connections = 1; connections < most; connections *= 2) steps.push(connections);
  return [...steps, most];
}
