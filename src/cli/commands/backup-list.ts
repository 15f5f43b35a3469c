import { join } from 'node:path';
import { backupFolder, listBackups, readBackupSettings } from '../backup-folder.ts';
import type { CommandContext } from '../context.ts';

/** `mcp-deploy backup list`: what is there, newest first. */
export async function runBackupList(context: CommandContext, options: Record<string, unknown>): Promise<number> {
  const folder = backupFolder(context, await readBackupSettings(context), options);
  const backups = await Promise.all(
    (await listBackups(context, folder)).map(async (backup) => {
      const file = join(folder, backup.name);
      return { ...backup, file, size: (await context.ports.files.stat(file))?.size ?? 0 };
    }),
  );
  context.output.document({ ok: true, folder, backups });
  context.output.result(
    backups.length === 0
      ? `  No backup in ${folder}.\n\n  Next     mcp-deploy backup create`
      : [
          ...backups.map(
            ({ name, createdAt, size, encrypted }) =>
              `  ${createdAt.slice(0, 16).replace('T', ' ')} UTC  ${String(Math.ceil(size / 1_024)).padStart(8)} KiB  ${encrypted ? 'encrypted' : 'in clear '}  ${name}`,
          ),
          '',
          '  Next     mcp-deploy backup verify NAME        mcp-deploy restore NAME --dry-run',
        ].join('\n'),
  );
  return 0;
}
