import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundleOptions, serverBundle } from '../../scripts/bundle-options.mjs';

/** Builds the one-file server as it is shipped, into a folder of the test's own. Absolute path of the file. */
export async function buildServerBundle(folder = mkdtempSync(join(tmpdir(), 'mcp-bundle-'))): Promise<string> {
  const outfile = join(folder, 'serve.js');
  await build({
    ...bundleOptions('0.0.0-test'),
    ...serverBundle,
    absWorkingDir: fileURLToPath(new URL('../..', import.meta.url)),
    entryPoints: ['src/server/main.ts'],
    outfile,
  });
  return outfile;
}
