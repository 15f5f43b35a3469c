import { relative, resolve } from 'node:path';
import { readUnfinished } from '../../apply/recover.ts';
import { describeDrift } from '../../plan/describe-drift.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import { hideSecretArguments } from '../../deployment/secrets-in-arguments.ts';
import { stepsForRoot } from '../../plan/needs-root.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { planForStage } from '../../plan/staged-plan.ts';
import { savedPlanText } from '../../plan/saved-plan.ts';
import { lookAtHost } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { hostOf } from '../render-host.ts';
import { decideWanted } from '../decide-wanted.ts';
import { quoteCommand } from '../quote-command.ts';

/** `mcp-deploy plan [-o FILE] [--check]`: shows what apply would change. Changes nothing on the host. */
export async function runPlan(context: CommandContext, options: Record<string, unknown>): Promise<number> {
  const unfinished = await readUnfinished({ ports: context.ports, stateDir: context.stateDir });
  if (unfinished !== null) {
    context.output.warning(
      `an earlier ${unfinished.purpose} was cut off; the next change undoes it first, so this plan may differ`,
    );
  }
  const wanted = await decideWanted(context, {});
  const facts = await lookAtHost(context, wanted.deployment, wanted.placed);
  const whole = planDeployment(
    {
      deployment: wanted.deployment,
      deploymentText: wanted.text,
      ...(wanted.placed === undefined ? {} : { placed: wanted.placed }),
      adopt: options['adopt'] === true,
      ...hostOf(context, wanted.deployment),
    },
    facts,
  );
  const plan = context.stageDir === null ? whole : planForStage(whole, facts);
  const drift = describeDrift(facts).filter(({ state }) => state !== 'as written');
  // apply does what the file says; a file that is not written yet, or differs, is what `up` writes.
  const upCommand = [
    'mcp-deploy up',
    ...(context.serverCommand === null ? [] : ['--', quoteCommand(hideSecretArguments(context.serverCommand, '…'))]),
  ];
  const file = typeof options['output'] === 'string' ? resolve(context.world.cwd, options['output']) : null;
  if (file !== null) {
    const text = savedPlanText(plan, facts, { toolVersion: context.package.version });
    await context.here.writeAtomic(file, text, 0o600);
  }
  const applyCommand =
    file !== null
      ? `mcp-deploy apply ${relative(context.world.cwd, file)}`
      : wanted.text === null || context.deploymentSource !== null
        ? `mcp-deploy apply${fromFlag(context)}${options['adopt'] === true ? ' --adopt' : ''}`
        : upCommand.join(' ');
  context.output.document({
    ok: true,
    changes: plan.steps.length,
    drift,
    needsRoot: stepsForRoot(plan, context.stateDir),
    plan,
    ...(file === null ? {} : { file }),
  });
  context.output.result(describePlan(plan, facts, applyCommand));
  return options['check'] === true && (plan.steps.length > 0 || drift.length > 0) ? 1 : 0;
}

function fromFlag({ deploymentSource, world }: CommandContext): string {
  return deploymentSource === null ? '' : ` --from ${quoteCommand([relative(world.cwd, deploymentSource)])}`;
}
