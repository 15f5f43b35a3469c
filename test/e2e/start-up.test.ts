import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { binFile } from '../helpers/cli.ts';

test('mcp-deploy --version takes at most 1.6 times a bare node -e 0', () => {
  const commands = { node: ['-e', '0'], version: [binFile, '--version'] };
  const fastest = { node: Infinity, version: Infinity };
  // Interleaved, and the fastest of each: other work on the machine only ever adds.
  for (let round = 0; round < 20; round += 1) {
    for (const name of ['node', 'version'] as const) {
      const startedAt = performance.now();
      const ended = spawnSync(process.execPath, commands[name]);
      fastest[name] = Math.min(fastest[name], performance.now() - startedAt);
      expect(ended.status).toBe(0);
    }
  }
  expect(fastest.version / fastest.node).toBeLessThan(1.6);
}, 60_000);
