import { readFileSync } from 'node:fs';
import { startLoad } from './call-load.ts';

/** Calls a tool without a pause until SIGTERM, then tells how that went. Bundled and run on a host: node FILE URL KEYFILE CAFILE */
const [url = '', keyFile = '', caFile = ''] = process.argv.slice(2);
const load = startLoad({
  url,
  key: readFileSync(keyFile, 'utf8').trim(),
  ca: readFileSync(caFile, 'utf8'),
  clients: 6,
  tool: 'echo',
});
process.once('SIGTERM', () => void endAndTell());

async function endAndTell(): Promise<void> {
  await load.stop();
  process.stdout.write(JSON.stringify({ ...load.counts, problems: load.problems.slice(0, 5) }));
}
