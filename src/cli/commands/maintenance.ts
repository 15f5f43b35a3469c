import { pruneReleases } from '../../apply/prune-releases.ts';
import { ExplainedError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import {
  judgeMaintenance,
  type MaintenanceItem,
  type MaintenanceTask,
  type MaintenanceTurn,
} from '../../plan/judge-maintenance.ts';
import { withLock } from '../apply-desired.ts';
import type { CommandContext } from '../context.ts';
import { silenced } from '../copy-context.ts';
import type { FlagValues } from '../flag-values.ts';
import { readMaintenanceFacts } from '../maintenance-facts.ts';
import { noteMaintenance } from '../maintenance-record.ts';
import { findTrimmable } from '../trim-disk.ts';

interface Done {
  readonly task: MaintenanceTask;
  readonly ok: boolean;
  readonly said: string;
}

/** `mcp-deploy maintenance`: what is due and how to do it; with --run, what needs nobody is done. Exit 1 while something is due. */
export async function runMaintenance(context: CommandContext, options: FlagValues): Promise<number> {
  const { facts, deployment } = await readMaintenanceFacts(context);
  let items = judgeMaintenance(facts);
  const done: Done[] = [];
  if (options['run'] === true) {
    const tasks = [...new Set(items.flatMap(({ task }) => task ?? []))];
    for (const task of tasks) {
      context.signal.throwIfAborted();
      done.push(await attempt(context, deployment, task));
    }
    if (tasks.length > 0) items = judgeMaintenance((await readMaintenanceFacts(context)).facts);
  }
  const due = items.filter((item) => item.due);
  const failed = done.some(({ ok }) => !ok);
  context.output.document({ ok: due.length === 0 && !failed, due: due.length, items, done });
  context.output.result(describe(context, items, done).join('\n'));
  return due.length === 0 && !failed ? 0 : 1;
}

async function attempt(context: CommandContext, deployment: Deployment | null, task: MaintenanceTask): Promise<Done> {
  const { output } = context;
  try {
    const { ok, said } = await run(context, deployment, task);
    if (task === 'doctor' || task === 'audit') await noteMaintenance(context, task, { ok, said });
    output.progress(`  ${ok ? output.err.green('✓') : output.err.red('✗')} ${task.padEnd(12)}${said}`);
    return { task, ok, said };
  } catch (error) {
    if (!(error instanceof ExplainedError) || context.signal.aborted) throw error;
    output.progress(`  ${output.err.red('✗')} ${task.padEnd(12)}${error.message}`);
    return { task, ok: false, said: error.message };
  }
}

/** What each one is, as a person would do it. */
async function run(
  context: CommandContext,
  deployment: Deployment | null,
  task: MaintenanceTask,
): Promise<{ readonly ok: boolean; readonly said: string }> {
  const silent = silenced({ ...context, interactive: false, yes: true });
  switch (task) {
    case 'backup': {
      const { runBackupCreate } = await import('./backup-create.ts');
      await runBackupCreate(silent, {});
      return { ok: true, said: 'made' };
    }
    case 'certificate': {
      const { runCertRenew } = await import('./cert-renew.ts');
      await runCertRenew(silent, {});
      return { ok: true, said: 'renewed where it was due, served and proven' };
    }
    case 'doctor': {
      const { runDoctorCommand } = await import('./doctor.ts');
      const exitCode = await runDoctorCommand(silent, undefined, {});
      return {
        ok: exitCode === 0,
        said: exitCode === 0 ? 'nothing is wrong' : 'something is wrong: mcp-deploy doctor',
      };
    }
    case 'audit': {
      const { runAuditVerify } = await import('./audit.ts');
      const exitCode = await runAuditVerify(silent, [], {});
      return {
        ok: exitCode === 0,
        said: exitCode === 0 ? 'no line was changed' : 'a line was changed: mcp-deploy audit verify',
      };
    }
    case 'trim': {
      const found = await findTrimmable(context, deployment);
      await withLock(context, 'maintenance', async () => {
        for (const { path } of found) await context.ports.files.removeFile(path);
      });
      return { ok: true, said: `${found.length} files removed` };
    }
    case 'releases': {
      const keep = deployment?.service.keepReleases ?? 10;
      await withLock(context, 'maintenance', () => pruneReleases(context.ports, context.stateDir, keep));
      return { ok: true, said: `the newest ${keep} are kept` };
    }
  }
}

const turns: readonly MaintenanceTurn[] = ['daily', 'weekly', 'monthly', 'quarterly'];

function describe({ output }: CommandContext, items: readonly MaintenanceItem[], done: readonly Done[]): string[] {
  const { green, yellow, bold } = output.out;
  const titleWidth = Math.max(...items.map(({ title }) => title.length));
  const detailWidth = Math.max(...items.map(({ detail }) => detail.length));
  const lines = turns.flatMap((turn) => {
    const ofTurn = items.filter((item) => item.turn === turn);
    if (ofTurn.length === 0) return [];
    return [
      `  ${bold(turn.toUpperCase())}`,
      ...ofTurn.map(({ due, title, detail, next }) =>
        `  ${due ? yellow('!') : green('✓')} ${title.padEnd(titleWidth)}  ${detail.padEnd(detailWidth)}  ${next ?? ''}`.trimEnd(),
      ),
    ];
  });
  const due = items.filter((item) => item.due);
  const tasks = new Set(due.flatMap(({ task }) => task ?? []));
  const end =
    due.length === 0
      ? '  Nothing is due.'
      : `  ${due.length} of ${items.length} ${due.length === 1 ? 'is' : 'are'} due.`;
  const next =
    done.length === 0 && tasks.size > 0
      ? [`  Next   mcp-deploy maintenance --run        does: ${[...tasks].join(', ')}`]
      : due.length > 0
        ? [`  Next   ${due[0]?.next ?? ''}`]
        : [];
  return [...lines, '', end, ...next];
}
