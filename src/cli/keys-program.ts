import type { Command } from 'commander';
import { noFlags, type MakeCommand } from './make-command.ts';

/** The commands about API keys. */
export function addKeysCommands(make: MakeCommand, keys: Command): void {
  make(
    'create <label>',
    'make a key; it is shown once',
    defineKeysCreate,
    async (context, args, options) =>
      (await import('./commands/keys.ts')).runKeysCreate(context, args[0] ?? '', options),
    keys,
  );
  make(
    'list',
    'list keys; never shows a key',
    noFlags,
    async (context) => (await import('./commands/keys.ts')).runKeysList(context),
    keys,
  );
  make(
    'rotate <label>',
    'make a new key; the old one works on for a while',
    defineKeysRotate,
    async (context, args, options) =>
      (await import('./commands/keys.ts')).runKeysRotate(context, args[0] ?? '', options),
    keys,
  );
  make(
    'revoke <label>',
    'refuse a key from now on (within a second, no restart)',
    noFlags,
    async (context, args) => (await import('./commands/keys.ts')).runKeysRevoke(context, args[0] ?? ''),
    keys,
  );
}

function defineKeysCreate(command: Command): void {
  command
    .option('--expires <time>', 'stop working after this long: 90d, 12h, 2w')
    .option('--tools <patterns>', 'see and call only these tools; * stands for anything, e.g. search*,echo')
    .option('--upstreams <names>', 'reach only these upstreams, e.g. main,files')
    .option('--tier <name>', 'tier that limits are chosen by, e.g. gold')
    .option('--key-file <path>', 'write the key to this file (0600) instead of showing it')
    .option('--new-salt', 'hash this key and those after it with a fresh salt; the others keep theirs until rotated')
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
    .option('--new-salt', 'hash this key and those after it with a fresh salt; the others keep theirs until rotated')
    .option(
      '--prove',
      'call the running server: the new key works, the old one does until the overlap ends, then stops',
    )
    .addHelpText(
      'after',
      `
The new key reaches what the old one did and lives as long as it was made to live.

Examples
  mcp-deploy keys rotate laptop --overlap 7d
  mcp-deploy keys rotate ci --overlap 0 --key-file ./ci.key
  mcp-deploy keys rotate default --prove
  mcp-deploy keys rotate laptop --new-salt

--prove waits for the end of an overlap of up to a minute. For a longer one, or where nobody has the old key, it takes a
stand-in key through a rotation of five seconds on the same server; nothing is left of it.
`,
    );
}
