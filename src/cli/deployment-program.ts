import { Option, type Command } from 'commander';
import type { MakeCommand } from './make-command.ts';

/** The life of a deployment: from nothing to running, and back. */
export function addDeploymentCommands(make: MakeCommand): void {
  make(
    'up',
    'make it run: keys, certificate, server, verified by real clients',
    defineUp,
    async (context, _, options) => (await import('./commands/up.ts')).runUp(context, options),
  );
  make('init', 'set up with a few questions (every one has a flag)', defineInit, async (context, _, options) =>
    (await import('./commands/init.ts')).runInit(context, options),
  );
  make('plan', 'show what apply would change, and why', definePlan, async (context, _, options) =>
    (await import('./commands/plan.ts')).runPlan(context, options),
  );
  make('apply [plan]', 'bring this machine to what mcp-deploy.yaml says', defineApply, async (context, args, options) =>
    (await import('./commands/apply.ts')).runApply(context, args, options),
  );
  make('rollback [release]', 'put an earlier release back', defineRollback, async (context, args) =>
    (await import('./commands/rollback.ts')).runRollback(context, args),
  );
  make(
    'upgrade',
    'bring what runs to the version of this mcp-deploy, or of another package',
    defineUpgrade,
    async (context, _, options) => (await import('./commands/upgrade.ts')).runUpgrade(context, options),
  );
  make('history', 'list the releases that were applied here', addHost, async (context) =>
    (await import('./commands/history.ts')).runHistory(context),
  );
  make(
    'status',
    'one glance: endpoint, server, calls, certificate, keys, upstreams',
    defineStatus,
    async (context, _, options) => (await import('./commands/status.ts')).runStatus(context, options),
  );
  make('logs', 'show the server log', defineLogs, async (context, _, options) =>
    (await import('./commands/logs.ts')).runLogs(context, options),
  );
  for (const name of ['start', 'stop', 'restart'] as const) {
    make(name, `${name} the server of this deployment`, addWaitAndHost, async (context) =>
      (await import('./commands/service.ts')).runService(context, name),
    );
  }
  make(
    'uninstall',
    'remove everything that was made here; your own files stay',
    defineUninstall,
    async (context, _, options) => (await import('./commands/uninstall.ts')).runUninstall(context, options),
  );
}

/** For commands that change a deployment. */
function addWait(command: Command): void {
  command.option('--wait <seconds>', 'wait this long for another mcp-deploy that is changing it (default: 0)');
}

/** For commands that may be carried out on other hosts. */
export function addHost(command: Command): void {
  command.addOption(
    new Option(
      '--host <[user@]host[:port]>',
      'do it on that host over SSH; may be given several times, one after the other; all = those of hosts in mcp-deploy.yaml',
    ).argParser((host: string, before: readonly string[] | undefined) => [...(before ?? []), host]),
  );
}

/** For commands that take what mcp-deploy.yaml is to say from somewhere else. */
function addFrom(command: Command): void {
  command.option(
    '--from <file>',
    'take the text of mcp-deploy.yaml from this file; apply writes it where it belongs, with the files beside it that it names',
  );
}

function addWaitAndHost(command: Command): void {
  addWait(command);
  addHost(command);
}

function defineUp(command: Command): void {
  addWait(command);
  command
    .usage('[options] [-- YOUR MCP SERVER COMMAND]')
    .option('--name <name>', 'name of the deployment (default: the folder)')
    .option('--listen <address>', 'where to listen (default: localhost:8443, or the next free port)')
    .option('--env <name...>', 'environment variables that your server needs, by name; values never go into a file')
    .option('--url <url>', 'an MCP server that is reached over HTTP, in place of a command')
    .option('--header <name=value...>', 'sent to it; secrets as ${NAME}, read from the environment')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy up                                                 the built-in tools, to try it out
  mcp-deploy up -- npx -y @modelcontextprotocol/server-everything
  mcp-deploy up --env GITHUB_TOKEN -- npx -y @acme/github-mcp
  mcp-deploy up --url https://mcp.example.com/mcp --header 'Authorization=Bearer \${MCP_TOKEN}'

Exit codes
  0 running and verified, or nothing to do   2 wrong input   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}

