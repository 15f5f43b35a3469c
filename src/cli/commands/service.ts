import { UserError } from '../../deployment/errors.ts';
import { planRestart, planStart, planStop } from '../../plan/plan-service.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import { changeHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';

/** `mcp-deploy start|stop|restart`: small plans on the same rails as apply. */
export async function runService(context: CommandContext, purpose: 'start' | 'stop' | 'restart'): Promise<number> {
  const deployment = await readAppliedDeployment(context);
  if (deployment === null) {
    throw new UserError(`There is nothing to ${purpose}: no deployment was applied in ${context.baseDir}.`, {
      next: 'mcp-deploy up',
    });
  }
  const planFor = { start: planStart, stop: planStop, restart: planRestart }[purpose];
  const outcome = await changeHost(context, purpose, async (look) => {
    const facts = await look(deployment);
    return { plan: planFor(facts, deployment), facts };
  });
  const changed = outcome.plan.steps.length > 0;
  const url = endpointUrl(deployment);
  context.output.document({ ok: true, changed, state: purpose === 'stop' ? 'stopped' : 'running', url });
  context.output.result(serviceText(purpose, changed, url));
  return 0;
}

function serviceText(purpose: 'start' | 'stop' | 'restart', changed: boolean, url: string): string {
  if (purpose === 'stop') return changed ? '  Stopped.   mcp-deploy start' : '  It was not running.   mcp-deploy start';
  return changed ? `  Running at ${url}   mcp-deploy status` : `  It is running already at ${url}   mcp-deploy status`;
}
