import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { isTemporaryFile } from '../apply/temporary-file.ts';
import { backupContent, type StateListing, type Wanted } from '../backup/backup-content.ts';
import { formatVersion, type BackupManifest } from '../backup/backup-manifest.ts';
import { backupFileName } from '../backup/backup-name.ts';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { collectFiles, type Collected } from '../host/backup/collect-files.ts';
import { writeArchive, type Lock, type WrittenArchive } from '../host/backup/write-archive.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { formerKeysFile } from '../server/observe/audit-keys.ts';
import { withLock } from './apply-desired.ts';
import type { CommandContext } from './context.ts';

export interface MadeBackup {
  readonly file: string;
  readonly manifest: BackupManifest;
  readonly written: WrittenArchive;
}

/**
 * Writes one file with everything that a deployment is, of one moment; nothing else is changed or noted.
 * @throws EnvironmentError when a file is in the way, too large or changes while it is read
 */
export async function makeBackup(
  context: CommandContext,
  deployment: Deployment,
  how: { readonly secrets: boolean; readonly withLogs: boolean; readonly lock: Lock; readonly folder: string },
): Promise<MadeBackup> {
  const { secrets, withLogs, lock, folder } = how;
  const settings: Deployment = { ...deployment, backup: { ...deployment.backup, logs: withLogs } };
  const { collected, leftOut } = await withLock(context, 'backup', () => collect(context, settings, secrets));
  try {
    const createdAt = new Date(context.ports.clock.now()).toISOString();
    const manifest: BackupManifest = {
      format: 'mcp-deploy-backup',
      formatVersion,
      createdAt,
      toolVersion: context.package.version,
      deployment: deployment.name,
      withSecrets: secrets,
      withLogs,
      hostName: hostname(),
      files: collected.files.map(({ path, size, sha256, mode }) => ({ path, size, sha256, mode })),
      leftOut: [...leftOut, ...collected.missing],
    };
    const file = join(folder, backupFileName(deployment.name, createdAt, lock !== null));
    const written = await writeInto(context, folder, () => writeArchive(file, manifest, collected.files, lock));
    return { file, manifest, written };
  } finally {
    await collected.close();
  }
}

/** Opens every file while nobody changes the deployment; what is open stays as it is. */
async function collect(
  context: CommandContext,
  deployment: Deployment,
  secrets: boolean,
): Promise<{ collected: Collected; leftOut: readonly string[] }> {
  const { baseDir, stateDir, ports } = context;
  const { keysDir, pkiDir, releasesDir, logFile } = deploymentPaths(stateDir);
  const folders = { keys: keysDir, pki: pkiDir, acme: join(stateDir, 'acme'), releases: releasesDir };
  const listed = await Promise.all(
    Object.entries(folders).map(async ([name, folder]) => [name, { folder, names: await ports.files.list(folder) }]),
  );
  const listing = Object.fromEntries(listed) as StateListing;
  const content = backupContent(deployment, { baseDir, stateDir, logFile, listing });
  const wanted = [
    { name: 'mcp-deploy.yaml', file: context.deploymentFile, secret: false },
    ...content.state,
    ...content.beside,
    ...(await formerAuditKeys(context, deployment, content.beside)),
    ...content.logs,
  ].filter(({ secret }) => secrets || !secret);
  const collected = await collectFiles(wanted, baseDir);
  if (collected.files.some(({ path }) => path === 'mcp-deploy.yaml')) return { collected, leftOut: content.leftOut };
  await collected.close();
  throw new EnvironmentError(`${context.deploymentFile} does not exist, so there is nothing to restore from.`, {
    next: 'Write it anew with the settings of the last release: mcp-deploy history',
  });
}

/** Without the keys that were replaced nobody can verify the lines that they sealed. */
async function formerAuditKeys(
  { ports, baseDir }: CommandContext,
  { logs }: Deployment,
  beside: readonly Wanted[],
): Promise<readonly Wanted[]> {
  if (logs.auditKeyFile === undefined) return [];
  const keyFile = resolve(baseDir, logs.auditKeyFile);
  const key = beside.find(({ file }) => file === keyFile);
  const file = formerKeysFile(keyFile);
  if (key === undefined || (await ports.files.stat(file)) === null) return [];
  return [{ name: formerKeysFile(key.name), file, secret: true }];
}

/** Makes the folder when there is something to write; one that stays empty goes again. */
async function writeInto<T>({ ports }: CommandContext, folder: string, write: () => Promise<T>): Promise<T> {
  const { files } = ports;
  const isNew = (await files.stat(folder)) === null;
  if (!isNew) {
    // What a killed backup left.
    for (const name of await files.list(folder)) {
      if (isTemporaryFile(name) && name.includes('.tar.gz')) await files.removeFile(join(folder, name));
    }
    return write();
  }
  const ignore = join(folder, '.gitignore');
  await files.makeDirectory(folder, 0o700);
  try {
    await files.writeAtomic(ignore, '*\n', 0o644);
    return await write();
  } catch (error) {
    await files.removeFile(ignore);
    await files.removeEmptyDirectory(folder);
    throw error;
  }
}
