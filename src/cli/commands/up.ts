import { ExplainedError } from '../../deployment/errors.ts';
import { findPortHolder } from '../../host/port-holder.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { changeHost, type Outcome } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { hostOf } from '../render-host.ts';
import { decideWanted, type Wanted } from '../decide-wanted.ts';
import { describeEndpoint } from '../output/endpoint-summary.ts';

/** How often a port that was free when it was chosen, and taken when the server wanted it, is replaced by another. */
const mostPorts = 3;

/** `mcp-deploy up [-- COMMAND]`: everything that is missing is made, then the endpoint is proven. */
export async function runUp(context: CommandContext, options: Record<string, unknown>): Promise<number> {
  const startedAt = context.ports.clock.elapsed();
  for (let attempt = 1; ; attempt += 1) {
    const tried = await tryUp(context, options);
    if ('outcome' in tried) {
      const { wanted, outcome } = tried;
      const tookMs = context.ports.clock.elapsed() - startedAt;
      await describeEndpoint(context, { deployment: wanted.deployment, outcome, tookMs });
      return 0;
    }
    if (attempt === mostPorts || !(await wasOutrun(tried.wanted))) throw tried.error;
  }
}

type Tried =
  | { readonly wanted: Wanted; readonly outcome: Outcome }
  | { readonly wanted: Wanted | null; readonly error: ExplainedError };

async function tryUp(context: CommandContext, options: Record<string, unknown>): Promise<Tried> {
  const decided: { wanted: Wanted | null } = { wanted: null };
  try {
    const outcome = await changeHost(context, 'apply', async (look) => {
      const wanted = await decideWanted(context, options);
      decided.wanted = wanted;
      for (const remark of wanted.remarks) context.output.progress(`  ${context.output.err.yellow('·')} ${remark}`);
      const facts = await look(wanted.deployment);
      return {
        plan: planDeployment(
          { deployment: wanted.deployment, deploymentText: wanted.text, ...hostOf(context, wanted.deployment) },
          facts,
        ),
        facts,
      };
    });
    if (decided.wanted === null) throw new Error('up was applied without a deployment');
    return { wanted: decided.wanted, outcome };
  } catch (error) {
    if (error instanceof ExplainedError) return { wanted: decided.wanted, error };
    throw error;
  }
}

/** Whether another program took the port between our look and the server's start; everything is undone by now. */
async function wasOutrun(wanted: Wanted | null): Promise<boolean> {
  return wanted !== null && wanted.chosenPort !== null && (await findPortHolder(wanted.chosenPort)).taken;
}
