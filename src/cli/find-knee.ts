import type { LoadResult } from '../host/load/run-load.ts';

/** Where more connections stop giving more calls. */
export interface Knee {
  readonly connections: number;
  readonly callsPerSecond: number;
}

/** Twice the connections that give less than this more are no gain. */
const worthwhile = 1.15;

/** One step that brings nothing may be a machine that was busy with something else. */
const stepsInVain = 2;

/**
 * The step that no later one beats by 15 % or more, two of them at least or the last one; null while every step still
 * gave more. Where calls go wrong or a limit holds them back, it ends at once. Pure.
 */
export function findKnee(
  steps: readonly Pick<LoadResult, 'connections' | 'callsPerSecond' | 'errors' | 'rateLimited'>[],
): Knee | null {
  const [first, ...later] = steps;
  if (first === undefined) return null;
  let best = first;
  let inVain = 0;
  for (const step of later) {
    const failed = Object.keys(step.errors).length > 0 || step.rateLimited > 0;
    if (!failed && step.callsPerSecond >= best.callsPerSecond * worthwhile) {
      best = step;
      inVain = 0;
      continue;
    }
    inVain++;
    if (failed || inVain >= stepsInVain) break;
  }
  return inVain === 0 ? null : { connections: best.connections, callsPerSecond: best.callsPerSecond };
}

/** Whether more connections would tell nothing new. */
export function isSaturated(steps: Parameters<typeof findKnee>[0]): boolean {
  const knee = findKnee(steps);
  if (knee === null) return false;
  const last = steps.at(-1);
  const failed = last !== undefined && (Object.keys(last.errors).length > 0 || last.rateLimited > 0);
  return (
    failed || steps.length - 1 - steps.findIndex(({ connections }) => connections === knee.connections) >= stepsInVain
  );
}

/** 1, 2, 4 … up to this many. */
export function planSteps(most: number): readonly number[] {
  const steps: number[] = [];
  for (let connections = 1; connections < most; connections *= 2) steps.push(connections);
  return [...steps, most];
}
