import { relative } from 'node:path';
import type { VerifiedEndpoint } from '../../apply/ports.ts';
import {
  certificateInBackup,
  judgeBackedUpCertificate,
  type BackedUpCertificate,
} from '../judge-backed-up-certificate.ts';
import { changesForCopy, leftOutOfCopy } from '../../backup/plan-copy.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { ExplainedError } from '../../deployment/errors.ts';
import { runDoctor } from '../../doctor/run-doctor.ts';
import type { DoctorReport } from '../../doctor/types.ts';
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
    output.progress(`  ${output.err.green('✓')} ${title.padEnd(12)}${text}`);
  const startedAt = ports.clock.elapsed();
  try {
    return await inCopy(context, async (copy, remove) => {
      const listen = `127.0.0.1:${await ports.endpoint.freePort()}`;
      let asBackedUp: Deployment | undefined;
      const proven = await proveBackup(copy, file, key, (found) => {
        asBackedUp = found;
        return changesForCopy(found, listen);
      });
      const { manifest, deployment } = proven;
      const certificate = await readCertificate(context, { file, key, deployment: asBackedUp ?? deployment });
      tick(
        'backup',
        `${shown}, of ${manifest.createdAt.slice(0, 16).replace('T', ' ')} UTC, ${manifest.files.length} files`,
      );
      if (certificate !== null) tick('certificate', certificate.said);
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
        certificate,
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

/** The copy may serve another one, so the certificate that a restore brings back is judged by itself. */
async function readCertificate(
  { baseDir, ports }: CommandContext,
  backup: { readonly file: string; readonly key: Key | null; readonly deployment: Deployment },
): Promise<BackedUpCertificate | null> {
  const names = certificateInBackup(backup.deployment, baseDir);
  if (names === null) return null;
  const found = new Map<string, string>();
  await readArchive(backup.file, backup.key, async ({ path, size }, content) => {
    const isPair = (path === names.certificate || path === names.key) && size <= mostPemBytes;
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) if (isPair) chunks.push(chunk);
    if (isPair) found.set(path, Buffer.concat(chunks).toString('utf8'));
  });
  const pair = { certificatePem: found.get(names.certificate), keyPem: found.get(names.key) };
  return judgeBackedUpCertificate(backup.deployment.tls.source, pair, new Date(ports.clock.now()));
}

const mostPemBytes = 1_048_576;

async function examine({ url, caPem, key }: CopyClient, signal: AbortSignal): Promise<DoctorReport> {
  return runDoctor({ url, caPem, key, own: null, limits: false, signal, onProgress: () => {} });
}

function eras({ modern, legacy }: VerifiedEndpoint): string {
  return [...(modern ? ['modern'] : []), ...(legacy ? ['legacy'] : [])].join(' and ') + ' client';
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