function defineInit(command: Command): void {
  command
    .usage('[options] [-- YOUR MCP SERVER COMMAND]')
    .option('--profile <name>', 'where and how it runs: local, linux-nginx, docker …')
    .option('--list-profiles', 'show the profiles and what each is for')
    .option('--answers <file>', 'answers from a file (YAML or JSON); flags go before it')
    .option('--write-answers <file>', 'keep the answers in such a file; secrets by reference')
    .option('--name <name>', 'name of the deployment')
    .option('--listen <address>', 'where to listen, for example localhost:8443')
    .option('--names <names>', 'names and addresses of the certificate, separated by commas')
    .option('--server-name <name>', 'public DNS name, where a proxy stands in front')
    .option('--certificate <kind>', 'private-ca, letsencrypt or files')
    .option('--email <address>', "contact for Let's Encrypt")
    .option('--agree-tos', "accept the terms of Let's Encrypt")
    .option('--certificate-file <file>', 'your certificate with its chain (PEM)')
    .option('--key-file <file>', 'its private key (PEM)')
    .option('--image <name>', 'name of the container image')
    .option('--no-keys', 'let everyone in without a key (loopback only)')
    .option('--env <name...>', 'environment variables that your server needs, by name')
    .option('--url <url>', 'an MCP server that is reached over HTTP, in place of a command')
    .option('--header <name=value...>', 'sent to it; secrets as ${NAME}, read from the environment')
    .option('--out <dir>', 'folder of the files for Docker and Kubernetes (default: deploy)')
    .option('--apply', 'apply right away')
    .option('--no-apply', 'only write mcp-deploy.yaml')
    .option('--plain', 'ask line by line, for screen readers; also by ACCESSIBLE=1 or TERM=dumb')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy init
  mcp-deploy init --profile linux-nginx --write-answers answers.yaml
  mcp-deploy init --answers answers.yaml --apply --yes --json
  mcp-deploy init --yes --name notes --listen localhost:9443 --no-apply -- node ./server.js

At a question
  Enter takes what is offered, ? explains, < goes back, Ctrl-C leaves everything as it is.
  mcp-deploy.yaml that is there is edited: its settings are offered, its comments stay.
`,
    );
}

function definePlan(command: Command): void {
  addHost(command);
  addFrom(command);
  command
    .option('--check', 'exit 1 when there is something to change, or a file was changed by hand')
    .option('-o, --output <file>', 'keep the plan in a file, for: mcp-deploy apply FILE')
    .option('--adopt', 'leave files that were edited by hand as they are')
    .addHelpText(
      'after',
      `
Exit codes
  0 shown   1 with --check: changes or drift   2 deployment file wrong   3 could not look
`,
    );
}

function defineApply(command: Command): void {
  addWaitAndHost(command);
  addFrom(command);
  command
    .usage('[options] [PLAN]')
    .option('--adopt', 'leave files that were edited by hand as they are')
    .addHelpText(
      'after',
      `
PLAN is a file of: mcp-deploy plan -o PLAN. It is applied exactly as it is, and refused when this machine has moved since.

Exit codes
  0 done or nothing to do   2 deployment file wrong   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}

function defineRollback(command: Command): void {
  addWaitAndHost(command);
  command.usage('[options] [RELEASE]').addHelpText(
    'after',
    `
RELEASE is a number of: mcp-deploy history. Without one, the newest that differs from what runs. Keys and certificates
stay. mcp-deploy.yaml stays too, so the next apply goes forward again.

Exit codes
  0 done or nothing to do   2 no such release   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
  );
}

function defineUpgrade(command: Command): void {
  addWaitAndHost(command);
  command
    .option('--to <version|file|folder>', 'another package: a version of npm, a .tgz of npm pack, or a folder')
    .option('--integrity <sha512-…>', 'what the .tgz must be, as npm writes it')
    .option('--check', 'exit 1 when this mcp-deploy is newer than what runs; changes nothing')
    .option('--registry', 'with --check: ask npm for the newest version')
    .option('--dry-run', 'show the plan; changes nothing')
    .option('--allow-downgrade', 'go back to an older version on purpose')
    .addHelpText(
      'after',
      `
The new server is planned, checked and taken up as apply does it; mcp-deploy rollback brings the former build back. A file
or a folder needs no network, and no script of the package runs while it is fetched. With --host this very mcp-deploy goes
there, and what runs there becomes its version.

Examples
  mcp-deploy upgrade --dry-run
  mcp-deploy upgrade
  mcp-deploy upgrade --to 1.4.0
  mcp-deploy upgrade --to ./mcp-deploy-1.4.0.tgz --json
  mcp-deploy upgrade --check --registry
  mcp-deploy upgrade --host deploy@a.example.com

Exit codes
  0 upgraded, or nothing to do   1 with --check: a newer one is here   2 wrong input   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}

function defineStatus(command: Command): void {
  addHost(command);
  command
    .option('-w, --watch', 'go on looking until Ctrl-C')
    .option('--interval <seconds>', 'how often --watch looks', '2')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy status
  mcp-deploy status --watch --interval 5
  mcp-deploy status --json

Exit codes
  0 shown, also when the server is stopped   2 no deployment here, or its file is wrong
`,
    );
}

function defineUninstall(command: Command): void {
  addWaitAndHost(command);
  command
    .option('--clients', 'also take the endpoint out of the settings of MCP clients')
    .option(
      '--purge',
      'also files of ours that were changed by hand, and volumes of containers; of a service of the host: keys, certificates, logs and data',
    )
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy uninstall
  mcp-deploy uninstall --yes --clients
  mcp-deploy uninstall --yes --purge

Exit codes
  0 removed, or nothing to remove   2 wrong input   3 refused before any change
  4 failed, everything undone   5 failed, undo incomplete   130 interrupted, undone
`,
    );
}

function defineLogs(command: Command): void {
  command
    .option('-f, --follow', 'go on as lines arrive')
    .option('-n, --lines <count>', 'how many lines from the end', '50');
}
