import type { Deployment } from '../deployment/schema.ts';
import type { HostFacts } from './facts.ts';
import { personalServiceStep, requirePersonal } from './personal-service.ts';
import type { BuildPlan } from './plan-build.ts';
import { refuseTakenPorts, runFolderSteps, stopStep, waitSteps } from './plan-service.ts';
import { verifySteps } from './plan-verification.ts';
import type { Step } from './types.ts';

/** The server that a service manager of this person starts: another configuration is taken by a reload. */
export function personalServerSteps(
  deployment: Deployment,
  configSha256: string,
  facts: HostFacts,
  changes: {
    readonly certificatesChange: boolean;
    readonly keyChanges: boolean;
    readonly unit: boolean;
    readonly build: BuildPlan;
  },
): readonly Step[] {
  const { server } = facts;
  const { isActive, unit, manager } = requirePersonal(facts);
  const version = changes.build.build?.version ?? facts.serverVersion;
  const isOther = server.state === 'running' && (changes.build.serverChanges || server.version !== version);
  const isOutdated = server.state === 'running' && server.configSha256 !== configSha256;
  const at =
    !isActive || server.state === 'stopped'
      ? 'start'
      : changes.unit || isOther
        ? 'restart'
        : isOutdated
          ? 'reload'
          : null;
  if (at === null && !changes.certificatesChange) return [];
  if (at !== null) refuseTakenPorts(facts, deployment);
  const why = !isActive
    ? 'not running'
    : changes.unit
      ? 'its file changed'
      : isOther
        ? 'another version'
        : 'its configuration changed';
  const wait = waitSteps(facts, deployment, 'before anything counts on it').map((step): Step =>
    step.action.type === 'wait-until-ready'
      ? { ...step, action: { ...step.action, unit, manager, configSha256 } }
      : step,
  );
  return [
    ...runFolderSteps(facts),
    // A process of this folder, from before it was a service.
    ...(server.state === 'running' && !isActive
      ? [stopStep(facts, deployment, 'the service manager starts it from now on')]
      : []),
    ...(at === null ? [] : [personalServiceStep(facts, at === 'start' && isActive ? 'restart' : at, why)]),
    ...wait,
    ...verifySteps(deployment, facts, changes.keyChanges),
  ];
}
