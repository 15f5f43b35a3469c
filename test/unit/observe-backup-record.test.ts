import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { watchBackupRecord } from '../../src/server/observe/backup-record.ts';

test('the time of the last backup follows its record; what is none gives no time', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpd-record-'));
  const file = join(folder, 'backup.json');
  const read = watchBackupRecord(file);
  try {
    expect([watchBackupRecord(undefined)(), read()]).toEqual([null, null]);
    writeFileSync(file, '{"createdAt":"2026-11-21T02:00:00.000Z"}');
    expect([read(), read()]).toEqual([1_795_226_400, 1_795_226_400]);
    writeFileSync(file, '{"createdAt":"2026-11-22T02:00:00.000Z", "size": 1}');
    expect(read()).toBe(1_795_312_800);
    for (const text of ['{', 'null', '{"createdAt":5}', '{"createdAt":"yesterday"}', ' '.repeat(70_000)]) {
      writeFileSync(file, text);
      expect(read(), text.slice(0, 20)).toBeNull();
    }
    writeFileSync(file, '{"createdAt":"2026-11-21T02:00:00.000Z"}');
    expect(read()).toBe(1_795_226_400);
    rmSync(file);
    expect(read()).toBeNull();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
