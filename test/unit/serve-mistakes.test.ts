import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openAddresses } from '../../src/server/http/open-addresses.ts';
import { parseServeFlags } from '../../src/server/serve-flags.ts';
import { readConfigFile, readServeSettings } from '../../src/server/serve-settings.ts';

/** What a stranger types wrong is answered with what, why and what to do next, never with a stack. */
const folder = mkdtempSync(join(tmpdir(), 'mcpd-mistakes-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function saidOf(args: readonly string[]): Promise<string> {
  try {
    const flags = parseServeFlags(args);
    if (flags.mode === 'help') return 'help';
    await readServeSettings(flags, flags.mode === 'config' ? readConfigFile(flags.configFile) : null, {});
    return 'taken';
  } catch (error) {
    const { message, why, next } = error as Error & { why?: string; next?: string };
    return [message, why, next].filter((part) => part !== undefined).join(' | ');
  }
}

writeFileSync(join(folder, 'empty'), '\n');

test.each<[readonly string[], RegExp]>([
  [
    ['--listen', '127.0.0.1:99999'],
    /^--listen 127\.0\.0\.1:99999 has no port that exists \| Ports go from 1 to 65535\.$/,
  ],
  [['--listen', 'foo'], /^--listen foo is no address \| write host:port/],
  [['--listen', '127.0.0.1:1', 'node', 'server.js'], /after --, for example: -- node server\.js$/],
  [['--no-auth', 'node', 'server.js'], /does not know node \| Put the command of the MCP server after --$/],
  [['--no-auth', '--'], /no command behind -- \| .*leave -- out/],
  [['--no-auth', '--path', 'mcp'], /server\.path/],
  [['--key-file', join(folder, 'none')], /cannot be read \| There is no such file\. \| .*openssl rand/],
  [['--key-file', folder], /cannot be read \| It is a folder\. \| /],
  [['--key-file', join(folder, 'empty')], /is empty \| Put one key on each line/],
  [['--config', folder], /cannot be read \| It is a folder\. \| /],
  [['--listen', '127.0.0.1:0', '--no-auth'], /^taken$/],
])('serve %j', async (args, says) => {
  expect(await saidOf(args)).toMatch(says);
});

test('a socket whose folder is missing is not said to be forbidden', async () => {
  const address = { kind: 'unix', path: join(folder, 'none/s.sock') } as const;
  const opening = openAddresses([address], () => createServer());
  await expect(opening).rejects.toMatchObject({
    why: 'There is no such folder.',
    next: `Make it: mkdir -p ${folder}/none`,
  });
});
