// Builds dist/: the CLI (a small entry and lazily loaded chunks) and the bundled server (one self-contained file).
import { build } from 'esbuild';
import { rm, readFile, writeFile, mkdir, rename } from 'node:fs/promises';
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleOptions, serverBundle } from './bundle-options.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
// Built aside and swapped in, so that a running `mcp-deploy` never sees half a build.
const aside = join(root, `dist.${process.pid}`);

const shared = {
  ...bundleOptions(version),
  absWorkingDir: root,
  minifySyntax: true,
  minifyWhitespace: true,
  metafile: true,
};

// What fails leaves nothing behind.
const removeAside = () => rmSync(aside, { recursive: true, force: true });
process.once('exit', removeAside);
const results = await Promise.all([
  build({
    ...shared,
    entryPoints: { 'cli/main': 'src/cli/main.ts' },
    outdir: aside,
    splitting: true,
    chunkNames: 'cli/chunks/[name]-[hash]',
  }),
  build({
    ...shared,
    ...serverBundle,
    entryPoints: { 'server/serve': 'src/server/main.ts' },
    outdir: aside,
  }),
]);

await mkdir(aside, { recursive: true });
await writeFile(join(aside, 'THIRD-PARTY-LICENSES.txt'), await licences(results.map((result) => result.metafile)));
await rm(join(root, 'dist'), { recursive: true, force: true });
await rename(aside, join(root, 'dist'));

/** Licence texts of every package that ended up in the bundles. */
async function licences(metafiles) {
  const packages = new Set();
  for (const file of metafiles.flatMap((m) => Object.keys(m.inputs))) {
    const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file);
    if (found) packages.add(found[1]);
  }
  const texts = [];
  for (const folder of [...packages].sort()) {
    const about = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'));
    const names = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'LICENCE', 'license', 'License', 'LICENSE-MIT'];
    const name = names.find((n) => existsSync(join(root, folder, n)));
    const text = name
      ? await readFile(join(root, folder, name), 'utf8')
      : `Licence: ${about.license ?? 'see the package'}`;
    texts.push(`${about.name} ${about.version}\n${'='.repeat(60)}\n${text.trim()}\n`);
  }
  return texts.join('\n\n');
}
