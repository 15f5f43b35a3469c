import type { Deployment } from '../deployment/schema.ts';
import type { TargetInput } from '../targets/types.ts';
import type { WantedNames } from './certificate-names.ts';
import type { ContainerPlan, ContainerWishes } from './container-plan.ts';
import type { Desired } from './desired.ts';
import type { HostFacts } from './facts.ts';
import { adoptSteps } from './managed-file.ts';
import { clearContainerSteps, planContainers } from './plan-containers.ts';
import { deploymentFileSteps } from './plan-deployment-file.ts';
import { firstKeySteps } from './plan-first-key.ts';
import { clearClusterSteps, planKubernetes } from './plan-kubernetes.ts';
import { planNotices } from './plan-notices.ts';
import { clearSwarmSteps, planSwarm } from './plan-swarm.ts';
import { unverifiedNotices, verifySteps } from './plan-verification.ts';
import { refuseOtherManager } from './refuse-other-manager.ts';
import { releasePlan } from './release-plan.ts';
import type { Plan, Step } from './types.ts';

/** A deployment in containers: by Compose, in a swarm or in a cluster, behind the same keys and certificates. */
export function planContainerDeployment(
  desired: Desired,
  parts: { readonly input: TargetInput; readonly certificates: readonly Step[]; readonly wanted: WantedNames },
  facts: HostFacts,
): Plan {
  const { deployment } = desired;
  const { certificates, input, wanted } = parts;
  const keys = firstKeySteps(deployment, facts);
  const wishes: ContainerWishes = {
    input,
    adopt: desired.adopt === true,
    changes: { keys: keys.length > 0, certificate: certificates.length > 0 },
    ...(desired.image === undefined ? {} : { image: desired.image }),
  };
  refuseOtherManager(deployment, facts);
  const { plan, clear } = plannersOf(deployment);
  const containers = plan(wishes, facts);
  return releasePlan(desired, facts, {
    steps: [
      ...deploymentFileSteps(desired, facts),
      ...keys,
      ...certificates,
      ...containers.steps,
      ...adoptSteps(containers.adopted),
      ...(containers.serves ? [...verifySteps(deployment, facts, keys.length > 0), ...clear(wishes, facts)] : []),
    ],
    notices: [
      ...planNotices(deployment, wanted, facts),
      ...containers.notices,
      ...(containers.serves ? unverifiedNotices(deployment, facts, keys.length > 0) : []),
    ],
    adopted: containers.adopted,
    live: containers.image === null ? {} : { image: containers.image },
  });
}

function plannersOf({ service }: Deployment): {
  readonly plan: (wishes: ContainerWishes, facts: HostFacts) => ContainerPlan;
  readonly clear: (wishes: ContainerWishes, facts: HostFacts) => readonly Step[];
} {
  switch (service.manager) {
    case 'kubernetes':
      return { plan: planKubernetes, clear: clearClusterSteps };
    case 'swarm':
      return { plan: planSwarm, clear: clearSwarmSteps };
    case 'docker':
    case 'none':
    case 'systemd':
    case 'systemd-user':
    case 'launchd':
      return { plan: planContainers, clear: clearContainerSteps };
  }
}
