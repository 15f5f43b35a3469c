import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { findTime, readLines, readLinesBackwards } from '../../src/cli/audit-reader.ts';
import { ToolDurations } from '../../src/cli/tool-durations.ts';

test('lines are the same forwards, backwards and compressed, over blocks, with odd lengths and an open end', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-reader-'));
  try {
    const lines = Array.from(
      { length: 4_000 },
      (_, id) =>
        `{"time":"${new Date(1_700_000_000_000 + id * 60_000).toISOString()}","id":${id},"x":"${'é'.repeat((id * 37) % 900)}"}`,
    );
    const file = join(folder, 'audit.jsonl');
    const text = `${lines.join('\n')}\n`;
    writeFileSync(file, `${text}{"half`);
    writeFileSync(`${file}.gz`, gzipSync(text));
    const forwards: string[] = [];
    await readLines(file, (line) => forwards.push(line));
    expect(forwards).toEqual([...lines, '{"half']);
    const unpacked: string[] = [];
    await readLines(`${file}.gz`, (line) => unpacked.push(line));
    expect(unpacked).toEqual(lines);
    const backwards: string[] = [];
    await readLinesBackwards(file, Buffer.byteLength(text) + 6, (line) => backwards.push(line) > 0);
    expect(backwards).toEqual(lines.toReversed());
    const since = 1_700_000_000_000 + 3_500 * 60_000;
    const from = await findTime(file, since);
    expect(from).toBeGreaterThan(Buffer.byteLength(text) / 2);
    const newer: string[] = [];
    await readLines(file, (line) => newer.push(line), from);
    expect(newer).toContain(lines[3_500]);
    expect(lines).toContain(newer[0]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('times of tools are right within 2 %, whatever their size', () => {
  const durations = new ToolDurations();
  for (let id = 1; id <= 1_000; id += 1) durations.add('a', id % 10 === 0, id / 1_000);
  const [a] = durations.summarize();
  expect(a).toMatchObject({ tool: 'a', calls: 1_000, errors: 100 });
  expect(Math.abs((a?.p50Seconds ?? 0) / 0.5 - 1)).toBeLessThan(0.025);
  expect(Math.abs((a?.p95Seconds ?? 0) / 0.95 - 1)).toBeLessThan(0.025);
});
