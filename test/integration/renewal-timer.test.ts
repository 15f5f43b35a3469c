import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { renderRenewalTimer, renewalCronLine } from '../../src/targets/renewal-timer.ts';
import { deploymentSchema } from '../../src/deployment/schema.ts';
import { backupTimerJob, renderBackupTimer } from '../../src/targets/backup-timer.ts';
import { targetInput } from '../helpers/target-input.ts';
import { findProgram, testWithTools } from '../helpers/tools.ts';

const timer = {
  name: 'notes',
  argv: ['/usr/bin/env', 'a b', "it's", '100%', '$HOME', '--file', '/srv/x & y/mcp-deploy.yaml'],
  homeDir: '/home/anna',
  uid: 1000,
  templates: targetInput({ version: 1 }).templates,
};

const { backup } = deploymentSchema.parse({ version: 1, backup: { at: '03:05' } });
const everies = ['hourly', 'daily', 'weekly', 'monthly'] as const;

testWithTools(['systemd-analyze'], 'systemd takes the timer and its service without a word', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mcpd-timer-'));
  try {
    const files = [
      ...renderRenewalTimer('systemd', timer).files,
      ...everies.flatMap(
        (every) => renderBackupTimer('systemd', { ...timer, name: `notes-${every}` }, { ...backup, every }).files,
      ),
    ];
    const paths = files.map(({ path }) => join(folder, basename(path)));
    for (const [index, { content }] of files.entries()) await writeFile(paths[index] ?? '', content);
    const seen = spawnSync(findProgram('systemd-analyze') ?? '', ['verify', ...paths], { encoding: 'utf8' });
    const ours = seen.stderr.split('\n').filter((line) => line.includes(folder));
    expect({ status: seen.status, ours }).toEqual({ status: 0, ours: [] });
  } finally {
    await rm(folder, { recursive: true });
  }
});

testWithTools(['plistutil'], 'the plist of launchd parses', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mcpd-timer-'));
  try {
    for (const every of everies) {
      const [plist] = renderBackupTimer('launchd', timer, { ...backup, every }).files;
      const path = join(folder, `${every}.plist`);
      await writeFile(path, plist?.content ?? '');
      expect(spawnSync(findProgram('plistutil') ?? '', ['-i', path]).status, every).toBe(0);
    }
    const [file] = renderRenewalTimer('launchd', timer).files;
    await writeFile(join(folder, 'x.plist'), file?.content ?? '');
    const seen = spawnSync(
      findProgram('plistutil') ?? '',
      ['-i', join(folder, 'x.plist'), '-o', join(folder, 'x.bin')],
      {
        encoding: 'utf8',
      },
    );
    expect({ status: seen.status, said: seen.stderr }).toEqual({ status: 0, said: '' });
    const back = spawnSync(findProgram('plistutil') ?? '', ['-i', join(folder, 'x.bin')], { encoding: 'utf8' }).stdout;
    for (const word of ['a b', '$HOME', '/srv/x &amp; y/mcp-deploy.yaml'])
      expect(back).toContain(`<string>${word}</string>`);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('a user’s timer is in their home and under their systemd; cron gets one line, its percent signs escaped', () => {
  const user = renderRenewalTimer('systemd-user', timer);
  expect(user.files.every(({ path }) => path.startsWith('/home/anna/.config/systemd/user/'))).toBe(true);
  expect(user.install[0]?.argv).toEqual(['systemctl', '--user', 'daemon-reload']);
  const line = renewalCronLine('notes', timer.argv, 'root');
  expect(line).toMatch(/^\d{1,2} \d{1,2},\d{1,2} \* \* \* root \/usr\/bin\/env 'a b' /);
  expect(line).toContain(String.raw`100\%`);
  expect(renderRenewalTimer('cron', timer).files[0]?.content).toMatch(/\n\d+ \d+,\d+ .*\n$/);
  expect(renderRenewalTimer('cron', timer).files[0]?.content).toContain(`\n${line}\n`);
});

test('backups come by the clock that backup.every and backup.at say, in the words of each program', () => {
  const words = everies.map((every) => {
    const { cron, schedule } = backupTimerJob({ ...backup, every });
    return [cron, schedule['calendar'], JSON.stringify(schedule['fields'])];
  });
  expect(words).toEqual([
    ['5 * * * *', '*-*-* *:05:00', '[{"field":"Minute","value":5}]'],
    ['5 3 * * *', '*-*-* 03:05:00', '[{"field":"Hour","value":3},{"field":"Minute","value":5}]'],
    [
      '5 3 * * 0',
      'Sun *-*-* 03:05:00',
      '[{"field":"Weekday","value":0},{"field":"Hour","value":3},{"field":"Minute","value":5}]',
    ],
    [
      '5 3 1 * *',
      '*-*-01 03:05:00',
      '[{"field":"Day","value":1},{"field":"Hour","value":3},{"field":"Minute","value":5}]',
    ],
  ]);
  // Without backup.every a timer is daily.
  expect(backupTimerJob({ at: backup.at }).cron).toBe('5 3 * * *');
});
