import type { Command } from 'commander';
import { noFlags, type MakeCommand } from './make-command.ts';

/** Files for other programs. */
export function addRenderCommands(make: MakeCommand): void {
  make(
    'render [target...]',
    'print configuration for nginx, caddy, systemd, docker …; all = for everything',
    defineRender,
    async (context, args, options) => (await import('./commands/render.ts')).runRender(context, args, options),
  );

  make('schema', 'print the JSON Schema of mcp-deploy.yaml', noFlags, async (context) =>
    (await import('./commands/schema.ts')).runSchema(context),
  );
}

function defineRender(command: Command): void {
  command
    .option('--out <dir>', 'write the files into this folder')
    .option('--set <path=value>', 'use this setting for once, for example proxy.maxBodyMegabytes=20', collect, [])
    .option('--for <program@version>', 'render for this version, for example nginx@1.22', collect, [])
    .option('--check', 'let the program judge the files first, where it is installed')
    .option('--list', 'say what each target is for, and which program checks it');
}

/** For flags that may be given several times. */
function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value];
}
