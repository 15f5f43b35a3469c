import { join, relative, resolve } from 'node:path';
import { manifestName, type BackupManifest } from '../../backup/backup-manifest.ts';
import { backupsToRemove } from '../../backup/backup-name.ts';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { checkRecipient } from '../../host/backup/check-recipient.ts';
import type { Lock, WrittenArchive } from '../../host/backup/write-archive.ts';
import { deploymentPaths, scopeOf } from '../../plan/deployment-paths.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';
import { backupFolder, listBackups } from '../backup-folder.ts';
import type { CommandContext } from '../context.ts';
import { readDeployment } from '../deployment-folder.ts';
import { listFlag, type FlagValues } from '../flag-values.ts';
import { makeBackup } from '../make-backup.ts';
import { givenPassphrase, readPassphrase } from '../read-passphrase.ts';

/**
 * `mcp-deploy backup create`: one file with everything that this deployment is, of one moment. The server goes on; only
 * other changes by mcp-deploy wait until all files are open.
 */
export async function runBackupCreate(context: CommandContext, options: Record<string, unknown>): Promise<number> {
  const deployment = await deploymentToKeep(context);
  if (options['installTimer'] !== undefined) return installBackupTimer(context, deployment, options);
  const secrets = options['withoutSecrets'] !== true;
  const lock = secrets ? await decideLock(context, deployment, options) : null;
  const withLogs = options['logs'] === true || deployment.backup.logs;
  const folder = backupFolder(context, deployment, options);

  const { file, manifest, written } = await makeBackup(context, deployment, { secrets, withLogs, lock, folder });
  const removed = await removeOld(context, folder, deployment);
  await noteSuccess(context, file, written, manifest.createdAt);
  await takeAway(context, deployment, file);
  describe(context, { file, written, manifest, lock, removed });
  return 0;
}

/** Nobody is there to be asked when a timer runs, so who can open the backup must be written down. */
async function installBackupTimer(
  context: CommandContext,
  deployment: Deployment,
  options: FlagValues,
): Promise<number> {
  const { recipients, passphraseFile } = deployment.backup;
  if (recipients.length === 0 && passphraseFile === undefined) {
    throw new UserError('It is not written down who may open what the timer backs up.', {
      why: 'A timer has nobody to ask, and its command holds no secret.',
      next: 'mcp-deploy backup key        then write its public key into backup.recipients of mcp-deploy.yaml',
    });
  }
  await decideLock(context, deployment, {});
  const { installTimer } = await import('./install-timer.ts');
  return installTimer(context, deployment, {
    job: 'backup',
    kind: options['installTimer'],
    dryRun: options['dryRun'] === true,
  });
}

/** What runs, or what is wanted when nothing was applied yet. */
async function deploymentToKeep(context: CommandContext): Promise<Deployment> {
  const deployment = (await readDeployment(context))?.deployment ?? (await readAppliedDeployment(context));
  if (deployment !== null) return deployment;
  throw new UserError(`There is nothing to back up: no deployment is in ${context.baseDir}.`, {
    next: 'mcp-deploy up        or name its file: --file /path/to/mcp-deploy.yaml',
  });
}

async function decideLock(context: CommandContext, { backup }: Deployment, options: FlagValues): Promise<Lock> {
  if (options['inClear'] === true) return null;
  const recipients = listFlag({ recipient: [options['recipient']].flat() }, 'recipient');
  if (recipients.length > 0) return checkedLock(recipients, '--recipient');
  const passphrase = givenPassphrase(context, options);
  if (passphrase !== null) return { passphrase };
  if (backup.recipients.length > 0) return checkedLock(backup.recipients, 'backup.recipients');
  if (backup.passphraseFile !== undefined) {
    const flags = { passphraseFile: resolve(context.baseDir, backup.passphraseFile) };
    return { passphrase: await readPassphrase(context, flags, 'the backup') };
  }
  if (context.interactive) return { passphrase: await readPassphrase(context, options, 'the backup', { twice: true }) };
  throw new UserError('It is not said who may open the backup; it holds private keys.', {
    why: 'Nothing is written in clear unless that is asked for.',
    next: 'mcp-deploy backup key        then: mcp-deploy backup create --recipient age1…        or: --passphrase-file FILE',
  });
}

