import { describePlan } from '../../plan/describe-plan.ts';
import { changeHost, lookAtHost } from '../apply-desired.ts';
import { confirmOrRefuse } from '../confirm.ts';
import type { CommandContext } from '../context.ts';
import { planWithTimer } from './uninstall.ts';

/** A service of the host: keys, logs and data stay unless they are purged. */
export async function uninstallService(context: CommandContext, purge: boolean): Promise<number> {
  const { output } = context;
  const preview = await lookAtHost(context, null);
  const planned = await planWithTimer(context, preview, purge);
  if (planned.steps.length === 0 && (planned.purge ?? []).length === 0) {
    output.document({ ok: true, changed: false });
    output.result('  Nothing to remove: this deployment is not installed.');
    return 0;
  }
  if (context.interactive) output.progress(describePlan(planned, preview));
  const what = purge ? 'its keys, certificates, logs and data' : 'its files; keys, logs and data stay';
  if (!(await confirmOrRefuse(context, `Stop the service and remove ${what}?`, 'uninstall'))) {
    output.result('  Nothing was removed.');
    return 0;
  }
  const outcome = await changeHost(context, 'uninstall', async (look) => {
    const facts = await look(null);
    return { plan: await planWithTimer(context, facts, purge), facts };
  });
  output.document({ ok: true, changed: true, notices: outcome.plan.notices });
  output.result(`  Removed: service and configuration${purge ? ', keys, certificates, logs and data' : ''}.`);
  return 0;
}
