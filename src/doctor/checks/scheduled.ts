import { checksOf, fail, notApplicable, pass, type EndpointCheck } from './endpoint-check.ts';
import { withMachine } from './with-machine.ts';

/** A weekly backup that was a day late. */
const oldBackupDays = 8;

/** What has to happen again and again by itself: backups, and the timers of backups and renewals. */
export const scheduledChecks = checksOf('host', [
  {
    code: 'host/backup-age',
    title: `the newest backup is younger than ${oldBackupDays} days`,
    label: 'backup',
    hop: 'host',
    severity: 'warning',
    needs: ['machine'],
    after: [],
    explanation:
      'Where backups are set up (backup.recipients, backup.passphraseFile) or one was made, a newer one should be there ' +
      'after a week. A timer that stopped is noticed otherwise on the day when the backup is needed.',
    judge: (seen) =>
      withMachine(seen, ({ backup }) => {
        if (backup === null) return notApplicable('no backups are set up');
        const ageDays = backup.newest?.ageDays ?? backup.deployedDays;
        if (ageDays === null || ageDays <= oldBackupDays) return pass();
        return fail({
          title:
            backup.newest === null ? 'no backup was ever made' : `the newest backup is ${Math.floor(ageDays)} days old`,
          cause: 'nothing makes them any more, or nothing ever did',
          evidence: [
            {
              source: backup.newest?.file ?? 'backups of this deployment',
              observed:
                backup.newest === null ? `none in ${Math.floor(ageDays)} days` : `${Math.floor(ageDays)} days old`,
              expected: `at most ${oldBackupDays} days`,
            },
          ],
          fix: { summary: 'Make one now, and let a timer make the next.', commands: ['mcp-deploy backup create'] },
        });
      }),
  },
  {
    code: 'host/backup-file',
    title: 'the newest backup is still what was written',
    label: 'backup file',
    hop: 'host',
    severity: 'warning',
    needs: ['machine'],
    after: [],
    explanation:
      'The record of the newest backup names its file and size. A file that is gone, or has another size, cannot be ' +
      'restored. Where backup.afterwards takes backups elsewhere, a file that is gone is as it should be.',
    judge: (seen) =>
      withMachine(seen, ({ backup }) => {
        if (backup?.newest === undefined || backup.newest === null || backup.file === null) {
          return notApplicable('no backup was made');
        }
        if (backup.file === 'as written' || (backup.file === 'gone' && backup.takenAway)) return pass();
        return fail({
          title: backup.file === 'gone' ? 'the newest backup is gone' : 'the newest backup was changed',
          cause: backup.file === 'gone' ? 'it was deleted or moved' : 'it was cut or overwritten',
          evidence: [{ source: backup.newest.file, observed: backup.file, expected: 'as it was written' }],
          fix: {
            summary: 'Make a new one, and verify it.',
            commands: ['mcp-deploy backup create', 'mcp-deploy backup verify'],
          },
        });
      }),
  },
  timerCheck({
    code: 'host/renewal-timer',
    what: 'renewal timer',
    of: 'timer',
    explanation:
      '`cert renew --install-timer` wrote a timer outside of the folder of the deployment. Without it nobody renews the ' +
      'certificate, which is noticed when it has expired.',
    command: 'mcp-deploy cert renew --install-timer',
  }),
  timerCheck({
    code: 'host/backup-timer',
    what: 'backup timer',
    of: 'backupTimer',
    explanation:
      '`backup create --install-timer` wrote a timer outside of the folder of the deployment. Without it no more backups ' +
      'are made, which is noticed when one is needed.',
    command: 'mcp-deploy backup create --install-timer',
  }),
]);

function timerCheck(spec: {
  readonly code: string;
  readonly what: string;
  readonly of: 'timer' | 'backupTimer';
  readonly explanation: string;
  readonly command: string;
}): Omit<EndpointCheck, 'category'> {
  const { code, what, of, explanation, command } = spec;
  return {
    code,
    title: `the ${what} that was installed is there and runs`,
    label: what,
    hop: 'host',
    severity: 'warning',
    needs: ['machine'],
    after: [],
    explanation,
    judge: (seen) =>
      withMachine(seen, (machine) => {
        const timer = machine[of];
        if (timer === null) return notApplicable('no timer was installed');
        const { files, unit } = timer;
        const bad = files.filter(({ state }) => state !== 'as written');
        const stopped = unit !== null && !['active', 'activating'].includes(unit.state) ? unit : null;
        if (bad.length === 0 && stopped === null) return pass();
        return fail({
          title: bad.length > 0 ? `the ${what} was changed or removed` : `the ${what} does not run`,
          cause: bad.length > 0 ? 'somebody edited or deleted its files' : 'it was stopped or disabled',
          evidence: [
            ...bad.map(({ path, state }) => ({ source: path, observed: state, expected: 'as it was written' })),
            ...(stopped === null ? [] : [{ source: stopped.name, observed: stopped.state, expected: 'active' }]),
          ],
          fix: { summary: 'Install it again.', commands: [command] },
        });
      }),
  };
}
