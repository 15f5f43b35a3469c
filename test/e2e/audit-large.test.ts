import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { renderAuditFields } from '../../src/server/observe/audit-line.ts';
import { runBin, withFolder } from '../helpers/cli.ts';

/** A file of this size is read by all four, and none of them may hold it. */
const fileBytes = 160 * 1_048_576;
const mostBytes = 140 * 1_048_576;

test('audit tail, errors, slow and tools read a file of 160 MB in less memory than it has', async () => {
  await withFolder(async (folder) => {
    writeFileSync(join(folder, 'mcp-deploy.yaml'), 'version: 1\nlogs: { audit: audit.jsonl }\n');
    const lines = writeAudit(join(folder, 'audit.jsonl'));
    // Says at its end how much memory the process has had at most.
    const measure = join(folder, 'measure.cjs');
    writeFileSync(
      measure,
      `process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(join(folder, 'rss'))}, String(process.resourceUsage().maxRSS)));`,
    );
    const ask = async (...args: string[]): Promise<string> => {
      const env = { NODE_OPTIONS: `--require ${measure} --max-old-space-size=64` };
      const answer = await runBin(['audit', ...args], { cwd: folder, env, timeoutMs: 120_000 });
      expect(answer.exitCode, answer.stderr).toBe(0);
      expect(Number(readFileSync(join(folder, 'rss'), 'utf8')) * 1_024, args.join(' ')).toBeLessThan(mostBytes);
      return answer.stdout;
    };
    expect((await ask('tail', '-n', '3')).trim().split('\n')).toHaveLength(3);
    expect(await ask('errors', '--tool', 'rare')).toContain('the needle');
    expect(await ask('slow', '--top', '1')).toContain('snail');
    const { tools } = JSON.parse(await ask('tools', '--json')) as { tools: { tool: string; calls: number }[] };
    expect(tools.reduce((sum, { calls }) => sum + calls, 0)).toBe(lines);
  });
}, 300_000);

/** Calls of fifty tools; the slowest and the only one of its tool that failed stand at the very beginning. */
function writeAudit(file: string): number {
  const line = (tool: string, durationSeconds: number, error: string | null): string =>
    `${renderAuditFields({
      request: 'f3b9c1d7e5a48c2a6d4f0b7c',
      id: 1,
      method: 'tools/call',
      status: error === null ? 'ok' : 'error',
      tool,
      durationSeconds,
      key: 'default',
      address: '192.0.2.7',
      era: 'modern',
      session: null,
      upstream: 'main',
      bytesIn: 312,
      bytesOut: 2_048,
      error,
    })}}\n`;
  const block = Array.from({ length: 4_000 }, (_, at) => line(`tool-${at % 50}`, (at % 997) / 1_000, null)).join('');
  const bytes = Buffer.from(block);
  const handle = openSync(file, 'w');
  let lines = writeSync(handle, line('snail', 4_711, null) + line('rare', 0.1, 'the needle')) > 0 ? 2 : 0;
  for (let size = 0; size < fileBytes; size += bytes.length) {
    writeSync(handle, bytes);
    lines += 4_000;
  }
  closeSync(handle);
  return lines;
}
