import { createWriteStream } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import { readArchive } from '../../host/backup/read-archive.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import { withLock } from '../apply-desired.ts';
import { backupFolder, findBackup, openingKey, readBackupSettings } from '../backup-folder.ts';
import { confirmOrRefuse } from '../confirm.ts';
import type { CommandContext } from '../context.ts';
import { readFlags } from '../decide-wanted.ts';
import { textFlag } from '../flag-values.ts';
import { describeEndpoint } from '../output/endpoint-summary.ts';
import {
  contextOfRestored,
  proveBackup,
  rehearseRestore,
  restoreThroughJournal,
  type Proven,
  type Restore,
} from '../restore-backup.ts';

/**
 * `mcp-deploy restore FILE`: reads the whole backup first, then brings its files back through the journal, like every
 * other change: all or nothing, started and proven.
 */
export async function runRestore(
  context: CommandContext,
  wanted: string,
  options: Record<string, unknown>,
): Promise<number> {
  const startedAt = context.ports.clock.elapsed();
  const settings = await readBackupSettings(context);
  const file = await findBackup(context, wanted, backupFolder(context, settings, options));
  const key = await openingKey(context, file, options, settings);
  const { name, listen } = readFlags(context, options);
  const proven = await proveBackup(context, file, key, () => [
    ...(name === null ? [] : [{ path: 'name', value: name }]),
    ...(listen === null ? [] : [{ path: 'server.listen', value: listen }]),
  ]);
  context.output.progress(
    `  ${context.output.err.green('✓')} ${relative(context.world.cwd, file) || file}: ${proven.manifest.files.length} files, each as it was backed up`,
  );

  const place = await contextOfRestored(context, proven.deployment);
  const logsTo = await newFolderForLogs(context, options);
  if (options['dryRun'] === true) {
    const planned = await withLock(place, 'restore', () => rehearseRestore(place, { file, key, proven }));
    context.output.document({ ok: true, changed: false, plan: planned.plan });
    context.output.result(describePlan(planned.plan, planned.facts, `mcp-deploy restore ${wanted}`));
    return 0;
  }
  await confirmReplacing(place, proven);
  const outcome = await restoreThroughJournal(place, { file, key, proven });
  if (logsTo !== null) await unpackLogs(context, { file, key, proven }, logsTo);
  const tookMs = context.ports.clock.elapsed() - startedAt;
  await describeEndpoint(place, { deployment: proven.deployment, outcome, tookMs });
  return 0;
}

/** Refused before anything is changed when it is there. */
async function newFolderForLogs(context: CommandContext, options: Record<string, unknown>): Promise<string | null> {
  const given = textFlag(options, 'logsTo');
  if (given === undefined) return null;
  const folder = resolve(context.world.cwd, given);
  if ((await context.ports.files.stat(folder)) === null) return folder;
  throw new EnvironmentError(`${folder} is there already; logs are put into a new folder.`, {
    next: `--logs-to ${given}-restored`,
  });
}

async function unpackLogs(context: CommandContext, { file, key }: Restore, folder: string): Promise<void> {
  await context.ports.files.makeDirectory(folder, 0o700);
  await readArchive(file, key, async ({ path }, content) => {
    if (!path.startsWith('logs/')) for await (const _ of content);
    else {
      const target = join(folder, path.slice('logs/'.length));
      await pipeline(content, createWriteStream(target, { flags: 'wx', mode: 0o600 }));
    }
  });
  context.output.progress(
    `  ${context.output.err.green('✓')} logs in ${relative(context.world.cwd, folder) || folder}`,
  );
}

/** Asks when a deployment is here already. */
async function confirmReplacing(context: CommandContext, { manifest }: Proven): Promise<void> {
  const there = (await context.ports.files.stat(context.deploymentFile)) !== null;
  if (!there && (await context.ports.files.stat(context.stateDir)) === null) return;
  const when = `${manifest.createdAt.slice(0, 16).replace('T', ' ')} UTC`;
  const agreed = await confirmOrRefuse(context, `Replace the deployment here by that of ${when}?`, 'restore');
  if (!agreed) throw new UserError('Nothing was restored.', { exitCode: 3, next: 'mcp-deploy restore FILE --dry-run' });
}
