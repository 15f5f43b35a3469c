import { Command, Option } from 'commander';
import { UserError } from '../deployment/errors.ts';
import { addCertCommands } from './cert-program.ts';
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
  refuseServerCommandExceptFor(
    names: readonly string[],
    args: readonly string[],
    serverCommand: readonly string[] | null,
  ): void;
} {
  let exitCode = 0;
  const program = new Command('mcp-deploy')
    .description('Turns an MCP server into a verified HTTPS endpoint, and says which hop is broken when it is not.')
    .usage('COMMAND [options] [-- YOUR MCP SERVER COMMAND]')
    .option('-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help; also: mcp-deploy COMMAND --help')
    .helpCommand('help [command]', 'show help for a command')
    .showSuggestionAfterError()
    .exitOverride()
    .configureHelp({ sortSubcommands: false, helpWidth: Math.min(world.stdout.columns ?? 100, 100) })
    .configureOutput({
      writeOut: (text) => world.stdout.write(text),
      writeErr: (text) => world.stderr.write(text),
      outputError: (text, write) => {
        write(`  ${text.trimEnd().replace(/^error: /, 'error   ')}\n  next    mcp-deploy --help\n`);
      },
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
      .command(spec)
      .description(summary)
      .helpOption('-h, --help', 'show help')
      .showSuggestionAfterError()
      .exitOverride()
      .configureOutput({ outputError: outputErrorFor(parent === program ? spec : `${parent.name()} ${spec}`) });
    define(made);
    addCommonOptions(made);
    made.action(async () => {
      const options = made.optsWithGlobals<CommonOptions & Record<string, unknown>>();
      exitCode = await withContext(options, (context) => run(context, made.args, options));
    });
    return made;
  }

  command(
    'up',
    'make it run: keys, certificate, server, verified by real clients',
    defineUp,
    async (context, _, options) => (await import('./commands/up.ts')).runUp(context, options),
  );
  command('init', 'set up with a few questions (every one has a flag)', defineInit, async (context, _, options) =>
    (await import('./commands/init.ts')).runInit(context, options),
  );
  command('plan', 'show what apply would change, and why', definePlan, async (context, _, options) =>
    (await import('./commands/plan.ts')).runPlan(context, options),
  );
  command('apply', 'bring this machine to what mcp-deploy.yaml says', defineApply, async (context) =>
    (await import('./commands/apply.ts')).runApply(context),
  );
  command('history', 'list the releases that were applied here', nothing, async (context) =>
    (await import('./commands/history.ts')).runHistory(context),
  );
  command('status', 'one glance: endpoint, server, certificate, keys, upstreams', nothing, async (context) =>
    (await import('./commands/status.ts')).runStatus(context),
  );
  command('logs', 'show the server log', defineLogs, async (context, _, options) =>
    (await import('./commands/logs.ts')).runLogs(context, options),
  );
  for (const name of ['start', 'stop', 'restart'] as const) {
    command(name, `${name} the server of this deployment`, nothing, async (context) =>
      (await import('./commands/service.ts')).runService(context, name),
    );
  }
  command('uninstall', 'remove everything that was made here; your own files stay', nothing, async (context) =>
    (await import('./commands/uninstall.ts')).runUninstall(context),
  );

  command(
    'doctor [url]',
    'find the broken hop, its cause and the exact change that mends it',
    defineDoctor,
    async (context, args, options) =>
      (await import('./commands/doctor.ts')).runDoctorCommand(context, args[0], options),
  );
  command('explain <code>', 'explain a finding of doctor, for example tls/name', nothing, async (context, args) =>
    (await import('./commands/explain.ts')).runExplain(context, args[0] ?? ''),
  );

  const keys = group('keys', 'API keys: create, list, rotate, revoke');
  command(
    'create <label>',
    'make a key; it is shown once',
    defineKeysCreate,
    async (context, args, options) =>
      (await import('./commands/keys.ts')).runKeysCreate(context, args[0] ?? '', options),
    keys,
  );
  command(
    'list',
    'list keys; never shows a key',
    nothing,
    async (context) => (await import('./commands/keys.ts')).runKeysList(context),
    keys,
  );
  command(
    'rotate <label>',
    'make a new key; the old one works on for a while',
    defineKeysRotate,
    async (context, args, options) =>
      (await import('./commands/keys.ts')).runKeysRotate(context, args[0] ?? '', options),
    keys,
  );
  command(
    'revoke <label>',
    'refuse a key from now on (within a second, no restart)',
    nothing,
    async (context, args) => (await import('./commands/keys.ts')).runKeysRevoke(context, args[0] ?? ''),
    keys,
  );

  const cert = group('cert', 'certificates: make, request, import, export, judge, revoke');
  addCertCommands(command, cert);

  const audit = group('audit', 'the audit file: show, count and verify its lines');
  command(
    'tail',
    'show the last calls',
    (tail) => {
      defineAuditFilter(tail.option('-f, --follow', 'go on as lines arrive'));
      tail.option('-n, --lines <count>', 'how many lines from the end', '20');
    },
    async (context, _, options) => (await import('./commands/audit.ts')).runAuditTail(context, options),
    audit,
  );
  command(
    'errors',
    'show the last calls that failed, were cancelled or refused',
    (errors) => defineAuditFilter(errors).option('-n, --lines <count>', 'how many lines from the end', '20'),
    async (context, _, options) => (await import('./commands/audit.ts')).runAuditErrors(context, options),
    audit,
  );
  command(
    'slow',
    'show the calls that took longest',
    (slow) => defineAuditFilter(slow).option('--top <count>', 'how many', '20'),
    async (context, _, options) => (await import('./commands/audit.ts')).runAuditSlow(context, options),
    audit,
  );
  command(
    'tools',
    'calls, errors and times of each tool',
    defineAuditFilter,
    async (context, _, options) => (await import('./commands/audit.ts')).runAuditTools(context, options),
    audit,
  );
  command(
    'verify [file...]',
    'find a line that was changed, removed, put in or moved',
    defineAuditVerify,
    async (context, args, options) => (await import('./commands/audit.ts')).runAuditVerify(context, args, options),
    audit,
  );

  command(
    'acme [names...]',
    'get a certificate from Let’s Encrypt or another ACME authority',
    defineCertAcme,
    async (context, args, options) => (await import('./commands/cert-acme.ts')).runCertAcme(context, args, options),
    cert,
  );

  command(
    'renew',
    'renew the certificate when it is due, and prove that it is served',
    defineCertRenew,
    async (context, _, options) => (await import('./commands/cert-renew.ts')).runCertRenew(context, options),
    cert,
  );

  command(
    'render [target...]',
    'print configuration for nginx, caddy, systemd, launchd or docker',
    defineRender,
    async (context, args, options) => (await import('./commands/render.ts')).runRender(context, args, options),
  );

  const client = group('client', 'what an MCP client needs to connect');
  command(
    'list',
    'list the clients this tool knows',
    nothing,
    async (context) => (await import('./commands/client.ts')).runClientList(context),
    client,
  );
  command(
    'print <client>',
    'print the entry for a client: claude-code, cursor, vscode …',
    nothing,
    async (context, args) => (await import('./commands/client.ts')).runClientPrint(context, args[0] ?? ''),
    client,
  );

  command('schema', 'print the JSON Schema of mcp-deploy.yaml', nothing, async (context) =>
    (await import('./commands/schema.ts')).runSchema(context),
  );
  // `serve` is answered by bin/ before this file is loaded; it stands here for the help.
  program.command('serve').description('run the bundled server in the foreground (mcp-deploy serve --help)');

  function group(name: string, summary: string): Command {
    return program
      .command(name)
      .description(summary)
      .usage('COMMAND [options]')
      .helpCommand(false)
      .helpOption('-h, --help', 'show help')
      .exitOverride()
      .configureOutput({ outputError: outputErrorFor(name) });
  }

  function outputErrorFor(spec: string) {
    return (text: string, write: (text: string) => void) =>
      write(
        `  ${text.trimEnd().replace(/^error: /, 'error   ')}\n  next    mcp-deploy ${spec.replace(/ ?[<[].*/, '')} --help\n`,
      );
  }

  return {
    async run(args) {
      if (args.length === 0) {
        program.outputHelp();
        return 0;
      }
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

function addCommonOptions(command: Command): void {
  command
    .addOption(new Option('--json', 'print one JSON document; never asks'))
    .addOption(new Option('-y, --yes', 'ask nothing, take the defaults'))
    .addOption(new Option('-q, --quiet', 'no progress, only the result'))
    .addOption(new Option('--verbose', 'say more, and show the stack of a bug'))
    .addOption(new Option('--file <path>', 'the deployment file (default: mcp-deploy.yaml)'))
    .addOption(new Option('--root <dir>', 'work in this folder instead of the current one'));
}

function nothing(): void {}

function defineUp(command: Command): void {
  command
    .usage('[options] [-- YOUR MCP SERVER COMMAND]')
    .option('--name <name>', 'name of the deployment (default: the folder)')
    .option('--listen <address>', 'where to listen (default: localhost:8443, or the next free port)')
    .option('--env <name...>', 'environment variables that your server needs, by name; values never go into a file')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy up                                                 the built-in tools, to try it out
  mcp-deploy up -- npx -y @modelcontextprotocol/server-everything
  mcp-deploy up --env GITHUB_TOKEN -- npx -y @acme/github-mcp

Exit codes
  0 running and verified, or nothing to do   2 wrong input   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}

function defineInit(command: Command): void {
  command
    .usage('[options] [-- YOUR MCP SERVER COMMAND]')
    .option('--name <name>', 'name of the deployment')
    .option('--listen <address>', 'where to listen, for example localhost:8443')
    .option('--names <names>', 'names and addresses of the certificate, separated by commas')
    .option('--server-name <name>', 'public DNS name, when nginx or Caddy stands in front')
    .option('--no-keys', 'let everyone in without a key (loopback only)')
    .option('--env <name...>', 'environment variables that your server needs, by name')
    .option('--apply', 'apply right away')
    .option('--no-apply', 'only write the file')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy init
  mcp-deploy init --yes --name notes --listen localhost:9443 --no-apply -- node ./server.js
`,
    );
}

function definePlan(command: Command): void {
  command.option('--check', 'exit 1 when there is something to change').addHelpText(
    'after',
    `
Exit codes
  0 shown   1 with --check: something would change   2 deployment file wrong   3 could not look
`,
  );
}

function defineApply(command: Command): void {
  command.addHelpText(
    'after',
    `
Exit codes
  0 done or nothing to do   2 deployment file wrong   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
  );
}

function defineLogs(command: Command): void {
  command
    .option('-f, --follow', 'go on as lines arrive')
    .option('-n, --lines <count>', 'how many lines from the end', '50');
}

function defineDoctor(command: Command): void {
  command
    .option('--key-file <path>', 'file with the API key')
    .option('--ca <path>', 'PEM file of the private CA to trust')
    .option('--limits', 'also try the rate limit of a server that is not yours (up to 200 requests)')
    .option('--only <codes>', 'only these codes or categories, separated by commas')
    .option('--skip <codes>', 'all but these codes or categories')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy doctor                                            this folder's deployment
  mcp-deploy doctor https://mcp.example.com/mcp --key-file k   any MCP server

Exit codes
  0 healthy, warnings allowed   1 an error was found   2 wrong input   3 nothing could be judged
`,
    );
}

function defineKeysCreate(command: Command): void {
  command
    .option('--expires <time>', 'stop working after this long: 90d, 12h, 2w')
    .option('--tools <patterns>', 'see and call only these tools; * stands for anything, e.g. search*,echo')
    .option('--upstreams <names>', 'reach only these upstreams, e.g. main,files')
    .option('--tier <name>', 'tier that limits are chosen by, e.g. gold')
    .option('--key-file <path>', 'write the key to this file (0600) instead of showing it')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy keys create laptop
  mcp-deploy keys create ci --expires 90d --key-file ./ci.key
  mcp-deploy keys create partner --tools 'search*,echo' --upstreams main --tier gold
`,
    );
}

function defineKeysRotate(command: Command): void {
  command
    .option('--overlap <time>', 'how long the old key still works: 24h, 7d; 0 ends it at once', '24h')
    .option('--key-file <path>', 'write the new key to this file (0600) instead of showing it')
    .addHelpText(
      'after',
      `
The new key reaches what the old one did and lives as long as it was made to live.

Examples
  mcp-deploy keys rotate laptop --overlap 7d
  mcp-deploy keys rotate ci --overlap 0 --key-file ./ci.key
`,
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

function defineCertRenew(command: Command): void {
  command
    .option('--force', 'renew now, due or not')
    .option('--dry-run', 'say what would be done; nothing is written')
    .option(
      '--install-timer [kind]',
      'run this twice a day: systemd, systemd-user, launchd, cron or print (a crontab line)',
    )
    .option('--exit-code', 'exit 10 when a certificate was renewed, for service managers')
    .addHelpText(
      'after',
      `
Due when a third of its life is left (half of it when it lives for less than ten days), or when the authority asks.

Exit codes
  0 done or not due   10 renewed (with --exit-code)   2 wrong input   3 refused before any change
  4 failed, the former certificate is back and proven   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}

function defineCertAcme(command: Command): void {
  command
    .option('--email <address>', 'contact of the account with the authority')
    .option('--agree-tos', 'you have read and accept the terms of the authority')
    .option('--directory <url>', 'letsencrypt, letsencrypt-staging, or the URL of another authority')
    .option('--ca <path>', 'PEM file of the CA that the directory’s own certificate is from')
    .option('--challenge <kind>', 'http-01, tls-alpn-01 or dns-01')
    .option('--listen <address>', 'where the challenge listener stands for a moment, for example :80')
    .option('--webroot <dir>', 'folder that your web server serves on port 80, instead of a listener')
    .option('--dns-hook <program...>', 'program that sets the DNS record: add|remove NAME VALUE follow')
    .option('--dns-server <address...>', 'DNS servers to ask whether the record is there')
    .option('--eab-key-id <id>', 'external account binding: the key identifier')
    .option('--eab-key-file <path>', 'external account binding: file with the HMAC key')
    .option('--profile <name>', 'certificate profile, where the authority offers them')
    .option('--reuse-key', 'keep the private key at renewals')
    .option('--dry-run', 'rehearse with the staging directory; nothing is written')
    .option('--adopt <dir>', 'serve what certbot keeps in /etc/letsencrypt/live/NAME; certbot goes on renewing it')
    .option('--install-hook', 'with --adopt: install the deploy hook of certbot')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy cert acme mcp.example.com --email you@example.com --agree-tos --dry-run
  mcp-deploy cert acme mcp.example.com --agree-tos --webroot /var/www/html
  mcp-deploy cert acme '*.example.com' --agree-tos --dns-hook /usr/local/bin/dns-hook
  mcp-deploy cert acme --adopt /etc/letsencrypt/live/mcp.example.com

Exit codes
  0 done or nothing to do   2 wrong input   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}

function defineRender(command: Command): void {
  command
    .option('--out <dir>', 'write the files into this folder')
    .option('--for <program@version>', 'render for this version, for example nginx@1.22')
    .option('--list', 'say what each target is for');
}

const helpFooter = `
Start here
  mcp-deploy up                       an endpoint with built-in tools, in seconds
  mcp-deploy up -- npx -y YOUR-SERVER your own MCP server behind it
  mcp-deploy doctor                   is everything right?

Exit codes
  0 done or nothing to do    1 doctor found an error    2 wrong input    3 refused before any change
  4 failed, all undone       5 undo incomplete          70 a bug         130 interrupted, undone
`;
