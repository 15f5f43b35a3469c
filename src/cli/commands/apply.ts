import { planDeployment } from '../../plan/plan-deployment.ts';
import { changeHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { requireDeployment } from '../deployment-folder.ts';
import { describeEndpoint } from '../output/endpoint-summary.ts';

/** `mcp-deploy apply`: this machine becomes what mcp-deploy.yaml says, or stays as it was. */
export async function runApply(context: CommandContext): Promise<number> {
  const startedAt = context.ports.clock.elapsed();
  const { deployment } = await requireDeployment(context);
  const outcome = await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment);
    return { plan: planDeployment({ deployment, deploymentText: null }, facts), facts };
  });
  await describeEndpoint(context, { deployment, outcome, tookMs: context.ports.clock.elapsed() - startedAt });
  return 0;
}
