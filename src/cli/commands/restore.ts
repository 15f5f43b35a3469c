import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { journalDirOf } from '../../apply/journal.ts';
import { readFileFact } from '../../apply/commit.ts';
import type { BackupFile, BackupManifest } from '../../backup/backup-manifest.ts';
import { filesToRestore, restoredPath, restoreSteps, type RestorePlace } from '../../backup/plan-restore.ts';
import { editDeployment } from '../../deployment/edit-deployment.ts';
import { EnvironmentError, UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { overlayFiles } from '../../host/backup/overlay-files.ts';
import { readArchive, type Key } from '../../host/backup/read-archive.ts';
import { describePlan } from '../../plan/describe-plan.ts';
import type { HostFacts } from '../../plan/facts.ts';
import { planDeployment } from '../../plan/plan-deployment.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';
import type { Notice, Plan } from '../../plan/types.ts';
import { listKeysIn } from '../../server/policy/key-store.ts';
import { changeHost, lookAtHost, withLock, type Outcome } from '../apply-desired.ts';
import { backupFolder, findBackup, openingKey, readBackupSettings } from '../backup-folder.ts';
import { confirmOrRefuse } from '../confirm.ts';
import type { CommandContext } from '../context.ts';
import { parseOrThrow } from '../deployment-folder.ts';
import { textFlag } from '../flag-values.ts';
import { readFlags } from '../decide-wanted.ts';
import { describeEndpoint } from '../output/endpoint-summary.ts';

/**
 * `mcp-deploy restore FILE`: reads the whole backup first, then brings its files back through the journal, like every
 * other change: all or nothing, started and proven.
 */
export async function runRestore(
  context: CommandContext,
  wanted: string,
  options: Record<string, unknown>,
): Promise<number> {
  const startedAt = context.ports.clock.elapsed();
  const settings = await readBackupSettings(context);
  const file = await findBackup(context, wanted, backupFolder(context, settings, options));
  const key = await openingKey(context, file, options, settings);
  const proven = await proveBackup(context, file, key, options);
  context.output.progress(
    `  ${context.output.err.green('✓')} ${relative(context.world.cwd, file) || file}: ${proven.manifest.files.length} files, each as it was backed up`,
  );

  const logsTo = await newFolderForLogs(context, options);
  if (options['dryRun'] === true) {
    const planned = await withLock(context, 'restore', () => rehearse(context, { file, key, proven }));
    context.output.document({ ok: true, changed: false, plan: planned.plan });
    context.output.result(describePlan(planned.plan, planned.facts, `mcp-deploy restore ${wanted}`));
    return 0;
  }
  await confirmReplacing(context, proven);
  const outcome = await restoreThroughJournal(context, { file, key, proven });
  if (logsTo !== null) await unpackLogs(context, { file, key, proven }, logsTo);
  const tookMs = context.ports.clock.elapsed() - startedAt;
  await describeEndpoint(context, { deployment: proven.deployment, outcome, tookMs });
  return 0;
}

interface Restore {
  readonly file: string;
  readonly key: Key | null;
  readonly proven: Proven;
}

async function rehearse(context: CommandContext, restore: Restore): ReturnType<typeof planRestore> {
  const planned = await planRestore(context, restore);
  await removeStaging(context);
  return planned;
}

/** And the folder it is in, where nothing else was: whoever only looked leaves nothing. */
async function removeStaging(context: CommandContext): Promise<void> {
  const { files } = context.ports;
  await files.removeTree(stagingDirOf(context));
  await files.removeEmptyDirectory(journalDirOf(context.stateDir));
}

async function restoreThroughJournal(context: CommandContext, restore: Restore): Promise<Outcome> {
  try {
    return await changeHost(context, 'apply', () => planRestore(context, restore));
  } finally {
    await context.ports.files.removeTree(stagingDirOf(context));
  }
}

/** Refused before anything is changed when it is there. */
async function newFolderForLogs(context: CommandContext, options: Record<string, unknown>): Promise<string | null> {
  const given = textFlag(options, 'logsTo');
  if (given === undefined) return null;
  const folder = resolve(context.world.cwd, given);
  if ((await context.ports.files.stat(folder)) === null) return folder;
  throw new EnvironmentError(`${folder} is there already; logs are put into a new folder.`, {
    next: `--logs-to ${given}-restored`,
  });
}

async function unpackLogs(context: CommandContext, { file, key }: Restore, folder: string): Promise<void> {
  await context.ports.files.makeDirectory(folder, 0o700);
  await readArchive(file, key, async ({ path }, content) => {
    if (!path.startsWith('logs/')) for await (const _ of content);
    else {
      const target = join(folder, path.slice('logs/'.length));
      await pipeline(content, createWriteStream(target, { flags: 'wx', mode: 0o600 }));
    }
  });
  context.output.progress(
    `  ${context.output.err.green('✓')} logs in ${relative(context.world.cwd, folder) || folder}`,
  );
}

interface Proven {
  readonly manifest: BackupManifest;
  /** mcp-deploy.yaml as it will be. */
  readonly text: string;
  readonly deployment: Deployment;
}

/** Reads everything and keeps nothing but mcp-deploy.yaml: what is wrong is known before anything is changed. */
async function proveBackup(
  context: CommandContext,
  file: string,
  key: Key | null,
  options: Record<string, unknown>,
): Promise<Proven> {
  let original: string | null = null;
  const manifest = await readArchive(file, key, async ({ path, size }, content) => {
    const isYaml = path === 'mcp-deploy.yaml';
    if (isYaml && size > mostYamlBytes) throw new EnvironmentError('mcp-deploy.yaml in the backup is larger than any.');
    const chunks: Uint8Array[] = [];
    for await (const chunk of content) if (isYaml) chunks.push(chunk);
    if (isYaml) original = Buffer.concat(chunks).toString('utf8');
  });
  if (original === null) {
    throw new EnvironmentError(`${file} holds no mcp-deploy.yaml.`, { next: 'mcp-deploy backup list' });
  }
  const { name, listen } = readFlags(context, options);
  const changes = [
    ...(name === null ? [] : [{ path: ['name'], value: name }]),
    ...(listen === null ? [] : [{ path: ['server', 'listen'], value: listen }]),
  ];
  const text = changes.length === 0 ? (original as string) : editDeployment(original, changes);
  return { manifest, text, deployment: parseOrThrow(text, context) };
}

const mostYamlBytes = 1_048_576;

/** Asks when a deployment is here already. */
async function confirmReplacing(context: CommandContext, { manifest }: Proven): Promise<void> {
  const there = (await context.ports.files.stat(context.deploymentFile)) !== null;
  if (!there && (await context.ports.files.stat(context.stateDir)) === null) return;
  const when = `${manifest.createdAt.slice(0, 16).replace('T', ' ')} UTC`;
  const agreed = await confirmOrRefuse(context, `Replace the deployment here by that of ${when}?`, 'restore');
  if (!agreed) throw new UserError('Nothing was restored.', { exitCode: 3, next: 'mcp-deploy restore FILE --dry-run' });
}

/** Unpacks into a folder of the journal, which a crash clears away, and plans from the facts as they will be. */
async function planRestore(
  context: CommandContext,
  { file, key, proven }: Restore,
): Promise<{ plan: Plan; facts: HostFacts }> {
  const { baseDir, stateDir, deploymentFile, ports } = context;
  refuseSystemScope(proven.deployment, file);
  const place: RestorePlace = { baseDir, stateDir, deploymentFile };
  const hasReleases = (await ports.files.list(join(stateDir, 'releases'))).length > 0;
  const wanted = filesToRestore(proven.manifest, hasReleases).map((each) => withText(each, proven.text));
  const staging = stagingDirOf(context);
  const stagedPath = (name: string): string => join(staging, String(wanted.findIndex(({ path }) => path === name)));
  try {
    await unpack(context, { file, key, wanted, stagedPath, text: proven.text });

    const now = await lookAtHost(context, proven.deployment);
    const steps = restoreSteps(wanted, place, await readPlaceFacts(context, wanted, place), stagedPath);
    const notices = await revivedKeys(context, wanted, stagedPath);
    const placed = steps.flatMap(({ action }) =>
      action.type === 'copy-file' ? [[action.path, { copy: action.from, mode: action.mode }] as const] : [],
    );
    const later = { ...context, ports: { ...ports, files: overlayFiles(ports.files, new Map(placed)) } };
    const looked = await lookAtHost(later, proven.deployment);
    const facts = steps.length === 0 ? looked : { ...looked, server: anew(looked.server) };
    const after = planDeployment({ deployment: proven.deployment, deploymentText: null }, facts);
    const release = steps.length === 0 ? after.release : (facts.release?.release ?? 0) + 1;
    return {
      plan: { ...after, release, steps: [...steps, ...after.steps], notices: [...notices, ...after.notices] },
      facts: now,
    };
  } catch (error) {
    await removeStaging(context);
    throw error;
  }
}

/** There users, owners and units come first; until restore knows them, it brings the files back and says what to do. */
function refuseSystemScope({ service }: Deployment, file: string): void {
  if (service.manager === 'none') return;
  throw new EnvironmentError(
    `The deployment in ${file} runs as a service of the host (service.manager: ${service.manager}).`,
    {
      why: 'restore brings back deployments that live in one folder; nothing was changed.',
      next: `Unpack it by hand (age -d FILE | tar xz), put keys/ and pki/ below /etc/mcp-deploy/NAME, then: mcp-deploy apply`,
    },
  );
}

/** A running server is started anew whenever files come back: a module that it has loaded may be another one. */
function anew(server: HostFacts['server']): HostFacts['server'] {
  return server.state === 'running' ? { ...server, configSha256: '' } : server;
}

function stagingDirOf({ stateDir }: CommandContext): string {
  return join(journalDirOf(stateDir), 'restore');
}

/** mcp-deploy.yaml may get another name or address on the way. */
function withText(file: BackupFile, text: string): BackupFile {
  if (file.path !== 'mcp-deploy.yaml') return file;
  return { ...file, sha256: createHash('sha256').update(text).digest('hex'), size: Buffer.byteLength(text) };
}

async function unpack(
  context: CommandContext,
  {
    file,
    key,
    wanted,
    stagedPath,
    text,
  }: {
    readonly file: string;
    readonly key: Key | null;
    readonly wanted: readonly BackupFile[];
    readonly stagedPath: (name: string) => string;
    readonly text: string;
  },
): Promise<void> {
  const staging = stagingDirOf(context);
  await context.ports.files.removeTree(staging);
  await mkdir(staging, { recursive: true, mode: 0o700 });
  const names = new Set(wanted.map(({ path }) => path));
  await readArchive(file, key, async ({ path }, content) => {
    if (path === 'mcp-deploy.yaml') {
      for await (const _ of content);
      await context.ports.files.writeAtomic(stagedPath(path), text, 0o600);
    } else if (names.has(path)) {
      await pipeline(content, createWriteStream(stagedPath(path), { flags: 'wx', mode: 0o600 }));
    } else for await (const _ of content);
  });
}

async function readPlaceFacts(context: CommandContext, wanted: readonly BackupFile[], place: RestorePlace) {
  const { files } = context.ports;
  const now = new Map<string, { sha256: string; mode: number }>();
  const directories = new Set<string>([place.baseDir]);
  for (const { path: name } of wanted) {
    const path = restoredPath(name, place);
    const stat = await files.stat(path);
    const isLink = stat?.kind === 'link';
    const fact = stat === null ? null : await readFileFact(files, path);
    if (fact !== null) now.set(path, isLink ? { ...fact, mode: fact.mode } : fact);
    for (let folder = dirname(path); folder.length > place.baseDir.length; folder = dirname(folder)) {
      const found = await files.stat(folder);
      if (found?.kind === 'directory') directories.add(folder);
      else if (found !== null) {
        throw new EnvironmentError(`${folder} is no folder, so ${path} cannot be restored.`, {
          next: `Move it away: mv ${folder} ${folder}.old`,
        });
      }
    }
  }
  return { files: now, directories };
}

/** Keys that were revoked since the backup would work again. */
async function revivedKeys(
  context: CommandContext,
  wanted: readonly BackupFile[],
  stagedPath: (name: string) => string,
): Promise<readonly Notice[]> {
  const name = 'state/keys/keys.json';
  if (!wanted.some(({ path }) => path === name)) return [];
  const [then, now] = await Promise.all([
    context.ports.files.read(stagedPath(name)),
    context.ports.files.read(deploymentPaths(context.stateDir).keyStore),
  ]);
  if (then === null || now === null) return [];
  const at = context.ports.clock.now();
  try {
    const works = (text: Buffer): Map<string, string> =>
      new Map(
        listKeysIn(text.toString('utf8'), at)
          .filter(({ state }) => state === 'active' || state === 'rotating')
          .map(({ id, label }) => [id, label]),
      );
    const current = works(now);
    const known = new Set(listKeysIn(now.toString('utf8'), at).map(({ id }) => id));
    const revived = [...works(then)].filter(([id]) => known.has(id) && !current.has(id)).map(([, label]) => label);
    const lost = [...current].filter(([id]) => !works(then).has(id)).map(([, label]) => label);
    return [
      ...(revived.length === 0
        ? []
        : [
            {
              level: 'warning' as const,
              text: `Keys that were revoked since then work again: ${revived.join(', ')}. To end them: mcp-deploy keys revoke`,
            },
          ]),
      ...(lost.length === 0
        ? []
        : [{ level: 'warning' as const, text: `Keys that were made since then work no more: ${lost.join(', ')}` }]),
    ];
  } catch {
    // A store that is damaged now is one more reason to restore.
    return [];
  }
}
