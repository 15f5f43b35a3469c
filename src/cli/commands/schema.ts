import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandContext } from '../context.ts';

/** `mcp-deploy schema`: the JSON Schema of mcp-deploy.yaml, for editors. */
export async function runSchema(context: CommandContext): Promise<number> {
  context.output.raw(await readFile(join(context.package.schemaDir, 'mcp-deploy.schema.json'), 'utf8'));
  return 0;
}
