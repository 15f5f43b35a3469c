import { relative } from 'node:path';
import type { VerifiedEndpoint } from '../../apply/ports.ts';
import { changesForCopy, leftOutOfCopy } from '../../backup/plan-copy.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { EnvironmentError, ExplainedError } from '../../deployment/errors.ts';
import { runDoctor } from '../../doctor/run-doctor.ts';
import type { DoctorReport } from '../../doctor/types.ts';
import { keyMatchesCertificate } from '../../pki/key-matches-certificate.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import { readArchive, type Key } from '../../host/backup/read-archive.ts';
import { backupFolder, findBackup, openingKey, readBackupSettings } from '../backup-folder.ts';
import type { CommandContext } from '../context.ts';
import { callCopy, clientOfCopy, inCopy, type CopyClient } from '../drill-copy.ts';
import type { FlagValues } from '../flag-values.ts';
import { noteMaintenance } from '../maintenance-record.ts';
import { proveBackup, restoreThroughJournal } from '../restore-backup.ts';

/**
 * `mcp-deploy drill restore [FILE]`: restores the newest backup to a copy in a folder and on a port of its own, calls it as
 * clients would, lets doctor look at it, and takes everything away again. The live deployment is not touched.
 */
export async function runDrillRestore(
  context: CommandContext,
  wanted: string | undefined,
  options: FlagValues,
): Promise<number> {
  const settings = await readBackupSettings(context);
  const file = await findBackup(context, wanted, backupFolder(context, settings, options));
  const key = await openingKey(context, file, options, settings);
  const { output, ports } = context;
  const shown = relative(context.world.cwd, file) || file;
  const tick = (title: string, text: string): void =>
    output.progress(`  ${output.err.green('✓')} ${title.padEnd(10)}${text}`);
  const startedAt = ports.clock.elapsed();
  try {
    return await inCopy(context, async (copy, remove) => {
      const listen = `127.0.0.1:${await ports.endpoint.freePort()}`;
      let asBackedUp: Deployment | undefined;
      const proven = await proveBackup(copy, file, key, (found) => {
        asBackedUp = found;
        return changesForCopy(found, listen);
      });
      await judgePair(file, key);
      const { manifest, deployment } = proven;
      tick(
        'backup',
        `${shown}, of ${manifest.createdAt.slice(0, 16).replace('T', ' ')} UTC, ${manifest.files.length} files`,
      );
      const notTried = leftOutOfCopy(asBackedUp ?? deployment);
      await restoreThroughJournal(copy, { file, key, proven });
      const tookMs = Math.round(ports.clock.elapsed() - startedAt);
      tick('restored', `in ${seconds(tookMs)} to a copy at ${endpointUrl(deployment)}`);
      const client = await clientOfCopy(copy, deployment);
      const called = await callCopy(copy, client);
      tick(
        'called',
        `${eras(called)}, ${called.tools} tools${called.called === null ? '' : `, ${called.called.tool} answered`}`,
      );
      const report = await examine(client, context.signal);
      const errors = report.findings.filter(({ severity }) => severity === 'error');
      if (errors.length === 0) tick('doctor', `${report.passed.length} checks passed`);
      else for (const { code, title } of errors) output.progress(`  ${output.err.red('✗')} ${code}  ${title}`);
      const ok = errors.length === 0;
      const said = ok
        ? `${shown} restored in ${seconds(tookMs)}`
        : `${shown} restored, and doctor found ${errors.map(({ code }) => code).join(', ')}`;
      await noteMaintenance(context, 'restore-drill', { ok, said });
      await remove();
      tick('removed', 'the copy, its server and its folder');
      output.document({
        ok,
        file,
        createdAt: manifest.createdAt,
        files: manifest.files.length,
        restoreMs: tookMs,
        called,
        doctor: { passed: report.passed.length, errors: errors.map(({ code }) => code) },
        leftOut: manifest.leftOut,
        notTried,
      });
      for (const what of notTried) output.progress(`  - not tried: ${what}`);
      for (const path of manifest.leftOut) output.warning(`not in the backup: ${path}`);
      output.result(
        ok
          ? `  A restore of this backup works and takes about ${seconds(tookMs)}.\n\n  Next   mcp-deploy maintenance`
          : `  The backup restores, but its server is not healthy: ${errors.map(({ code }) => code).join(', ')}.\n\n  Next   mcp-deploy explain ${errors[0]?.code ?? ''}`,
      );
      return ok ? 0 : 1;
    });
  } catch (error) {
    if (error instanceof ExplainedError && !context.signal.aborted) {
      await noteMaintenance(context, 'restore-drill', { ok: false, said: error.message });
    }
    throw error;
  }
}

/** Where the real certificate is for public names the copy serves another one; that its key belongs to it is told from the backup. */
async function judgePair(file: string, key: Key | null): Promise<void> {
  const pair = new Map<string, string>();
  await readArchive(file, key, async ({ path }, content) => {
    const isPair = path === 'state/pki/server.crt' || path === 'state/pki/server.key';
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) if (isPair) chunks.push(chunk);
    if (isPair) pair.set(path, Buffer.concat(chunks).toString('utf8'));
  });
  const certificate = pair.get('state/pki/server.crt');
  const privateKey = pair.get('state/pki/server.key');
  if (certificate === undefined || privateKey === undefined || keyMatchesCertificate(certificate, privateKey)) return;
  throw new EnvironmentError('The certificate in the backup does not belong to the key in it.', {
    next: 'mcp-deploy cert renew --force, then mcp-deploy backup create',
  });
}

async function examine({ url, caPem, key }: CopyClient, signal: AbortSignal): Promise<DoctorReport> {
  return runDoctor({ url, caPem, key, own: null, limits: false, signal, onProgress: () => {} });
}

function eras({ modern, legacy }: VerifiedEndpoint): string {
  return [...(modern ? ['modern'] : []), ...(legacy ? ['legacy'] : [])].join(' and ') + ' client';
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
