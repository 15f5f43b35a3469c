import { stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { deploymentSchema } from '../../deployment/schema.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import type { AuditSeen } from '../machine-observations.ts';
import type { Observed } from '../observations.ts';
import type { OwnFacts } from '../types.ts';
import { jsonOf, textOf } from './machine/read-own-files.ts';

/** Lines wait for each other before they are written (logs.auditFlushMs), and a busy disk takes its time. */
const patienceMs = 3_000;
const lookEveryMs = 50;

/** Notes how the audit file is; the second half, behind doctor's own requests, waits until it has grown. */
export async function watchAudit(own: OwnFacts): Promise<(signal: AbortSignal) => Promise<Observed<AuditSeen>>> {
  const config = jsonOf(await textOf(deploymentPaths(own.stateDir).serverConfig)) as { deployment?: unknown } | null;
  const parsed = deploymentSchema.safeParse(config?.deployment);
  if (!parsed.success)
    return () => Promise.resolve({ status: 'skipped', reason: 'the configuration could not be read' });
  const { audit, auditFlushMs } = parsed.data.logs;
  if (audit === 'off') return () => Promise.resolve({ status: 'ok', file: null, before: null, after: null });
  const before = await lookAt(audit);
  return async (signal) => {
    const until = performance.now() + auditFlushMs + patienceMs;
    let after = await lookAt(audit);
    while (!hasGrown(before, after) && performance.now() < until) {
      await setTimeout(lookEveryMs, undefined, { signal });
      after = await lookAt(audit);
    }
    return { status: 'ok', file: audit, before, after };
  };
}

type Look = AuditSeen['before'];

function hasGrown(before: Look, after: Look): boolean {
  if (after === null) return false;
  // A file that was rotated begins anew.
  return before === null || after.inode !== before.inode ? after.size > 0 : after.size > before.size;
}

async function lookAt(file: string): Promise<Look> {
  return stat(file).then(
    ({ size, ino }) => ({ size, inode: ino }),
    () => null,
  );
}
