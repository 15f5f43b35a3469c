import { UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import type { HostFacts } from './facts.ts';

/** A cluster that is forgotten goes on serving, and so do containers that a cluster takes over from. */
export function refuseOtherManager({ service }: Deployment, { release }: HostFacts): void {
  const before = (release?.desired as Partial<Deployment> | null | undefined)?.service?.manager ?? 'none';
  const managers = [before, service.manager];
  if (before === service.manager || before === 'none' || !managers.includes('kubernetes')) return;
  throw new UserError(
    `This deployment runs by ${managers[0] ?? ''}, and mcp-deploy.yaml says ${managers[1] ?? ''} now.`,
    {
      why: `Release ${release?.release ?? 0} would go on beside it, with nobody who looks after it.`,
      next: 'mcp-deploy uninstall        then: mcp-deploy apply',
      exitCode: 3,
    },
  );
}

/** Two servers with the same keys, of which one is forgotten, is what nobody wants. */
export function refuseContainersLeft({ release, containers }: HostFacts): void {
  if (release?.image === undefined || containers === undefined) return;
  throw new UserError('This deployment runs in containers, and mcp-deploy.yaml does not ask for them any more.', {
    why: `Release ${release.release} has them; service.manager names something else now.`,
    next: 'mcp-deploy uninstall        then: mcp-deploy apply',
    exitCode: 3,
  });
}
