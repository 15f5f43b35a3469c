import { mkdtemp, realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import type { VerifiedEndpoint } from '../../apply/ports.ts';
import { changesForCopy } from '../../backup/plan-copy.ts';
import { EnvironmentError, ExplainedError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { runDoctor } from '../../doctor/run-doctor.ts';
import type { DoctorReport } from '../../doctor/types.ts';
import { keyMatchesCertificate } from '../../pki/key-matches-certificate.ts';
import { endpointUrl } from '../../plan/endpoint-url.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import { createKeyIn } from '../../server/policy/key-store.ts';
import { backupFolder, findBackup, openingKey, readBackupSettings } from '../backup-folder.ts';
import type { CommandContext } from '../context.ts';
import { copyContext } from '../copy-context.ts';
import type { FlagValues } from '../flag-values.ts';
import { noteMaintenance } from '../maintenance-record.ts';
import { proveBackup, restoreThroughJournal, type Proven } from '../restore-backup.ts';

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
  await removeFormer(context);
  const { output, ports } = context;
  const shown = relative(context.world.cwd, file) || file;
  const tick = (title: string, text: string): void =>
    output.progress(`  ${output.err.green('✓')} ${title.padEnd(10)}${text}`);
  const startedAt = ports.clock.elapsed();
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'mcp-deploy-drill-')));
  const copy = copyContext(context, folder);
  try {
    await noteFolder(context, folder);
    const listen = `127.0.0.1:${await ports.endpoint.freePort()}`;
    const proven = await proveBackup(copy, file, key, (deployment) => changesForCopy(deployment, listen));
    const { manifest, deployment } = proven;
    tick(
      'backup',
      `${shown}, of ${manifest.createdAt.slice(0, 16).replace('T', ' ')} UTC, ${manifest.files.length} files`,
    );
    await restoreThroughJournal(copy, { file, key, proven });
    const tookMs = Math.round(ports.clock.elapsed() - startedAt);
    tick('restored', `in ${seconds(tookMs)} to a copy at ${endpointUrl(deployment)}`);
    await judgePair(copy, proven);
    const called = await callCopy(copy, deployment);
    tick(
      'called',
      `${eras(called)}, ${called.tools} tools${called.called === null ? '' : `, ${called.called.tool} answered`}`,
    );
    const report = await examine(copy, deployment, context.signal);
    const errors = report.findings.filter(({ severity }) => severity === 'error');
    if (errors.length === 0) tick('doctor', `${report.passed.length} checks passed`);
    else for (const { code, title } of errors) output.progress(`  ${output.err.red('✗')} ${code}  ${title}`);
    const ok = errors.length === 0;
    const said = ok
      ? `${shown} restored in ${seconds(tookMs)}`
      : `${shown} restored, and doctor found ${errors.map(({ code }) => code).join(', ')}`;
    await noteMaintenance(context, 'restore-drill', { ok, said });
    await removeCopy(context, folder);
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
    });
    for (const path of manifest.leftOut) output.warning(`not in the backup: ${path}`);
    output.result(
      ok
        ? `  A restore of this backup works and takes about ${seconds(tookMs)}.\n\n  Next   mcp-deploy maintenance`
        : `  The backup restores, but its server is not healthy: ${errors.map(({ code }) => code).join(', ')}.\n\n  Next   mcp-deploy explain ${errors[0]?.code ?? ''}`,
    );
    return ok ? 0 : 1;
  } catch (error) {
    if (error instanceof ExplainedError && !context.signal.aborted) {
      await noteMaintenance(context, 'restore-drill', { ok: false, said: error.message });
    }
    throw error;
  } finally {
    await removeCopy(context, folder);
  }
}

