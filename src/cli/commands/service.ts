import { UserError } from '../../deployment/errors.ts';
import { deploymentSchema, type Deployment } from '../../deployment/schema.ts';
import { planContainerService } from '../../plan/plan-container-service.ts';
import { planSystemService } from '../../plan/plan-system-service.ts';
import { planRestart, planStart, planStop } from '../../plan/plan-service.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import { changeHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { isInContainers } from '../render-containers.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';

/** `mcp-deploy start|stop|restart`: small plans on the same rails as apply. */
export async function runService(context: CommandContext, purpose: 'start' | 'stop' | 'restart'): Promise<number> {
  const deployment = await readAppliedDeployment(context);
  if (purpose === 'stop') return stop(context, deployment);
  if (deployment === null) throw nothingTo(purpose, context);
  const planFor = { start: planStart, restart: planRestart }[purpose];
  const outcome = await changeHost(context, purpose, async (look) => {
    const facts = await look(deployment);
    const isHost = facts.system !== undefined;
    if (isInContainers(deployment)) return { plan: planContainerService(purpose, facts, deployment), facts };
    return { plan: isHost ? planSystemService(purpose, facts) : planFor(facts, deployment), facts };
  });
  const changed = outcome.plan.steps.length > 0;
  const url = endpointUrl(deployment);
  context.output.document({ ok: true, changed, state: 'running', url });
  context.output.result(
    changed ? `  Running at ${url}   mcp-deploy status` : `  It is running already at ${url}   mcp-deploy status`,
  );
  return 0;
}

/** What runs can be stopped, also when the records or the keys of its deployment are lost or damaged. */
async function stop(context: CommandContext, deployment: Deployment | null): Promise<number> {
  const { ports, output, stateDir } = context;
  const before = await ports.processes.serverState(deploymentPaths(stateDir).pidFile);
  if (deployment === null && before.state === 'stopped') throw nothingTo('stop', context);
  const outcome = await changeHost(context, 'stop', async (look) => {
    const facts = await look(null);
    if (facts.system !== undefined) return { plan: planSystemService('stop', facts), facts };
    if (deployment !== null && isInContainers(deployment))
      return { plan: planContainerService('stop', facts, deployment), facts };
    return { plan: planStop(facts, deployment ?? deploymentSchema.parse({ version: 1 })), facts };
  });
  const changed = outcome.plan.steps.length > 0;
  const next = deployment === null ? 'mcp-deploy up' : 'mcp-deploy start';
  output.document({ ok: true, changed, state: 'stopped', url: deployment === null ? null : endpointUrl(deployment) });
  output.result(changed ? `  Stopped.   ${next}` : `  It was not running.   ${next}`);
  return 0;
}

function nothingTo(purpose: string, context: CommandContext): UserError {
  return new UserError(`There is nothing to ${purpose}: no deployment was applied in ${context.baseDir}.`, {
    next: 'mcp-deploy up',
  });
}
