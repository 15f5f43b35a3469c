import { join } from 'node:path';
import { build } from 'esbuild';

/** Builds test/helpers/apply-child.ts into `folder`; returns the file to run with node. */
export async function buildApplyChild(folder: string): Promise<string> {
  const outfile = join(folder, 'apply-child.mjs');
  await build({
    entryPoints: [new URL('apply-child.ts', import.meta.url).pathname],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    // CommonJS packages inside an ES module ask for require.
    banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);` },
  });
  return outfile;
}
