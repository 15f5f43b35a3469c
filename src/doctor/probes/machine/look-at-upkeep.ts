import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { readFile, stat } from 'node:fs/promises';
import { describeDrift } from '../../../plan/describe-drift.ts';
import { parseTimerRecord, timerRecordFile } from '../../../plan/timer-record.ts';
import type { FileFact, ReleaseRecord } from '../../../plan/facts.ts';
import type { BackupSeen, MachineSeen, TimerSeen, UnitSeen } from '../../machine-observations.ts';
import type { MachineAccess } from '../../types.ts';
import { jsonOf, modeOf, sha256Of, textOf } from './read-own-files.ts';
import type { Applied } from './read-releases.ts';

const dayMs = 86_400_000;
const systemctlTimeoutMs = 3_000;

/** Files of the last release that are not as they were written. */
export async function lookAtDrift(
  release: ReleaseRecord | undefined,
  place: { readonly stateDir: string; readonly deploymentFile: string },
): Promise<MachineSeen['drifted']> {
  if (release === undefined) return null;
  const files: Record<string, FileFact> = {};
  for (const path of Object.keys(release.files)) {
    const sha256 = await sha256Of(path);
    // There and not readable is no drift.
    if (sha256 !== null) files[path] = { sha256, mode: 0 };
    else if ((await modeOf(path)) !== null) files[path] = release.files[path] as FileFact;
  }
  const entries = describeDrift({
    release,
    files,
    stateDir: place.stateDir,
    deploymentFile: { path: place.deploymentFile },
  });
  return entries.flatMap(({ path, state }) => (state === 'as written' ? [] : [{ path, state }]));
}

/** The record that `backup create` keeps, and the file that it names. */
export async function lookAtBackup(stateDir: string, applied: Applied, now: string): Promise<BackupSeen | null> {
  const { backup } = applied.deployment ?? {};
  const record = jsonOf(await textOf(join(stateDir, 'backup.json'))) as Partial<{
    createdAt: string;
    file: string;
    size: number;
  }> | null;
  const isSetUp = (backup?.recipients.length ?? 0) > 0 || backup?.passphraseFile !== undefined;
  if (record === null && !isSetUp) return null;
  const first = applied.releases.at(-1)?.appliedAt;
  const since = (text: string | undefined): number | null =>
    text === undefined || Number.isNaN(Date.parse(text)) ? null : (Date.parse(now) - Date.parse(text)) / dayMs;
  const ageDays = since(record?.createdAt);
  const size =
    record?.file === undefined
      ? undefined
      : await stat(record.file).then(
          (found) => found.size,
          () => null,
        );
  return {
    newest: ageDays === null || record?.file === undefined ? null : { file: record.file, ageDays },
    file: size === undefined ? null : size === null ? 'gone' : size === record?.size ? 'as written' : 'changed',
    takenAway: backup?.afterwards !== undefined,
    deployedDays: since(first),
  };
}

/** What `--install-timer` wrote, and whether systemd keeps it. */
export async function lookAtTimer(
  stateDir: string,
  job: Parameters<typeof timerRecordFile>[1],
  { run }: MachineAccess,
): Promise<TimerSeen | null> {
  const record = parseTimerRecord((await textOf(timerRecordFile(stateDir, job))) ?? '', stateDir);
  if (record === null) return null;
  const files = await Promise.all(
    record.files.map(async ({ path, sha256 }) => {
      const bytes = await readFile(path).catch(() => null);
      const now = bytes === null ? null : createHash('sha256').update(bytes).digest('hex');
      return { path, state: now === null ? 'gone' : now === sha256 ? 'as written' : 'edited' } as const;
    }),
  );
  const unitFile = record.files.find(({ path }) => path.endsWith('.timer'))?.path;
  if (unitFile === undefined) return { files, unit: null };
  const scope = record.install.some((argv) => argv.includes('--user')) ? ['--user'] : [];
  const name = basename(unitFile);
  const { output } = await run(['systemctl', ...scope, 'is-active', name], systemctlTimeoutMs);
  const state = output.trim();
  return { files, unit: /^(?:active|inactive|failed|activating|deactivating)$/.test(state) ? { name, state } : null };
}

/** The unit of a deployment that is a service of the host, or of the person whose folder it is. */
export async function lookAtUnit(release: ReleaseRecord | undefined, { run }: MachineAccess): Promise<UnitSeen | null> {
  const paths = Object.keys(release?.files ?? {}).filter((path) =>
    /\/systemd\/(?:system|user)\/[^/]+\.(?:service|socket)$/.test(path),
  );
  // Not that of a timer.
  const isTimed = (path: string): boolean => release?.files[path.replace(/\.service$/, '.timer')] !== undefined;
  const path = paths.find((each) => each.endsWith('.service') && !isTimed(each));
  if (path === undefined) return null;
  const name = basename(path);
  const personal = path.includes('/systemd/user/');
  const names = paths.map((each) => basename(each));
  const show = async (unit: string): Promise<Readonly<Record<string, string>>> => {
    const wanted = 'LoadState,ActiveState,UnitFileState,NRestarts,ActiveEnterTimestampMonotonic';
    const argv = ['systemctl', ...(personal ? ['--user'] : []), 'show', `--property=${wanted}`, unit];
    const { exitCode, output } = await run(argv, systemctlTimeoutMs);
    return exitCode !== 0
      ? {}
      : Object.fromEntries(output.split('\n').map((line) => line.split('=') as [string, string]));
  };
  const [service, ...others] = await Promise.all([name, ...names.filter((each) => each !== name)].map(show));
  if (service?.['ActiveState'] === undefined) return null;
  const startedSeconds = Number(service['ActiveEnterTimestampMonotonic']) / 1e6;
  const uptimeSeconds = Number.parseFloat((await textOf('/proc/uptime')) ?? '');
  const up = service['ActiveState'] === 'active' && startedSeconds > 0 && uptimeSeconds > 0;
  return {
    name,
    personal,
    active: service['ActiveState'],
    enabled: [service, ...others].some((unit) => (unit['UnitFileState'] ?? '').startsWith('enabled')),
    restarts: Number(service['NRestarts']) || 0,
    upSeconds: up ? Math.max(0, uptimeSeconds - startedSeconds) : null,
  };
}
