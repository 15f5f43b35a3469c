/** What is known of a backup by its name alone. */
export interface BackupName {
  readonly name: string;
  readonly deployment: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly encrypted: boolean;
}

/** `NAME-20261121T184200Z.tar.gz`, with `.age` behind it when it is encrypted. Pure. */
export function backupFileName(deployment: string, createdAt: string, encrypted: boolean): string {
  const stamp = createdAt.replace(/\.\d+/, '').replaceAll(/[-:]/g, '');
  return `${deployment}-${stamp}.tar.gz${encrypted ? '.age' : ''}`;
}

/** Null for a file of another name. Pure. */
export function parseBackupName(name: string): BackupName | null {
  const parts = /^([a-z0-9-]+)-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\.tar\.gz(\.age)?$/.exec(name);
  if (parts === null) return null;
  const [, deployment = '', year, month, day, hour, minute, second, age] = parts;
  const createdAt = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  return { name, deployment, createdAt, encrypted: age !== undefined };
}

/**
 * Which backups of a deployment have had their time. The newest one always stays, whatever its age. Pure.
 * @param keepDays days; null keeps by count alone
 */
export function backupsToRemove(
  backups: readonly BackupName[],
  { keep, keepDays, now }: { readonly keep: number; readonly keepDays: number | null; readonly now: Date },
): readonly BackupName[] {
  const newestFirst = backups.toSorted((a, b) => b.createdAt.localeCompare(a.createdAt));
  return newestFirst.filter((backup, index) => {
    if (index === 0) return false;
    const ageDays = (now.getTime() - Date.parse(backup.createdAt)) / 86_400_000;
    return index >= keep || (keepDays !== null && ageDays > keepDays);
  });
}
