#!/usr/bin/env node
// Only this file ends the process. It stays readable for old Node versions, so that they get a sentence and not a syntax error.
import { readFileSync } from 'node:fs';

const [major, minor] = process.versions.node.split('.').map(Number);
const args = process.argv.slice(2);

if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `mcp-deploy needs Node.js 20.19 or newer; this is ${process.versions.node}.\nInstall a newer one from https://nodejs.org and try again.\n`,
  );
  process.exitCode = 3;
} else if (args.every((word) => word.startsWith('-')) && (args[0] === '--version' || args[0] === '-V')) {
  // Answered here: scripts ask for the version often, and the command line need not load for it.
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  process.stdout.write(args.includes('--json') ? `${JSON.stringify({ version })}\n` : `${version}\n`);
} else if (args[0] === 'serve') {
  // What service managers run: the server alone, without the command line around it.
  const { runServe } = await import('../dist/server/serve.js');
  process.exitCode = await runServe(args.slice(1));
} else {
  const { runCli } = await import('../dist/cli/main.js');
  const code = await runCli(args);
  // Output to a pipe is asynchronous: let it out before ending, and do not wait for idle sockets.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}
