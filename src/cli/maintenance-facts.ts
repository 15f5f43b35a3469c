import { statfs } from 'node:fs/promises';
import { ExplainedError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { describeCertificate } from '../pki/describe-certificate.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { releasesToPrune } from '../plan/choose-rollback.ts';
import type { MaintenanceFacts } from '../plan/judge-maintenance.ts';
import { timerRecordFile } from '../plan/timer-record.ts';
import type { CommandContext } from './context.ts';
import { readLastBytes } from './read-last-bytes.ts';
import { readMaintenanceRecord } from './maintenance-record.ts';
import { readStatusSnapshot, type StatusSnapshot } from './status-snapshot.ts';
import { findTrimmable } from './trim-disk.ts';

/** Everything that upkeep is judged from; changes nothing. @throws UserError when there is no deployment in the folder */
export async function readMaintenanceFacts(
  context: CommandContext,
): Promise<{ readonly facts: MaintenanceFacts; readonly deployment: Deployment | null }> {
  const { ports, stateDir } = context;
  const now = await readStatusSnapshot(context);
  const { deployment } = now;
  const paths = deploymentPaths(stateDir);
  const record = await readMaintenanceRecord(context);
  const nowMs = Date.parse(ports.clock.now());
  const seen = (what: string): MaintenanceFacts['doctor'] => {
    const event = record[what];
    return event === undefined
      ? { ageSeconds: null, ok: true }
      : { ageSeconds: Math.max(0, (nowMs - Date.parse(event.at)) / 1_000), ok: event.ok };
  };
  const keepReleases = deployment?.service.keepReleases ?? 10;
  const numbers = (await ports.files.list(paths.releasesDir)).flatMap((name) => /^(\d+)\.json$/.exec(name)?.[1] ?? []);
  const trimmable = await findTrimmable(context, deployment);
  return {
    deployment,
    facts: {
      server: {
        running: now.server.state === 'running',
        answers: now.live !== null,
        upstreamRestarts: (now.live?.upstreams ?? []).reduce((sum, { restarts = 0 }) => sum + restarts, 0),
        version: now.live?.version ?? null,
        ownVersion: context.package.version,
      },
      backup: {
        ageSeconds: now.backup?.ageSeconds ?? null,
        overdue: now.backup?.overdue ?? false,
        unattended: (deployment?.backup.recipients.length ?? 0) > 0 || deployment?.backup.passphraseFile !== undefined,
        timer: (await ports.files.stat(timerRecordFile(stateDir, 'backup'))) !== null,
      },
      disk: await readDisk(stateDir),
      trim: { files: trimmable.length, bytes: trimmable.reduce((sum, { bytes }) => sum + bytes, 0) },
      releasesBeyond: releasesToPrune(numbers.map(Number), keepReleases).length,
      keepReleases,
      certificate: certificateOf(now),
      caDaysLeft: deployment?.tls.source === 'private-ca' ? await readDaysLeft(context, paths.caCertificate) : null,
      oldKeys: now.keys instanceof ExplainedError ? [] : now.keys.filter(({ rotationDue }) => rotationDue),
      audit: now.audit === null ? null : seen('audit'),
      doctor: seen('doctor'),
      restoreDrill: seen('restore-drill'),
      failoverDrill: deployment !== null && canFailAlone(deployment) ? seen('failover-drill') : null,
      logErrors: await countLogErrors(deployment?.logs.file ?? paths.logFile, nowMs),
    },
  };
}

function canFailAlone({ server }: Deployment): boolean {
  return server.workers !== 1 || Object.values(server.upstreams).some((upstream) => 'command' in upstream);
}

/** Of a log that is larger, its end. */
const readBytes = 2_000_000;

async function countLogErrors(file: string, nowMs: number): Promise<number | null> {
  const text = await readLastBytes(file, readBytes);
  if (text === null) return null;
  return text.split('\n').filter((line) => {
    const [, time = ''] = /^\{"time":"([^"]+)","level":"error"/.exec(line) ?? [];
    return nowMs - Date.parse(time) < 86_400_000;
  }).length;
}

function certificateOf({ certificate, deployment }: StatusSnapshot): MaintenanceFacts['certificate'] {
  if (certificate === null) return null;
  if (certificate instanceof ExplainedError) return 'damaged';
  return { daysLeft: certificate.daysLeft, isOurs: deployment?.tls.source !== 'files' };
}

async function readDaysLeft({ ports }: CommandContext, path: string): Promise<number | null> {
  const bytes = await ports.files.read(path).catch(() => null);
  try {
    return bytes === null ? null : describeCertificate(bytes, new Date(ports.clock.now())).daysLeft;
  } catch {
    return null;
  }
}

async function readDisk(folder: string): Promise<MaintenanceFacts['disk']> {
  try {
    const { bavail, blocks, bsize } = await statfs(folder);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch {
    return null;
  }
}
