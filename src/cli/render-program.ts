import type { Command } from 'commander';
import { noFlags, type MakeCommand } from './make-command.ts';

/** Files for other programs, and entries for MCP clients. */
export function addRenderCommands(make: MakeCommand, client: Command): void {
  make(
    'render [target...]',
    'print configuration for nginx, caddy, haproxy, systemd, launchd or docker',
    defineRender,
    async (context, args, options) => (await import('./commands/render.ts')).runRender(context, args, options),
  );

  make(
    'list',
    'list the clients this tool knows',
    noFlags,
    async (context) => (await import('./commands/client.ts')).runClientList(context),
    client,
  );
  make(
    'print <client>',
    'print the entry for a client: claude-code, cursor, vscode …',
    noFlags,
    async (context, args) => (await import('./commands/client.ts')).runClientPrint(context, args[0] ?? ''),
    client,
  );

  make('schema', 'print the JSON Schema of mcp-deploy.yaml', noFlags, async (context) =>
    (await import('./commands/schema.ts')).runSchema(context),
  );
}

function defineRender(command: Command): void {
  command
    .option('--out <dir>', 'write the files into this folder')
    .option('--for <program@version>', 'render for this version, for example nginx@1.22')
    .option('--list', 'say what each target is for');
}
