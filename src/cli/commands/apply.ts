import { resolve } from 'node:path';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { deploymentSchema } from '../../deployment/schema.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { describeMoves, parseSavedPlan } from '../../plan/saved-plan.ts';
import { changeHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { hostOf } from '../render-host.ts';
import { readWanted } from '../deployment-folder.ts';
import { describeEndpoint } from '../output/endpoint-summary.ts';

/** `mcp-deploy apply [PLAN]`: this machine becomes what mcp-deploy.yaml (or a saved plan) says, or stays as it was. */
export async function runApply(
  context: CommandContext,
  [planFile]: readonly string[],
  options: Record<string, unknown>,
): Promise<number> {
  if (planFile !== undefined) return applySavedPlan(context, resolve(context.world.cwd, planFile), options);
  const startedAt = context.ports.clock.elapsed();
  const { deployment, deploymentText, placed } = await readWanted(context);
  const outcome = await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment, placed);
    return {
      plan: planDeployment(
        {
          deployment,
          deploymentText,
          adopt: options['adopt'] === true,
          ...(placed === undefined ? {} : { placed }),
          ...hostOf(context, deployment),
        },
        facts,
      ),
      facts,
    };
  });
  await describeEndpoint(context, { deployment, outcome, tookMs: context.ports.clock.elapsed() - startedAt });
  return 0;
}

/** Does exactly what a plan of `plan -o` says, as long as nothing has moved since. */
async function applySavedPlan(
  context: CommandContext,
  file: string,
  options: Record<string, unknown>,
): Promise<number> {
  if (options['adopt'] === true) {
    throw new UserError('--adopt belongs to the making of a plan.', { next: `mcp-deploy plan --adopt -o ${file}` });
  }
  const startedAt = context.ports.clock.elapsed();
  const text = (await context.here.read(file))?.toString('utf8');
  if (text === undefined) throw new UserError(`${file} is not there.`, { next: `mcp-deploy plan -o ${file}` });
  const saved = parseSavedPlan(text, file);
  const deployment = deploymentSchema.parse(saved.plan.desired);
  const outcome = await changeHost(context, 'apply', async (look) => {
    const facts = await look(deployment);
    const moved = describeMoves(saved, facts);
    if (moved.length > 0) {
      throw new EnvironmentError('This plan does not fit any more; nothing was changed.', {
        why: `Changed since it was made: ${moved.slice(0, 6).join(', ')}${moved.length > 6 ? ` and ${moved.length - 6} more` : ''}.`,
        next: `mcp-deploy plan -o ${file}`,
      });
    }
    return { plan: saved.plan, facts };
  });
  await describeEndpoint(context, { deployment, outcome, tookMs: context.ports.clock.elapsed() - startedAt });
  return 0;
}