async function checkedLock(recipients: readonly string[], origin: string): Promise<Lock> {
  for (const recipient of recipients) await checkRecipient(recipient, origin);
  return { recipients };
}

async function removeOld(
  context: CommandContext,
  folder: string,
  { name, backup }: Deployment,
): Promise<readonly string[]> {
  const own = (await listBackups(context, folder)).filter((each) => each.deployment === name);
  const gone = backupsToRemove(own, {
    keep: backup.keep,
    keepDays: backup.keepDays ?? null,
    now: new Date(context.ports.clock.now()),
  });
  for (const each of gone) {
    await context.ports.files.removeFile(join(folder, each.name));
  }
  return gone.map((each) => each.name);
}

/** Read by status, doctor and the metrics of the server, whose group may read it on a host. */
async function noteSuccess(
  { ports, stateDir }: CommandContext,
  file: string,
  { size, sha256 }: WrittenArchive,
  createdAt: string,
): Promise<void> {
  if ((await ports.files.stat(stateDir)) === null) return;
  const record = { createdAt, file, size, sha256 };
  const text = `${JSON.stringify(record, null, 2)}\n`;
  const { backupRecord, keyStore } = deploymentPaths(stateDir);
  const store = scopeOf(stateDir) === 'system' ? await ports.files.stat(keyStore) : null;
  if (store?.kind === 'file') await ports.files.writeAtomic(backupRecord, text, 0o640, store.owner);
  else await ports.files.writeAtomic(backupRecord, text, 0o600);
}

const takeAwayMs = 3_600_000;

async function takeAway({ ports, output }: CommandContext, { backup }: Deployment, file: string): Promise<void> {
  if (backup.afterwards === undefined) return;
  const argv = [...backup.afterwards, file];
  output.progress(`  ${output.err.dim('·')} taking it away: ${argv[0] ?? ''}`);
  const { exitCode, lastWords } = await ports.processes.run(argv, takeAwayMs);
  if (exitCode === 0) return;
  throw new EnvironmentError(`The backup is written, but ${argv[0] ?? ''} did not take it away.`, {
    why: [`It ended with ${exitCode ?? 'no exit code'}.`, ...lastWords].join('\n'),
    next: `Mend backup.afterwards in mcp-deploy.yaml. The backup is ${file}`,
  });
}

function describe(
  { output, world }: CommandContext,
  done: {
    readonly file: string;
    readonly written: WrittenArchive;
    readonly manifest: BackupManifest;
    readonly lock: Lock;
    readonly removed: readonly string[];
  },
): void {
  const { file, written, manifest, lock, removed } = done;
  const opens =
    lock === null
      ? 'nothing: it is in clear'
      : 'passphrase' in lock
        ? 'the passphrase'
        : `${lock.recipients.length === 1 ? 'the identity' : 'an identity'} of ${lock.recipients.join(', ')}`;
  output.document({
    ok: true,
    file,
    ...written,
    createdAt: manifest.createdAt,
    files: manifest.files.length,
    encrypted: lock !== null,
    withSecrets: manifest.withSecrets,
    removed,
    leftOut: manifest.leftOut,
  });
  for (const path of manifest.leftOut) output.warning(`not in it: ${path}`);
  if (lock === null && manifest.withSecrets) output.warning('Whoever has this file has your keys.');
  output.result(
    [
      `  Backup   ${relative(world.cwd, file) || file}`,
      `           ${manifest.files.length} files and ${manifestName}, ${sizeInWords(written.size)}, SHA-256 ${written.sha256.slice(0, 16)}…`,
      `  Opens    with ${opens}`,
      ...(removed.length === 0 ? [] : [`  Removed  ${removed.length} older: ${removed.join(', ')}`]),
      '',
      '  Next     mcp-deploy backup verify        mcp-deploy restore FILE --dry-run',
    ].join('\n'),
  );
}

function sizeInWords(bytes: number): string {
  if (bytes < 10_240) return `${bytes} bytes`;
  return bytes < 10_485_760 ? `${Math.round(bytes / 1_024)} KiB` : `${Math.round(bytes / 1_048_576)} MiB`;
}
