import { relative } from 'node:path';
import { describePlan } from '../../plan/describe-plan.ts';
import type { HostFacts } from '../../plan/facts.ts';
import { planRemoval } from '../../plan/plan-removal.ts';
import { parseTimerRecord, timerRecordFile, timerRemovalSteps } from '../../plan/timer-record.ts';
import type { Plan } from '../../plan/types.ts';
import { changeHost, lookAtHost } from '../apply-desired.ts';
import { confirmOrRefuse } from '../confirm.ts';
import type { CommandContext } from '../context.ts';

/** `mcp-deploy uninstall`: removes exactly what was made here. The user's own files stay. */
export async function runUninstall(context: CommandContext): Promise<number> {
  const { output, ports, stateDir } = context;
  if ((await ports.files.stat(stateDir)) === null) {
    output.document({ ok: true, changed: false });
    output.result('  Nothing to remove: there is no deployment in this folder.');
    return 0;
  }
  if (context.interactive) {
    const preview = await lookAtHost(context, null);
    output.progress(describePlan(await planWithTimer(context, preview), preview));
  }
  const folder = relative(context.world.cwd, stateDir) || stateDir;
  const agreed = await confirmOrRefuse(
    context,
    `Stop the server and remove ${folder} with its keys and certificates? This cannot be undone.`,
    'uninstall',
  );
  if (!agreed) {
    output.result('  Nothing was removed.');
    return 0;
  }
  const outcome = await changeHost(context, 'uninstall', async (look) => {
    const facts = await look(null);
    return { plan: await planWithTimer(context, facts), facts };
  });
  output.document({ ok: true, changed: true, notices: outcome.plan.notices });
  const kept = outcome.plan.notices.some((notice) => notice.text.endsWith('stays.'));
  output.result(
    `  Removed: server, keys, certificates and configuration. ${kept ? 'What is yours stays.' : 'This folder is as it was before.'}`,
  );
  return 0;
}

/** The renewal timer first: it must not run while what it renews is taken away. */
async function planWithTimer({ ports, stateDir }: CommandContext, facts: HostFacts): Promise<Plan> {
  const plan = planRemoval(facts);
  const text = (await ports.files.read(timerRecordFile(stateDir)))?.toString('utf8') ?? null;
  const record = text === null ? null : parseTimerRecord(text, stateDir);
  if (record === null) return plan;
  const now = new Map<string, string | null>();
  for (const { path } of record.files) now.set(path, (await ports.files.read(path))?.toString('utf8') ?? null);
  const { steps, kept } = timerRemovalSteps(record, (path) => now.get(path) ?? null);
  const notices = kept.map((path) => ({
    level: 'warning' as const,
    text: `${path} was changed since it was written; the renewal timer stays.`,
  }));
  return { ...plan, steps: [...steps, ...plan.steps], notices: [...plan.notices, ...notices] };
}
