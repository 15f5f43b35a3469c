import { relative } from 'node:path';
import { describePlan } from '../../plan/describe-plan.ts';
import type { HostFacts } from '../../plan/facts.ts';
import { scopeOf } from '../../plan/deployment-paths.ts';
import { planSystemRemoval } from '../../plan/plan-system-removal.ts';
import { planRemoval } from '../../plan/plan-removal.ts';
import {
  parseTimerRecord,
  timerJobs,
  timerRecordFile,
  timerRemovalSteps,
  timerStamps,
  timerWords,
} from '../../plan/timer-record.ts';
import type { Notice, Plan, Step } from '../../plan/types.ts';
import { removeEntry } from '../../clients/client-settings.ts';
import { clientEntry } from '../../clients/index.ts';
import type { McpClient } from '../../clients/types.ts';
import { ExplainedError } from '../../deployment/errors.ts';
import { changeHost, lookAtHost } from '../apply-desired.ts';
import { backupFolder, listBackups, readBackupSettings } from '../backup-folder.ts';
import { readClientEndpoint } from '../client-endpoint.ts';
import { findClientEntries, type ClientLook } from '../client-entries.ts';
import {
  putBackAsItWas,
  readBackup,
  readSettingsFile,
  settingsPath,
  showPath,
  writeSettingsFile,
} from '../client-files.ts';
import { confirmOrRefuse } from '../confirm.ts';
import type { CommandContext } from '../context.ts';
import type { FlagValues } from '../flag-values.ts';

/** `mcp-deploy uninstall`: removes exactly what was made here. The user's own files stay. */
export async function runUninstall(context: CommandContext, options: FlagValues): Promise<number> {
  const { output, ports, stateDir } = context;
  const purge = options['purge'] === true;
  if (scopeOf(stateDir) === 'system') {
    return (await import('./uninstall-service.ts')).uninstallService(context, purge);
  }
  if ((await ports.files.stat(stateDir)) === null) {
    output.document({ ok: true, changed: false });
    output.result('  Nothing to remove: there is no deployment in this folder.');
    return 0;
  }
  if (context.interactive) {
    const preview = await lookAtHost(context, null);
    output.progress(describePlan(await planWithTimer(context, preview, purge), preview));
  }
  // Looked at before the endpoint they lead to is forgotten.
  const left = await clientsLeft(context);
  const backups = await backupsLeft(context);
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
    return { plan: await planWithTimer(context, facts, purge), facts };
  });
  const removed = options['clients'] === true;
  if (removed) for (const look of left) await takeOut(context, look);
  output.document({
    ok: true,
    changed: true,
    notices: outcome.plan.notices,
    backups,
    clients: left.map(({ client, path, name }) => ({ client: client.id, file: path, name, removed })),
  });
  const kept = backups !== null || outcome.plan.notices.some((notice) => notice.text.endsWith('stays.'));
  output.result(
    `  Removed: server, keys, certificates and configuration. ${kept ? 'What is yours stays.' : 'This folder is as it was before.'}`,
  );
  if (backups !== null) output.result(`  Left: backups in ${relative(context.world.cwd, backups) || backups}.`);
  for (const { client, path, name, url } of left) {
    const place = `"${name}" in ${showPath(context, path)}`;
    output.result(
      removed
        ? `  Removed: ${client.title}, ${place}.`
        : `  Left: ${client.title}, ${place}.   mcp-deploy client remove ${client.id} --url ${url} --name ${name}${settingsFlag(context, client, path)}`,
    );
  }
  return 0;
}

interface LeftEntry extends ClientLook {
  readonly name: string;
  readonly url: string;
}

/** Entries in the settings of clients that will lead nowhere. */
async function clientsLeft(context: CommandContext): Promise<readonly LeftEntry[]> {
  try {
    const endpoint = await readClientEndpoint(context, {});
    const looks = await findClientEntries(context, endpoint);
    return looks.flatMap((look) => look.names.map((name) => ({ ...look, name, url: endpoint.url })));
  } catch (error) {
    // Nothing was applied, or its record is damaged: uninstall is for such folders too.
    if (error instanceof ExplainedError) return [];
    throw error;
  }
}

async function takeOut(context: CommandContext, { client, path, name, url, scope }: LeftEntry): Promise<void> {
  const file = await readSettingsFile(context, path);
  const entry = clientEntry(client.id, { name, url, keyFile: '/', caFile: null, keyVariable: 'MCP_KEY' });
  const before = await readBackup(context, path);
  const after = removeEntry(file.text ?? '', entry, before);
  if (after === null || after === before) await putBackAsItWas(context, file, after);
  else await writeSettingsFile(context, file, after, scope === 'user');
}

function settingsFlag(context: CommandContext, client: McpClient, path: string): string {
  return path === settingsPath(context, client, false) ? '' : ` --settings ${path}`;
}

/** The timers first: they must not run while what they renew or back up is taken away. */
export async function planWithTimer(
  { ports, stateDir }: CommandContext,
  facts: HostFacts,
  purge: boolean,
): Promise<Plan> {
  const apart: string[] = [];
  const steps: Step[] = [];
  const notices: Notice[] = [];
  for (const job of timerJobs) {
    const text = (await ports.files.read(timerRecordFile(stateDir, job)))?.toString('utf8') ?? null;
    const record = text === null ? null : parseTimerRecord(text, stateDir);
    if (record === null) continue;
    const now = new Map<string, string | null>();
    for (const path of [...record.files.map((file) => file.path), ...timerStamps(record)]) {
      now.set(path, (await ports.files.read(path))?.toString('utf8') ?? null);
    }
    apart.push(...record.files.map(({ path }) => path));
    const removal = timerRemovalSteps(record, job, (path) => now.get(path) ?? null);
    steps.push(...removal.steps);
    for (const path of removal.kept) {
      notices.push({
        level: 'warning',
        text: `${path} was changed since it was written; the ${timerWords[job]} stays.`,
      });
    }
  }
  const plan = facts.system === undefined ? planRemoval(facts, { purge }) : planSystemRemoval(facts, { purge, apart });
  return { ...plan, steps: [...steps, ...plan.steps], notices: [...plan.notices, ...notices] };
}

/** The folder of backups, when there are any; they outlive what they are of. */
async function backupsLeft(context: CommandContext): Promise<string | null> {
  const folder = backupFolder(context, await readBackupSettings(context), {});
  return (await listBackups(context, folder)).length > 0 ? folder : null;
}
