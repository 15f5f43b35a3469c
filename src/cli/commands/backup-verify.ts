import { relative } from 'node:path';
import { readArchive } from '../../host/backup/read-archive.ts';
import { backupFolder, findBackup, openingKey, readBackupSettings } from '../backup-folder.ts';
import type { CommandContext } from '../context.ts';

/** `mcp-deploy backup verify [FILE]`: reads it to its end; every file is held against its hash. */
export async function runBackupVerify(
  context: CommandContext,
  wanted: string | undefined,
  options: Record<string, unknown>,
): Promise<number> {
  const settings = await readBackupSettings(context);
  const file = await findBackup(context, wanted, backupFolder(context, settings, options));
  const manifest = await readArchive(file, await openingKey(context, file, options, settings));
  const { deployment, createdAt, hostName, toolVersion, files, withSecrets, withLogs, leftOut } = manifest;
  context.output.document({
    ok: true,
    file,
    deployment,
    createdAt,
    hostName,
    toolVersion,
    withSecrets,
    withLogs,
    files,
    leftOut,
  });
  for (const path of leftOut) context.output.warning(`not in it: ${path}`);
  context.output.result(
    [
      `  ${context.output.out.green('✓')} ${relative(context.world.cwd, file) || file}`,
      `    "${deployment}" of ${hostName}, ${createdAt.slice(0, 16).replace('T', ' ')} UTC, by mcp-deploy ${toolVersion}`,
      `    ${files.length} files, each as it was backed up; ${withSecrets ? 'with keys' : 'without keys'}, ${withLogs ? 'with logs' : 'without logs'}`,
    ].join('\n'),
  );
  return 0;
}
