import type { Command } from 'commander';
import type { MakeCommand } from './make-command.ts';

/** Copies of a deployment, and the way back. */
export function addBackupCommands(make: MakeCommand, backup: Command): void {
  make(
    'create',
    'back up configuration, keys and certificates into one encrypted file',
    defineCreate,
    async (context, _, options) => (await import('./commands/backup-create.ts')).runBackupCreate(context, options),
    backup,
  );
  make(
    'list',
    'list the backups of this deployment',
    defineList,
    async (context, _, options) => (await import('./commands/backup-list.ts')).runBackupList(context, options),
    backup,
  );
  make(
    'verify [file]',
    'read a backup from end to end and prove every file in it; the newest without a name',
    defineVerify,
    async (context, args, options) =>
      (await import('./commands/backup-verify.ts')).runBackupVerify(context, args[0], options),
    backup,
  );
  make(
    'key',
    'make the key pair that backups are encrypted for, so that a timer needs no secret',
    defineKey,
    async (context, _, options) => (await import('./commands/backup-key.ts')).runBackupKey(context, options),
    backup,
  );
  make(
    'restore <file>',
    'bring a deployment back from a backup, and prove it',
    defineRestore,
    async (context, args, options) =>
      (await import('./commands/restore.ts')).runRestore(context, args[0] ?? '', options),
  );
}

function openingOptions(command: Command): Command {
  return command
    .option('--identity <path>', 'file with the identity (age) that opens the backup')
    .option('--passphrase-file <path>', 'file with the passphrase, alone on one line')
    .option('--passphrase-env <name>', 'environment variable with the passphrase')
    .option('--passphrase-fd <number>', 'file descriptor with the passphrase');
}

function defineCreate(command: Command): void {
  command
    .option('--out <dir>', 'folder to write to (default: backup.folder of mcp-deploy.yaml)')
    .option('--recipient <age1...>', 'encrypt for these public keys (age)')
    .option('--passphrase-file <path>', 'encrypt with the passphrase in this file')
    .option('--passphrase-env <name>', 'encrypt with the passphrase in this environment variable')
    .option('--passphrase-fd <number>', 'encrypt with the passphrase from this file descriptor')
    .option('--without-secrets', 'leave keys out; nothing is encrypted')
    .option('--in-clear', 'with keys and unencrypted: whoever has the file has everything')
    .option('--logs', 'with the audit file and the log')
    .option(
      '--install-timer [kind]',
      'run it by the clock (backup.every, backup.at) with what this machine has: systemd, systemd-user, launchd, cron or print',
    )
    .option('--dry-run', 'with --install-timer: show what would be installed')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy backup key --out backup.key             once; keep the file elsewhere
  mcp-deploy backup create --recipient age1…
  mcp-deploy backup create --passphrase-file pass.txt --logs
  mcp-deploy backup create --install-timer           daily at 02:00, or as backup.every says

A backup is a tar file, gzip, encrypted by age: age -d -i backup.key FILE | tar tz

Exit codes
  0 written   2 wrong input   3 refused, nothing written
`,
    );
}

function defineList(command: Command): void {
  command.option('--out <dir>', 'folder to look in (default: backup.folder of mcp-deploy.yaml)');
}

function defineVerify(command: Command): void {
  openingOptions(command)
    .option('--out <dir>', 'folder to look in (default: backup.folder of mcp-deploy.yaml)')
    .addHelpText(
      'after',
      `
Exit codes
  0 every file is as it was backed up   2 wrong input   3 damaged, cut off, or it does not open
`,
    );
}

function defineKey(command: Command): void {
  command.option('--out <path>', 'file to write the identity to, 0600', 'backup.key');
}

function defineRestore(command: Command): void {
  openingOptions(command)
    .option('--name <name>', 'under another name')
    .option('--listen <address>', 'listen there, for another machine')
    .option(
      '--logs-to <dir>',
      'put the logs of the backup into this new folder; they are never put over those of today',
    )
    .option('--dry-run', 'prove the backup and show what would change')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy restore mcp-20261121T184200Z.tar.gz.age --identity backup.key --dry-run
  cd /srv/new && mcp-deploy restore /mnt/mcp-20261121T184200Z.tar.gz.age --identity backup.key --yes

Exit codes
  0 restored, running and verified   2 wrong input   3 damaged or refused, nothing changed
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}
