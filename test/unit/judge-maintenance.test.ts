import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { judgeMaintenance, type MaintenanceFacts } from '../../src/plan/judge-maintenance.ts';

const day = 86_400;
const well: MaintenanceFacts = {
  server: { running: true, answers: true, upstreamRestarts: 0, version: '1.0.0', ownVersion: '1.0.0' },
  backup: { ageSeconds: 3_600, overdue: false, unattended: true, timer: true },
  disk: { freeBytes: 50e9, totalBytes: 100e9 },
  trim: { files: 0, bytes: 0 },
  releasesBeyond: 0,
  keepReleases: 10,
  certificate: { daysLeft: 90, isOurs: true },
  caDaysLeft: 3_000,
  oldKeys: [],
  audit: { ageSeconds: day, ok: true },
  doctor: { ageSeconds: day, ok: true },
  restoreDrill: { ageSeconds: day, ok: true },
  failoverDrill: { ageSeconds: day, ok: true },
  logErrors: 0,
};

/** What people who run such servers look at, by turn, and the lines here that stand for it. */
test.each([
  ['daily', 'logs', ['logs']],
  ['daily', 'disk', ['disk']],
  ['daily', 'backups', ['backup']],
  ['daily', 'health', ['server']],
  ['daily', 'certificates', ['certificate']],
  ['weekly', 'failover', ['failover-drill']],
  ['weekly', 'crashes and checks', ['crashes', 'doctor', 'audit']],
  ['weekly', 'trimming of logs and disk', ['trim']],
  ['monthly', 'restore', ['restore-drill']],
  ['monthly', 'updates', ['version', 'releases']],
  ['quarterly', 'disaster drill', ['disaster-drill']],
  ['quarterly', 'rotation of keys, 90 days', ['keys', 'ca']],
])('%s: %s is something that is looked at', (turn, _, ids) => {
  const found = judgeMaintenance(well).filter((item) => ids.includes(item.id));
  expect(found.map((item) => item.turn)).toEqual(ids.map(() => turn));
});

test('the document names every line, and no other, under its turn', () => {
  const table = readFileSync(new URL('../../docs/maintenance.md', import.meta.url), 'utf8');
  const rows = [...table.matchAll(/^\| (daily|weekly|monthly|quarterly) \| ([^|]+) \|/gm)].map(
    ([, turn, title]) => `${turn} ${title?.trim()}`,
  );
  const items = judgeMaintenance(well).map(({ turn, title }) => `${turn} ${title}`);
  expect(rows.toSorted()).toEqual(items.toSorted());
});

test('nothing is due where all is well, and every line says how it is', () => {
  const items = judgeMaintenance(well);
  expect(items.filter(({ due, next, task }) => due || next !== null || task !== null)).toEqual([]);
  expect(items.map(({ turn }) => turn).filter((turn, index, all) => turn !== all[index - 1])).toEqual(
    expect.arrayContaining(['daily', 'weekly', 'monthly', 'quarterly']),
  );
  expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
});

test.each<[string, Partial<MaintenanceFacts>, { id: string; next: RegExp; task: string | null }]>([
  [
    'a stopped server',
    { server: { ...well.server, running: false, answers: false } },
    { id: 'server', next: /start/, task: null },
  ],
  [
    'a server that does not answer',
    { server: { ...well.server, answers: false } },
    { id: 'server', next: /doctor/, task: null },
  ],
  ['crashes', { server: { ...well.server, upstreamRestarts: 3 } }, { id: 'crashes', next: /logs/, task: null }],
  [
    'an older version',
    { server: { ...well.server, version: '0.9.0' } },
    { id: 'version', next: /upgrade/, task: null },
  ],
  [
    'a newer version than this tool',
    { server: { ...well.server, version: '1.1.0' } },
    { id: 'version', next: /npm install -g mcp-deploy@1\.1\.0/, task: null },
  ],
  [
    'no backup',
    { backup: { ...well.backup, ageSeconds: null } },
    { id: 'backup', next: /backup create/, task: 'backup' },
  ],
  [
    'an old backup that nobody can open unasked',
    { backup: { ageSeconds: 90 * day, overdue: true, unattended: false, timer: true } },
    { id: 'backup', next: /recipients/, task: null },
  ],
  ['little room', { disk: { freeBytes: 9e9, totalBytes: 100e9 } }, { id: 'disk', next: /room/, task: null }],
  [
    'hardly any room on a small disk',
    { disk: { freeBytes: 1e9, totalBytes: 2e9 } },
    { id: 'disk', next: /room/, task: null },
  ],
  ['leftovers', { trim: { files: 2, bytes: 10 } }, { id: 'trim', next: /--run/, task: 'trim' }],
  ['old releases', { releasesBeyond: 3 }, { id: 'releases', next: /--run/, task: 'releases' }],
  [
    'a certificate at its end',
    { certificate: { daysLeft: 30, isOurs: true } },
    { id: 'certificate', next: /cert renew/, task: 'certificate' },
  ],
  [
    'one of the user',
    { certificate: { daysLeft: 3, isOurs: false } },
    { id: 'certificate', next: /new pair/, task: null },
  ],
  ['a damaged one', { certificate: 'damaged' }, { id: 'certificate', next: /up/, task: null }],
  ['a CA at its end', { caDaysLeft: 180 }, { id: 'ca', next: /cert ca/, task: null }],
  [
    'old keys',
    {
      oldKeys: [
        { label: 'b', ageDays: 91 },
        { label: 'old one', ageDays: 300 },
      ],
    },
    { id: 'keys', next: /keys rotate 'old one'/, task: null },
  ],
  [
    'an audit that was never read',
    { audit: { ageSeconds: null, ok: true } },
    { id: 'audit', next: /audit verify/, task: 'audit' },
  ],
  [
    'an audit that was broken',
    { audit: { ageSeconds: 60, ok: false } },
    { id: 'audit', next: /audit verify/, task: 'audit' },
  ],
  [
    'a week without doctor',
    { doctor: { ageSeconds: 8 * day, ok: true } },
    { id: 'doctor', next: /doctor/, task: 'doctor' },
  ],
  ['many errors', { logErrors: 11 }, { id: 'logs', next: /logs/, task: null }],
  [
    'a week without a failover',
    { failoverDrill: { ageSeconds: 8 * day, ok: true } },
    { id: 'failover-drill', next: /drill failover/, task: null },
  ],
  [
    'a drill long ago',
    { restoreDrill: { ageSeconds: 32 * day, ok: true } },
    { id: 'restore-drill', next: /drill restore/, task: null },
  ],
  [
    'a drill that failed',
    { restoreDrill: { ageSeconds: 60, ok: false } },
    { id: 'restore-drill', next: /drill restore/, task: null },
  ],
])('%s is due, alone, with the command for it', (_, change, expected) => {
  const due = judgeMaintenance({ ...well, ...change }).filter((item) => item.due);
  expect(due).toMatchObject([{ id: expected.id, task: expected.task }]);
  expect(due[0]?.next).toMatch(expected.next);
});

test('without TLS and audit, nothing is said of them; a backup without a timer says how to get one', () => {
  const items = judgeMaintenance({
    ...well,
    certificate: null,
    caDaysLeft: null,
    audit: null,
    backup: { ...well.backup, timer: false },
  });
  expect(items.map(({ id }) => id)).not.toEqual(expect.arrayContaining(['certificate']));
  expect(items.map(({ id }) => id)).not.toEqual(expect.arrayContaining(['audit']));
  expect(items.find(({ id }) => id === 'backup')).toMatchObject({
    due: false,
    next: expect.stringContaining('--install-timer'),
  });
});
