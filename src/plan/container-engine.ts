import { EnvironmentError } from '../deployment/errors.ts';
import type { ContainerFacts } from './container-facts.ts';
import type { HostFacts } from './facts.ts';

/** What was seen of the container engine. @throws Error where nobody looked */
export function requireContainers({ containers }: Pick<HostFacts, 'containers'>): ContainerFacts {
  if (containers === undefined) throw new Error('a plan for containers without facts of their engine');
  return containers;
}

/**
 * Compose and Swarm know what belongs together by its name alone: two folders with one name would take each other's containers.
 * @throws EnvironmentError (exit 3)
 */
export function refuseOthersContainers({ othersFolder }: ContainerFacts, name: string): void {
  if (othersFolder === undefined) return;
  throw new EnvironmentError(`Containers of another deployment have the name ${name}.`, {
    why: `They belong to ${othersFolder}, and would be replaced.`,
    next: 'Set another name in mcp-deploy.yaml (restore: --name NAME), or run mcp-deploy uninstall there first.',
  });
}

/** @throws EnvironmentError (exit 3) in one sentence for each way in which the engine is of no use */
export function refuseEngine({ engine }: ContainerFacts): void {
  switch (engine.state) {
    case 'ready':
      return;
    case 'absent':
      throw new EnvironmentError('There is no docker on this machine.', {
        why: 'mcp-deploy.yaml asks for it (service.manager).',
        next: 'apt-get install docker.io docker-compose        or set service.manager: none',
      });
    case 'denied':
      throw new EnvironmentError('You may not use Docker on this machine.', {
        why: 'Its socket is for root and for members of the group docker, who are as good as root.',
        next: 'sudo mcp-deploy apply',
      });
    case 'silent':
      throw new EnvironmentError('The Docker engine does not answer.', {
        ...(engine.words === '' ? {} : { why: engine.words }),
        next: 'sudo systemctl start docker',
      });
  }
}
