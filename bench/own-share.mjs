// What our own code takes of a call, and what each policy adds: the gateway in this process, with requests and responses that
// do nothing, no socket and no node:http. Bursts of 100 calls, the first tenth of thousands of bursts: so it says the same on a
// busy machine. What cold caches and the writing of the audit file cost in a running server is not in it (policies.mjs).
//   node bench/own-share.mjs [--bursts 3000]
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const at = process.argv.indexOf('--bursts');
const bursts = at === -1 ? '3000' : process.argv[at + 1];
const variants = ['none', 'key', 'limits', 'audit', 'breaker', 'cache beside', 'all', 'all, answer kept'];

const folder = mkdtempSync(join(tmpdir(), 'mcp-deploy-own-share-'));
try {
  const bundle = join(folder, 'work.mjs');
  await build({
    entryPoints: [join(here, 'own-share-work.mjs')],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    external: ['@opentelemetry/*', 'ioredis'],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  process.stdout.write('| policies | µs per call, legacy | modern |\n|---|--:|--:|\n');
  for (const variant of variants) {
    // A process of its own for each: what V8 has compiled for one must not help or hinder the next.
    const cells = ['legacy', 'modern'].map((era) => {
      const { stdout, stderr, status } = spawnSync(process.execPath, [bundle, variant, era, bursts, folder], {
        encoding: 'utf8',
      });
      if (status !== 0) throw new Error(stderr);
      return stdout.trim();
    });
    process.stdout.write(`| ${[variant, ...cells].join(' | ')} |\n`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