/** The certificate of the backup is not served by the copy where it is for public names; that its key fits can be told. */
async function judgePair({ ports, stateDir }: CommandContext, { manifest, deployment }: Proven): Promise<void> {
  if (!manifest.withSecrets || deployment.tls.source === 'off') return;
  const { serverCertificate, serverKey } = deploymentPaths(stateDir);
  const [certificate, key] = await Promise.all([serverCertificate, serverKey].map((path) => ports.files.read(path)));
  if (!certificate || !key || keyMatchesCertificate(certificate.toString('utf8'), key.toString('utf8'))) return;
  throw new EnvironmentError('The certificate in the backup does not belong to the key in it.', {
    next: 'mcp-deploy cert renew --force, then mcp-deploy backup create',
  });
}

/** With a key of its own in the restored store: those of clients are hashes, and nobody has them here. */
async function callCopy(copy: CommandContext, deployment: Deployment): Promise<VerifiedEndpoint> {
  const { ports, stateDir, signal } = copy;
  const { keyStore, caCertificate } = deploymentPaths(stateDir);
  const ca = deployment.tls.source === 'off' ? null : await ports.files.read(caCertificate);
  let key: string | null = null;
  if (deployment.auth.required) {
    const store = await ports.files.read(keyStore);
    const made = createKeyIn(store?.toString('utf8') ?? null, { label: 'drill', now: ports.clock.now() });
    key = made.key;
    await ports.files.writeAtomic(keyStore, made.storeText, 0o600);
    await ports.files.writeAtomic(join(stateDir, 'keys/drill.key'), `${key}\n`, 0o600);
  }
  const spec = { url: endpointUrl(deployment), caPem: ca?.toString('utf8') ?? null, key };
  const until = ports.clock.elapsed() + keyTakenUpMs;
  for (;;) {
    try {
      return await ports.endpoint.verify(spec, signal);
    } catch (error) {
      // The server looks at its key file twice a second.
      if (ports.clock.elapsed() > until) throw error;
      await ports.clock.sleep(200, signal);
    }
  }
}

const keyTakenUpMs = 15_000;

async function examine(copy: CommandContext, deployment: Deployment, signal: AbortSignal): Promise<DoctorReport> {
  const { ports, stateDir } = copy;
  const { caCertificate } = deploymentPaths(stateDir);
  const [ca, key] = await Promise.all([
    deployment.tls.source === 'off' ? null : ports.files.read(caCertificate),
    deployment.auth.required ? ports.files.read(join(stateDir, 'keys/drill.key')) : null,
  ]);
  return runDoctor({
    url: endpointUrl(deployment),
    caPem: ca?.toString('utf8') ?? null,
    key: key?.toString('utf8').trim() ?? null,
    own: null,
    limits: false,
    signal,
    onProgress: () => {},
  });
}

/** Also when the run was interrupted: the copy must not outlive the drill. */
async function removeCopy({ ports, stateDir }: CommandContext, folder: string): Promise<void> {
  const state = join(folder, '.mcp-deploy');
  await ports.processes.stopServer(deploymentPaths(state).pidFile, stopMs);
  await ports.files.removeTree(folder);
  await ports.files.removeFile(leftFile(stateDir));
}

const stopMs = 10_000;

/** Written before the copy is made: what a killed drill left, the next one removes. */
async function noteFolder({ ports, stateDir }: CommandContext, folder: string): Promise<void> {
  if ((await ports.files.stat(stateDir)) === null) return;
  await ports.files.writeAtomic(leftFile(stateDir), `${JSON.stringify({ folder })}\n`, 0o600);
}

async function removeFormer(context: CommandContext): Promise<void> {
  const bytes = await context.ports.files.read(leftFile(context.stateDir)).catch(() => null);
  if (bytes === null) return;
  const { folder } = JSON.parse(bytes.toString('utf8')) as { readonly folder?: unknown };
  // Nothing but a folder that a drill made is ever removed.
  const isOurs = typeof folder === 'string' && resolve(folder) === folder && /\/mcp-deploy-drill-[^/]{6}$/.test(folder);
  if (isOurs) await removeCopy(context, folder);
}

function leftFile(stateDir: string): string {
  return join(stateDir, 'drill.json');
}

function eras({ modern, legacy }: VerifiedEndpoint): string {
  return [...(modern ? ['modern'] : []), ...(legacy ? ['legacy'] : [])].join(' and ') + ' client';
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
