import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runServe } from './serve.ts';

/**
 * Entry of dist/server/serve.js. `mcp-deploy serve` imports it and calls
 * `runServe`; a service manager or a container starts the file itself.
 */
export { runServe };

if (process.argv[1] !== undefined && isThisFile(process.argv[1])) {
  process.exitCode = await runServe(process.argv.slice(2));
}

function isThisFile(path: string): boolean {
  try {
    return realpathSync(path) === fileURLToPath(import.meta.url);
  } catch {
    return false;
  }
}
