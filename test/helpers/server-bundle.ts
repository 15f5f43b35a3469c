import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** Builds the one-file server as it is shipped, into a folder of the test's own. Absolute path of the file. */
export async function buildServerBundle(folder = mkdtempSync(join(tmpdir(), 'mcp-bundle-'))): Promise<string> {
  const outfile = join(folder, 'serve.js');
  await build({
    absWorkingDir: fileURLToPath(new URL('../..', import.meta.url)),
    entryPoints: ['src/server/main.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    mainFields: ['module', 'main'],
    target: 'node20.19',
    format: 'esm',
    logLevel: 'warning',
    define: { __MCP_DEPLOY_VERSION__: '"0.0.0-test"' },
    banner: { js: "import{createRequire as __cr}from'node:module';const require=__cr(import.meta.url);" },
  });
  return outfile;
}
