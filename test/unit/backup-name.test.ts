import { expect, test } from 'vitest';
import { backupFileName, backupsToRemove, parseBackupName } from '../../src/backup/backup-name.ts';

test('a name says which deployment, when and whether it is encrypted, and is read back', () => {
  const name = backupFileName('team-tools', '2026-11-21T18:42:03.123Z', true);
  expect(name).toBe('team-tools-20261121T184203Z.tar.gz.age');
  expect(parseBackupName(name)).toEqual({
    name,
    deployment: 'team-tools',
    createdAt: '2026-11-21T18:42:03.000Z',
    encrypted: true,
  });
  expect(parseBackupName(backupFileName('a', '2026-01-02T03:04:05Z', false))?.encrypted).toBe(false);
});

test.each([
  'notes.txt',
  'mcp-20261121.tar.gz',
  'mcp-20261121T184203Z.tar.gz.age.mcpd-tmp',
  'MCP-20261121T184203Z.tar.gz',
])('%s is no backup', (name) => expect(parseBackupName(name)).toBeNull());

const now = new Date('2026-11-21T00:00:00Z');
const ofDay = (day: string) => parseBackupName(`mcp-202611${day}T000000Z.tar.gz.age`) ?? expect.fail();

test.each([
  { keep: 2, keepDays: null, days: ['18', '20', '19'], gone: ['18'] },
  { keep: 9, keepDays: 2, days: ['18', '20', '19'], gone: ['18'] },
  { keep: 9, keepDays: 1, days: ['01', '02', '03'], gone: ['02', '01'] },
  { keep: 1, keepDays: 1, days: ['01'], gone: [] },
  { keep: 1, keepDays: null, days: [], gone: [] },
])('of $days, keeping $keep and $keepDays days, $gone go: never the newest', ({ keep, keepDays, days, gone }) => {
  const removed = backupsToRemove(days.map(ofDay), { keep, keepDays, now });
  expect(removed.map(({ createdAt }) => createdAt.slice(8, 10))).toEqual(gone);
});
