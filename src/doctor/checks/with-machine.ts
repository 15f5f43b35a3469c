import type { MachineSeen } from '../machine-observations.ts';
import type { Observations } from '../observations.ts';
import type { Verdict } from '../types.ts';
import { notApplicable, notSeen } from './endpoint-check.ts';

/** Judges what was seen of the machine of an own deployment; elsewhere nothing of it applies. */
export function withMachine({ machine, target }: Observations, judge: (machine: MachineSeen) => Verdict): Verdict {
  if (!target.own) return notApplicable('the machine of the server is not this one');
  if (machine.status === 'ok') return judge(machine);
  return machine.status === 'skipped' ? notApplicable(machine.reason) : notSeen(machine);
}
