import { readFileSync } from 'node:fs';
import { startLoad } from './call-load.ts';

/**
 * Calls a tool until SIGTERM, then tells how that went. Bundled and run on a host: node FILE URL KEYFILE CAFILE CLIENTS PAUSE-MS
 */
const [url = '', keyFile = '', caFile = '', clients = '6', pauseMs = '0'] = process.argv.slice(2);
const load = startLoad({
  url,
  key: readFileSync(keyFile, 'utf8').trim(),
  ca: readFileSync(caFile, 'utf8'),
  clients: Number(clients),
  ...(pauseMs === '0' ? {} : { pauseMs: Number(pauseMs) }),
  tool: 'echo',
});
process.once('SIGTERM', () => void endAndTell());

async function endAndTell(): Promise<void> {
  await load.stop();
  process.stdout.write(JSON.stringify({ ...load.counts, problems: load.problems.slice(0, 5) }));
}
