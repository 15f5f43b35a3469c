import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

/** A script of test/helpers with all that it imports, in the text of one file. */
export async function bundleOf(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mcp-system-'));
  const outfile = join(folder, `${name}.mjs`);
  await build({
    entryPoints: [new URL(`${name}.ts`, import.meta.url).pathname],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    define: { __MCP_DEPLOY_VERSION__: JSON.stringify('0.1.0') },
    // CommonJS packages inside an ES module ask for require.
    banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);` },
    alias: { 'jsonc-parser': 'jsonc-parser/lib/esm/main.js' },
  });
  const text = readFileSync(outfile, 'utf8');
  await rm(folder, { recursive: true });
  return text;
}
