import type { Command } from 'commander';
import type { MakeCommand } from './make-command.ts';

/** Entries for MCP clients: into their settings, out of them, onto the screen. */
export function addClientCommands(make: MakeCommand, client: Command): void {
  make(
    'add <client>',
    'put the endpoint into the settings of a client; what is there stays',
    defineAdd,
    async (context, args, options) =>
      (await import('./commands/client-add.ts')).runClientAdd(context, args[0] ?? '', options),
    client,
  );
  make(
    'remove <client>',
    'take the endpoint out of the settings of a client again',
    defineRemove,
    async (context, args, options) =>
      (await import('./commands/client-remove.ts')).runClientRemove(context, args[0] ?? '', options),
    client,
  );
  make(
    'list',
    'the clients this tool knows, and which of them have the endpoint',
    defineList,
    async (context, _, options) => (await import('./commands/client-list.ts')).runClientList(context, options),
    client,
  );
  make(
    'print <client>',
    'print the entry for a client, or server.json for the MCP registry',
    definePrint,
    async (context, args, options) =>
      (await import('./commands/client-print.ts')).runClientPrint(context, args[0] ?? '', options),
    client,
  );
  make(
    'check <client>',
    'do what the client would do, and say what it would say',
    defineCheck,
    async (context, args, options) =>
      (await import('./commands/client-check.ts')).runClientCheck(context, args[0] ?? '', options),
    client,
  );
  make(
    'handover',
    'one page of Markdown for the people who will use the endpoint',
    defineHandover,
    async (context, _, options) => (await import('./commands/client-handover.ts')).runClientHandover(context, options),
    client,
  );
}

const exitCodes = `
Exit codes
  0 done, or nothing to do   2 wrong input   3 refused before any change
`;

function endpointFlags(command: Command): Command {
  return command
    .option('--name <name>', 'how the client calls the server (default: the name of the deployment)')
    .option('--url <url>', 'another endpoint than the deployment of this folder')
    .option('--key-file <path>', 'file with the API key of that endpoint')
    .option('--ca <path>', 'PEM file of the private CA of that endpoint')
    .option('--key-variable <name>', 'environment variable that the client takes the key from (default: MCP_KEY)');
}

function settingsFlags(command: Command): Command {
  return command
    .option('--project', 'the settings of this project folder, not those of your user')
    .option('--settings <path>', 'another settings file than the usual one');
}

function defineAdd(command: Command): void {
  settingsFlags(endpointFlags(command))
    .option('--print', 'print the entry, change nothing')
    .option('--dry-run', 'show what would change, change nothing')
    .option('--force', 'replace an entry of the same name that leads elsewhere')
    .addHelpText(
      'after',
      `
The key never goes into the settings: they refer to a variable, to its file, or the client asks for it.
The file as it was before is kept beside it, readable by you alone.

Examples
  mcp-deploy client add claude-code
  mcp-deploy client add cursor --project --dry-run
  mcp-deploy client add codex --url https://mcp.example.com/mcp --key-file ./mcp.key
${exitCodes}`,
    );
}

function defineRemove(command: Command): void {
  settingsFlags(endpointFlags(command))
    .option('--dry-run', 'show what would change, change nothing')
    .option('--force', 'remove the entry of this name even if it leads elsewhere')
    .addHelpText(
      'after',
      `
Examples
  mcp-deploy client remove claude-code
  mcp-deploy client remove codex --url https://mcp.example.com/mcp
${exitCodes}`,
    );
}

function defineList(command: Command): void {
  endpointFlags(command).addHelpText(
    'after',
    `
Examples
  mcp-deploy client list
  mcp-deploy client list --url https://mcp.example.com/mcp --json

Exit codes
  0 listed   2 wrong input
`,
  );
}

function definePrint(command: Command): void {
  endpointFlags(command).addHelpText(
    'after',
    `
Examples
  mcp-deploy client print vscode
  mcp-deploy client print server.json --name com.example/notes --url https://mcp.example.com/mcp
${exitCodes}`,
  );
}

function defineCheck(command: Command): void {
  settingsFlags(endpointFlags(command)).addHelpText(
    'after',
    `
Reads the entry that is in the settings, fills in what the client would from the environment of this shell, trusts
what the client would trust, and connects with an official MCP client of the same protocol era.

Examples
  mcp-deploy client check claude-code
  mcp-deploy client check codex --json

Exit codes
  0 the client would work   1 it would not, and why   2 wrong input
`,
  );
}

function defineHandover(command: Command): void {
  endpointFlags(command).addHelpText(
    'after',
    `
Examples
  mcp-deploy client handover > CONNECT.md

Exit codes
  0 printed   2 wrong input
`,
  );
}
