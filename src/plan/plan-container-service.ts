import { UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import type { HostFacts } from './facts.ts';
import { refuseEngine, refuseOthersContainers, requireContainers } from './container-engine.ts';
import { projectName } from './container-plan.ts';
import { requireCluster } from './plan-kubernetes.ts';
import { composeProject } from './plan-containers.ts';
import type { Plan } from './types.ts';

/** Starts, stops or restarts the containers that were applied. */
export function planContainerService(
  purpose: 'start' | 'stop' | 'restart',
  facts: HostFacts,
  deployment: Deployment,
): Plan {
  if (deployment.service.manager === 'kubernetes') throw notHere(purpose, facts);
  const containers = requireContainers(facts);
  refuseEngine(containers);
  refuseOthersContainers(containers, deployment.name);
  if (deployment.service.manager === 'swarm') {
    throw new UserError(
      `A stack is not ${purpose === 'stop' ? 'stopped' : `${purpose}ed`}: Swarm keeps its copies running.`,
      {
        next:
          purpose === 'restart'
            ? `docker service update --force ${projectName(deployment)}_server`
            : 'mcp-deploy apply        or: mcp-deploy uninstall',
        exitCode: 3,
      },
    );
  }
  const { compose } = containers;
  if (compose === null || containers.containers.length === 0) {
    throw new UserError(`There is nothing to ${purpose}: no container of this deployment is here.`, {
      next: 'mcp-deploy apply',
      exitCode: 3,
    });
  }
  const project = composeProject(deployment, facts.stateDir, compose.argv);
  const isDone =
    purpose !== 'restart' && containers.containers.every(({ running }) => running === (purpose === 'start'));
  return {
    schemaVersion: 1,
    deployment: deployment.name,
    purpose,
    release: facts.release?.release ?? 0,
    steps: isDone
      ? []
      : [
          {
            id: `${purpose}-containers`,
            title: `${purpose} the containers`,
            why: 'asked for',
            group: 'server',
            action: { type: 'containers', project, at: purpose },
            undo: { type: 'restore-containers', project },
          },
        ],
    notices: [],
    desired: facts.release?.desired ?? null,
  };
}

/** A cluster keeps as many copies running as are wanted; pausing them is for whoever looks after it. */
function notHere(purpose: 'start' | 'stop' | 'restart', facts: HostFacts): UserError {
  const { kubectl, app } = requireCluster(facts).cluster;
  const words = purpose === 'stop' ? 'stopped' : `${purpose}ed`;
  return new UserError(`A Deployment is not ${words}: the cluster keeps its copies running.`, {
    next:
      purpose === 'restart'
        ? `${kubectl.join(' ')} rollout restart deployment/${app}`
        : 'mcp-deploy apply        or: mcp-deploy uninstall',
    exitCode: 3,
  });
}
