import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { journalDirOf } from '../apply/journal.ts';
import { readFileFact } from '../apply/commit.ts';
import type { BackupFile, BackupManifest } from '../backup/backup-manifest.ts';
import {
  filesToRestore,
  foldersOfHost,
  restoredPath,
  restoreSteps,
  withRestoreSteps,
  type RestorePlace,
} from '../backup/plan-restore.ts';
import { editDeployment, type DeploymentChange } from '../deployment/edit-deployment.ts';
import { EnvironmentError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { overlayFiles } from '../host/backup/overlay-files.ts';
import { readArchive, type Key } from '../host/backup/read-archive.ts';
import type { HostFacts } from '../plan/facts.ts';
import { planDeployment } from '../plan/plan-deployment.ts';
import { deploymentPaths, scopeOf, systemStateDir } from '../plan/deployment-paths.ts';
import { serviceOwner } from '../plan/host-folders.ts';
import type { Notice, Plan } from '../plan/types.ts';
import { listKeysIn } from '../server/policy/key-store.ts';
import { changeHost, lookAtHost, type Outcome } from './apply-desired.ts';
import type { CommandContext } from './context.ts';
import { parseOrThrow } from './deployment-folder.ts';
import { hostOf } from './render-host.ts';

/** What is restored: a backup that was read to its end. */
export interface Restore {
  readonly file: string;
  readonly key: Key | null;
  readonly proven: Proven;
}

export interface Proven {
  readonly manifest: BackupManifest;
  /** mcp-deploy.yaml as it will be. */
  readonly text: string;
  readonly deployment: Deployment;
}

/**
 * Reads everything and keeps nothing but mcp-deploy.yaml: what is wrong is known before anything is changed.
 * @param change what is to be different from the deployment of the backup
 * @throws ExplainedError for a backup that is damaged, does not open or holds no deployment
 */
export async function proveBackup(
  context: CommandContext,
  file: string,
  key: Key | null,
  change: (deployment: Deployment) => readonly DeploymentChange[],
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
  const changes = change(parseOrThrow(original, context));
  const text = changes.length === 0 ? (original as string) : editDeployment(original, changes);
  return { manifest, text, deployment: parseOrThrow(text, context) };
}

const mostYamlBytes = 1_048_576;

/** The plan of a restore; nothing is left behind. */
export async function rehearseRestore(context: CommandContext, restore: Restore): ReturnType<typeof planRestore> {
  const planned = await planRestore(context, restore);
  await removeStaging(context);
  return planned;
}

/** Brings the files back like every other change: all or nothing. @throws as changeHost does */
export async function restoreThroughJournal(context: CommandContext, restore: Restore): Promise<Outcome> {
  try {
    return await changeHost(context, 'apply', () => planRestore(context, restore));
  } finally {
    await context.ports.files.removeTree(stagingDirOf(context));
  }
}

/** And the folder it is in, where nothing else was: whoever only looked leaves nothing. */
async function removeStaging(context: CommandContext): Promise<void> {
  const { files } = context.ports;
  await files.removeTree(stagingDirOf(context));
  await files.removeEmptyDirectory(journalDirOf(context.stateDir));
}

/** Unpacks into a folder of the journal, which a crash clears away, and plans from the facts as they will be. */
async function planRestore(
  context: CommandContext,
  { file, key, proven }: Restore,
): Promise<{ plan: Plan; facts: HostFacts }> {
  const { baseDir, stateDir, deploymentFile, ports } = context;
  const isSystem = scopeOf(stateDir) === 'system';
  const owner = isSystem ? { owner: serviceOwner(proven.deployment) } : {};
  const place: RestorePlace = { baseDir, stateDir, deploymentFile, ...owner };
  // On a host a release is more than its record: a folder with the server that it ran.
  const hasReleases = isSystem || (await ports.files.list(join(stateDir, 'releases'))).length > 0;
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
    const later = {
      ...context,
      ports: { ...ports, files: overlayFiles(ports.files, new Map(placed), new Set(foldersOfHost(stateDir))) },
    };
    const looked = await lookAtHost(later, proven.deployment);
    const facts = steps.length === 0 ? looked : { ...looked, server: anew(looked.server) };
    const after = planDeployment(
      { deployment: proven.deployment, deploymentText: null, ...hostOf(context, proven.deployment) },
      facts,
    );
    const release = steps.length === 0 ? after.release : (facts.release?.release ?? 0) + 1;
    return {
      plan: { ...after, release, steps: withRestoreSteps(after.steps, steps), notices: [...notices, ...after.notices] },
      facts: now,
    };
  } catch (error) {
    await removeStaging(context);
    throw error;
  }
}

/**
 * Where a deployment lives, by what it says of itself.
 * @throws EnvironmentError (exit 3) where the folder belongs to a service of another name
 */
export async function contextOfRestored(
  context: CommandContext,
  { name, service }: Deployment,
): Promise<CommandContext> {
  const { baseDir, ports } = context;
  if (service.manager !== 'systemd') return { ...context, stateDir: join(baseDir, '.mcp-deploy') };
  const stateDir = systemStateDir(name, '/');
  const isOther = context.stateDir !== stateDir && scopeOf(context.stateDir) === 'system';
  if (isOther && (await ports.files.stat(context.stateDir)) !== null) {
    throw new EnvironmentError(
      `${context.deploymentFile} is that of the service ${basename(context.stateDir)}, which goes on.`,
      {
        why: `A restore under the name ${name} would write over it; nothing was changed.`,
        next: `Restore into a new folder: --root /srv/${name}`,
      },
    );
  }
  return { ...context, stateDir };
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
  const directories = new Set<string>([place.baseDir, ...foldersOfHost(place.stateDir)]);
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
