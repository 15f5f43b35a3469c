import { Command, Option, type CommanderError } from 'commander';
import { UserError } from '../deployment/errors.ts';
import { addBenchCommand } from './bench-program.ts';
import { addAuditCommands } from './audit-program.ts';
import { addBackupCommands } from './backup-program.ts';
import { addAcmeCommands } from './cert-acme-program.ts';
import { addCertCommands } from './cert-program.ts';
import { addClientCommands } from './client-program.ts';
import { addCompletionCommands } from './completion-program.ts';
import { describeProgram, type CommandFact } from './describe-program.ts';
import { explainUsageError } from './explain-usage-error.ts';
import { helpFooterOf } from './help-footers.ts';
import { addDeploymentCommands } from './deployment-program.ts';
import { addDoctorCommands } from './doctor-program.ts';
import { addKeysCommands } from './keys-program.ts';
import { addUpkeepCommands } from './upkeep-program.ts';
import { platformCaution, refuseOnPlatform } from './platform-support.ts';
import { addRenderCommands } from './render-program.ts';
import { everyHost, readSshHost } from './ssh-host.ts';
import type { CommandContext, CommonOptions } from './context.ts';
import type { World } from './world.ts';

type Run = (context: CommandContext) => Promise<number>;
type WithContext = (options: CommonOptions, run: Run) => Promise<number>;

/**
 * The command line as commander sees it: names, flags, help. Each command's
 * module is loaded only when it runs, so that start-up stays quick.
 */
export function buildProgram(
  world: World,
  withContext: WithContext,
): {
  run(args: readonly string[]): Promise<number>;
  /** The command line as data: what help, completion and the manual page are made from. */
  describe(): CommandFact;
  refuseServerCommandExceptFor(
    names: readonly string[],
    args: readonly string[],
    serverCommand: readonly string[] | null,
  ): void;
} {
  let exitCode = 0;
  let words: readonly string[] = [];
  const program = new Command('mcp-deploy')
    .description('Turns an MCP server into a verified HTTPS endpoint, and says which hop is broken when it is not.')
    .usage('COMMAND [options] [-- YOUR MCP SERVER COMMAND]')
    .option('-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help; also: mcp-deploy COMMAND --help')
    .helpCommand('help [command]', 'show help for a command')
    .showSuggestionAfterError()
    .exitOverride((error) => refuse(error, program, ''))
    .configureHelp({ sortSubcommands: false, helpWidth: Math.min(world.stdout.columns ?? 100, 100) })
    .configureOutput({
      writeOut: (text) => world.stdout.write(text),
      writeErr: (text) => world.stderr.write(text),
      // What is wrong is thrown, and shown like every other error.
      outputError: () => {},
    })
    .addHelpText('after', helpFooter);
  addCommonOptions(program);

  /** One command: its flags, and its lazily loaded action. */
  function command(
    spec: string,
    summary: string,
    define: (command: Command) => void,
    run: (context: CommandContext, args: readonly string[], options: Record<string, unknown>) => Promise<number>,
    parent: Command = program,
  ): Command {
    const made = parent
      .command(spec, { hidden: spec === 'complete' })
      .description(summary)
      .helpOption('-h, --help', 'show help')
      .showSuggestionAfterError();
    const name = [...(parent === program ? [] : [parent.name()]), made.name()].join(' ');
    made.exitOverride((error) => refuse(error, made, name));
    define(made);
    made.addHelpText('after', helpFooterOf(name));
    addCommonOptions(made);
    made.action(async () => {
      const options = made.optsWithGlobals<CommonOptions & Record<string, unknown>>();
      const hosts = Array.isArray(options['host']) ? options['host'].map(String) : [];
      // Before anything is read: what is no host reaches nothing.
      for (const host of hosts) if (host !== everyHost) readSshHost(host);
      exitCode = await withContext(options, async (context) => {
        refuseOnPlatform(world.platform, name);
        const caution = platformCaution(world.platform, name);
        if (caution !== null) context.output.warning(caution);
        if (context.stageDir !== null) refuseWhereNothingRuns(name, context.stageDir);
        if (hosts.length > 0) {
          const { runOnHosts, wordsForHosts } = await import('./run-on-hosts.ts');
          return runOnHosts(name, wordsForHosts(name, words), hosts, context);
        }
        if (process.getuid?.() === 0) return run(context, made.args, options);
        const { runWithSudo } = await import('./with-sudo.ts');
        return runWithSudo(name, words, context, (own) => run(own, made.args, options));
      });
    });
    return made;
  }

  addDeploymentCommands(command);
  addDoctorCommands(command);
  addBenchCommand(command);
  addKeysCommands(command, group('keys', 'API keys: create, list, rotate, revoke'));
  const cert = group('cert', 'certificates: make, request, import, export, judge, revoke');
  addCertCommands(command, cert);
  addAcmeCommands(command, cert);
  addAuditCommands(command, group('audit', 'the audit file: show, count and verify its lines'));
  addRenderCommands(command);
  addClientCommands(command, group('client', 'MCP clients: add the endpoint to their settings, remove, check'));
  addBackupCommands(command, group('backup', 'backups: create, list, verify; back again with restore'));
  addUpkeepCommands(command, group('drill', 'drills on a copy: does a restore work?'));
  addCompletionCommands(command, program);

  // `serve` is answered by bin/ before this file is loaded; it stands here for the help.
  program.command('serve').description('run the bundled server in the foreground (mcp-deploy serve --help)');

  function group(name: string, summary: string): Command {
    const made = program
      .command(name)
      .description(summary)
      .usage('COMMAND [options]')
      .helpCommand(false)
      .helpOption('-h, --help', 'show help');
    return made.exitOverride((error) => refuse(error, made, name));
  }

  /** Help and the version end here as well, without a fault. */
  function refuse(error: CommanderError, refused: Command, name: string): never {
    if (error.exitCode === 0 || error.code === 'commander.help') throw error;
    throw explainUsageError(error, {
      name,
      takes: refused.registeredArguments.map((argument) => argument.name().toUpperCase()),
      takesServerCommand: serverCommandTakers.includes(name),
      words,
      operands: refused.args,
    });
  }

  return {
    describe: () => describeProgram(program),
    async run(args) {
      if (args.length === 0) {
        program.outputHelp();
        return 0;
      }
      words = args;
      await program.parseAsync([...args], { from: 'user' });
      return exitCode;
    },
    refuseServerCommandExceptFor(names, args, serverCommand) {
      const first = args.find((word) => !word.startsWith('-'));
      if (serverCommand === null || (first !== undefined && names.includes(first))) return;
      throw new UserError(`${first ?? 'This'} takes no command behind --.`, {
        why: `Only ${names.join(', ')} take the command of your MCP server there.`,
        next: 'mcp-deploy up -- npx -y @modelcontextprotocol/server-everything',
      });
    },
  };
}

