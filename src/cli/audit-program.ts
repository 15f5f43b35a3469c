import type { Command } from 'commander';
import type { MakeCommand } from './make-command.ts';

/** The commands that read audit files. */
export function addAuditCommands(make: MakeCommand, audit: Command): void {
  make(
    'tail',
    'show the last calls',
    (tail) => {
      defineAuditFilter(tail.option('-f, --follow', 'go on as lines arrive'));
      tail.option('-n, --lines <count>', 'how many lines from the end', '20');
    },
    async (context, _, options) => (await import('./commands/audit.ts')).runAuditTail(context, options),
    audit,
  );
  make(
    'errors',
    'show the last calls that failed, were cancelled or refused',
    (errors) => defineAuditFilter(errors).option('-n, --lines <count>', 'how many lines from the end', '20'),
    async (context, _, options) => (await import('./commands/audit.ts')).runAuditErrors(context, options),
    audit,
  );
  make(
    'slow',
    'show the calls that took longest',
    (slow) => defineAuditFilter(slow).option('--top <count>', 'how many', '20'),
    async (context, _, options) => (await import('./commands/audit.ts')).runAuditSlow(context, options),
    audit,
  );
  make(
    'tools',
    'calls, errors and times of each tool',
    defineAuditFilter,
    async (context, _, options) => (await import('./commands/audit.ts')).runAuditTools(context, options),
    audit,
  );
  make(
    'verify [file...]',
    'find a line that was changed, removed, put in or moved',
    defineAuditVerify,
    async (context, args, options) => (await import('./commands/audit.ts')).runAuditVerify(context, args, options),
    audit,
  );
  make(
    'rotate-key',
    'another secret for the chain; lines of the former one are verified as before',
    () => {},
    async (context) => (await import('./commands/audit-rotate-key.ts')).runAuditRotateKey(context),
    audit,
  );
}

function defineAuditFilter(command: Command): Command {
  return command
    .option('--since <time>', 'only lines since then: 30m, 1h, 2d, or a date')
    .option('--key <label>', 'only calls with this key')
    .option('--tool <name>', 'only calls of this tool');
}

function defineAuditVerify(command: Command): void {
  command
    .option('--key-file <path>', 'secret of the chain (default: logs.auditKeyFile of the deployment)')
    .option('--expect <hash...>', 'a last hash that was kept: its line must be there')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy audit verify                                the files of this deployment, oldest first
  mcp-deploy audit verify audit.jsonl.2026* audit.jsonl  files that were copied from elsewhere

Exit codes
  0 nothing is wrong   1 a line was changed, removed, put in or moved: FILE:LINE says which   2 wrong input
`,
    );
}
