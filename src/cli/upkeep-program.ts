import type { Command } from 'commander';
import type { MakeCommand } from './make-command.ts';

/** What keeps a deployment alive: what is due, and drills on a copy. */
export function addUpkeepCommands(make: MakeCommand, drill: Command): void {
  make(
    'maintenance',
    'what is due daily, weekly, monthly and quarterly, and the command for each',
    defineMaintenance,
    async (context, _, options) => (await import('./commands/maintenance.ts')).runMaintenance(context, options),
  );
  make(
    'restore [file]',
    'restore the newest backup to a copy, call it as clients would, and take it away again',
    defineDrillRestore,
    async (context, args, options) =>
      (await import('./commands/drill-restore.ts')).runDrillRestore(context, args[0], options),
    drill,
  );
  make(
    'failover',
    'kill each MCP server and worker of a copy in turn, and measure when clients are served again',
    defineDrillFailover,
    async (context, _, options) => (await import('./commands/drill-failover.ts')).runDrillFailover(context, options),
    drill,
  );
}

function defineDrillFailover(command: Command): void {
  command.addHelpText(
    'after',
    `
The copy is made of the deployment as it is now, in a folder and on a port of its own; its MCP servers are started a
second time. Each of them, and each worker, is ended by SIGKILL in turn; measured is when clients are served again.

Examples
  mcp-deploy drill failover
  mcp-deploy drill failover --json

Exit codes
  0 all came back   1 one did not within two minutes   2 wrong input   3 nothing could fail alone, or refused
  4 the copy could not be started   130 interrupted; always: the copy is removed
`,
  );
}

function defineMaintenance(command: Command): void {
  command
    .option('--run', 'do what is due and needs nobody: backup, renewal, doctor, audit, old logs, old releases')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy maintenance
  mcp-deploy maintenance --run --json

Audit files and keys are never touched; a restore drill needs the key that opens the backup: mcp-deploy drill restore

Exit codes
  0 nothing is due   1 something is due, or what was run failed   2 wrong input   3 another mcp-deploy is at work
`,
    );
}

function defineDrillRestore(command: Command): void {
  command
    .option('--identity <path>', 'file with the identity (age) that opens the backup')
    .option('--passphrase-file <path>', 'file with the passphrase, alone on one line')
    .option('--passphrase-env <name>', 'environment variable with the passphrase')
    .option('--passphrase-fd <number>', 'file descriptor with the passphrase')
    .option('--out <dir>', 'folder to look for backups in (default: backup.folder of mcp-deploy.yaml)')
    .addHelpText(
      'after',
      `
The copy has a folder and a port of its own, and its MCP servers are started a second time. It shares no log, no Redis,
no proxy and no service with the live deployment, which goes on untouched.

Examples
  mcp-deploy drill restore --identity backup.key
  mcp-deploy drill restore mcp-20261121T184200Z.tar.gz.age --passphrase-file pass.txt

Exit codes
  0 restored, called and healthy   1 restored, and doctor found an error   2 wrong input
  3 the backup is damaged or does not open   4 it does not restore   130 interrupted; always: the copy is removed
`,
    );
}