/** @throws UserError for a command that is about something that runs */
function refuseWhereNothingRuns(name: string, stageDir: string): void {
  if (!['start', 'stop', 'restart', 'doctor', 'bench', 'up'].includes(name)) return;
  throw new UserError(`mcp-deploy ${name} is about a system that runs, and the one below ${stageDir} does not.`, {
    next: `mcp-deploy status --root ${stageDir}        or, on the system itself: mcp-deploy ${name}`,
    exitCode: 3,
  });
}

function addCommonOptions(command: Command): void {
  command
    .addOption(new Option('--json', 'print one JSON document; never asks'))
    .addOption(new Option('-y, --yes', 'ask nothing, take the defaults'))
    .addOption(new Option('-q, --quiet', 'no progress, only the result'))
    .addOption(new Option('--verbose', 'say more, and show the stack of a bug'))
    .addOption(new Option('--file <path>', 'the deployment file (default: mcp-deploy.yaml)'))
    .addOption(
      new Option(
        '--root <dir>',
        'work in this folder instead of the current one; a service of a host is staged below it',
      ),
    );
}

/** What takes the command of an MCP server behind `--`. */
export const serverCommandTakers: readonly string[] = ['up', 'init', 'plan'];

const helpFooter = `
Start here
  mcp-deploy up                       an endpoint with built-in tools, in seconds
  mcp-deploy up -- npx -y YOUR-SERVER your own MCP server behind it
  mcp-deploy doctor                   is everything right?

Exit codes
  0 done or nothing to do    1 doctor found an error    2 wrong input    3 refused before any change
  4 failed, all undone       5 undo incomplete          70 a bug         130 interrupted, undone
`;
