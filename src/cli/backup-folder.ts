import { join, resolve } from 'node:path';
import { parseBackupName, type BackupName } from '../backup/backup-name.ts';
import { UserError } from '../deployment/errors.ts';
import { deploymentSchema, type Deployment } from '../deployment/schema.ts';
import { readBackupKind, type Key } from '../host/backup/read-archive.ts';
import type { CommandContext } from './context.ts';
import { readDeployment } from './deployment-folder.ts';
import { textFlag, type FlagValues } from './flag-values.ts';
import { givenPassphrase, readPassphrase } from './read-passphrase.ts';

/** Where backups of this deployment are, absolute: --out, else backup.folder. */
export function backupFolder(
  context: CommandContext,
  deployment: Pick<Deployment, 'backup'>,
  options: FlagValues,
): string {
  const given = textFlag(options, 'out');
  return given === undefined ? resolve(context.baseDir, deployment.backup.folder) : resolve(context.world.cwd, given);
}

/** Backup settings of the deployment in this folder; the defaults when there is none or it is broken. */
export async function readBackupSettings(context: CommandContext): Promise<Pick<Deployment, 'backup'>> {
  const loaded = await readDeployment(context).catch(() => null);
  return loaded?.deployment ?? deploymentSchema.parse({ version: 1 });
}

/** Backups in a folder, newest first. */
export async function listBackups(context: CommandContext, folder: string): Promise<readonly BackupName[]> {
  const names = await context.ports.files.list(folder);
  return names
    .flatMap((name) => parseBackupName(name) ?? [])
    .toSorted((a, b) => b.createdAt.localeCompare(a.createdAt));
}

/**
 * What opens a backup: a flag, else the passphrase file of the deployment, else a person is asked. Null for one in clear.
 * @throws UserError when nobody can be asked
 */
export async function openingKey(
  context: CommandContext,
  file: string,
  options: FlagValues,
  settings: Pick<Deployment, 'backup'>,
): Promise<Key | null> {
  if ((await readBackupKind(file)) === 'clear') return null;
  const identity = textFlag(options, 'identity');
  if (identity !== undefined) {
    const bytes = await context.ports.files.read(resolve(context.world.cwd, identity));
    if (bytes !== null) return { identities: bytes.toString('utf8') };
    throw new UserError(`There is no file ${identity}.`, { next: 'Give the file that mcp-deploy backup key wrote.' });
  }
  const given = givenPassphrase(context, options);
  if (given !== null) return { passphrase: given };
  const { passphraseFile, recipients } = settings.backup;
  if (passphraseFile !== undefined) {
    const flags = { passphraseFile: resolve(context.baseDir, passphraseFile) };
    return { passphrase: await readPassphrase(context, flags, 'the backup') };
  }
  if (recipients.length > 0 || !context.interactive) {
    throw new UserError(`${file} is encrypted, and nothing was given that opens it.`, {
      next: 'Give --identity FILE (backup.key), or --passphrase-file FILE, --passphrase-env NAME.',
    });
  }
  return { passphrase: await readPassphrase(context, options, 'the backup') };
}

/** A backup by its path, or by its name in the folder of backups; the newest when none is named. */
export async function findBackup(context: CommandContext, wanted: string | undefined, folder: string): Promise<string> {
  if (wanted === undefined) {
    const [newest] = await listBackups(context, folder);
    if (newest !== undefined) return join(folder, newest.name);
    throw new UserError(`There is no backup in ${folder}.`, { next: 'mcp-deploy backup create' });
  }
  for (const path of [resolve(context.world.cwd, wanted), join(folder, wanted)]) {
    if ((await context.ports.files.stat(path))?.kind === 'file') return path;
  }
  throw new UserError(`There is no backup ${wanted}.`, { next: 'mcp-deploy backup list' });
}
