import type { Desired } from './desired.ts';
import type { HostFacts } from './facts.ts';
import type { AdoptedFile, Notice, Plan, Step } from './types.ts';

/** What a planner made, to be a release. */
export interface ReleaseParts {
  readonly steps: readonly Step[];
  readonly notices: readonly Notice[];
  readonly adopted: readonly AdoptedFile[];
  /** What is live afterwards. */
  readonly live: Pick<Plan, 'build' | 'sent' | 'started' | 'image'>;
}

/** The plan that makes a release; one without steps leaves the release that is. */
export function releasePlan(desired: Desired, facts: HostFacts, parts: ReleaseParts): Plan {
  const { adopted, live, notices, steps } = parts;
  const release = facts.release?.release ?? 0;
  return {
    schemaVersion: 1,
    deployment: desired.deployment.name,
    purpose: 'apply',
    release: steps.length === 0 ? release : release + 1,
    steps,
    notices,
    desired: JSON.parse(JSON.stringify(desired.deployment)) as unknown,
    ...live,
    ...(adopted.length === 0 ? {} : { adopted }),
    ...(desired.rollbackOf === undefined || steps.length === 0 ? {} : { rollbackOf: desired.rollbackOf }),
  };
}
