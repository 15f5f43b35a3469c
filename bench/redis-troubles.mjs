// Two servers under load that share a Redis which is killed, stopped, full, slow and so on: what clients see of it.
//   node bench/redis-troubles.mjs [--seconds 5]
// Needs redis-server.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '5' } } });

const root = fileURLToPath(new URL('..', import.meta.url));
const outfile = join(root, 'dist/bench/redis-helpers.mjs');
mkdirSync(join(root, 'dist/bench'), { recursive: true });
await build({
  stdin: {
    contents: ['redis', 'redis-fleet'].map((name) => `export * from './test/helpers/${name}.ts';`).join('\n'),
    resolveDir: root,
  },
  outfile,
  bundle: true,
  format: 'esm',
  platform: 'node',
  packages: 'external',
  // The server is built with the options that are beside the sources.
  define: { 'import.meta.url': JSON.stringify(pathToFileURL(join(root, 'test/helpers/x.ts')).href) },
});
const { goThrough, redisTroubles, startRedis, startRedisFleet } = await import(pathToFileURL(outfile).href);

const store = await startRedis();
const fleet = await startRedisFleet(store);
const quantile = (list, share) => list.toSorted((a, b) => a - b)[Math.floor((list.length - 1) * share)] ?? 0;
const row = (cells) => console.log(`| ${cells.join(' | ')} |`);
row([
  'Redis',
  'open: answered',
  'p50, p99, longest (ms)',
  'closed: answered',
  'refused (503)',
  'wrong',
  'crossed',
  'errors',
  'together again (ms)',
  'memory (MiB)',
]);
row(Array.from({ length: 10 }, () => '--'));
try {
  const nothing = { name: 'well', isHarmless: true, begin() {}, end() {} };
  for (const trouble of [nothing, ...redisTroubles]) {
    const seen = await goThrough(fleet, trouble, Number(values.seconds) * 1_000);
    const { open, closed } = seen;
    row([
      seen.name,
      open.answered,
      [0.5, 0.99, 1].map((share) => Math.round(quantile(open.ms, share))).join(', '),
      closed.answered,
      closed.refused,
      open.wrong.length + closed.wrong.length,
      open.crossed.length + closed.crossed.length,
      seen.errors,
      Math.round(seen.togetherAfterMs),
      Math.round(seen.residentBytes / 1_048_576),
    ]);
  }
} finally {
  await fleet.close();
  await store.close();
}
