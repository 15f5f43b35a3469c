import { readUnfinished } from '../../apply/recover.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import { hideSecretArguments } from '../../deployment/secrets-in-arguments.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { lookAtHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { decideWanted } from '../decide-wanted.ts';
import { quoteCommand } from '../quote-command.ts';

/** `mcp-deploy plan`: shows what apply would change. Reads only. */
export async function runPlan(context: CommandContext, options: Record<string, unknown>): Promise<number> {
  const unfinished = await readUnfinished({ ports: context.ports, stateDir: context.stateDir });
  if (unfinished !== null) {
    context.output.warning(
      `an earlier ${unfinished.purpose} was cut off; the next change undoes it first, so this plan may differ`,
    );
  }
  const wanted = await decideWanted(context, {});
  const facts = await lookAtHost(context, wanted.deployment);
  const plan = planDeployment({ deployment: wanted.deployment, deploymentText: wanted.text }, facts);
  context.output.document({ ok: true, changes: plan.steps.length, plan });
  // apply does what the file says; a file that is not written yet, or differs, is what `up` writes.
  const upCommand = [
    'mcp-deploy up',
    ...(context.serverCommand === null ? [] : ['--', quoteCommand(hideSecretArguments(context.serverCommand, '…'))]),
  ];
  context.output.result(describePlan(plan, facts, wanted.text === null ? 'mcp-deploy apply' : upCommand.join(' ')));
  return options['check'] === true && plan.steps.length > 0 ? 1 : 0;
}
