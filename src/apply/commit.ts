import { dirname, join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import { pathsTouchedBy } from '../plan/action.ts';
import type { Plan } from '../plan/types.ts';
import type { FileFact, ReleaseRecord } from '../plan/facts.ts';
import { isPairLink } from '../plan/served-pair.ts';
import { capturePreImages, sha256Of } from './pre-images.ts';
import { isInside } from './state-folder.ts';
import type { Journal } from './journal.ts';
import type { ApplyPorts, FileSystem } from './ports.ts';

/**
 * Makes a plan final: an apply leaves its release record, then one journal
 * line says that nothing is undone any more. The record is journalled like
 * every other change, as a step behind the last one.
 */
export async function commitPlan(
  plan: Plan,
  journal: Journal,
  options: { ports: ApplyPorts; stateDir: string; toolVersion: string },
): Promise<void> {
  const { ports, stateDir } = options;
  if (plan.purpose === 'apply') {
    const folder = releasesDirOf(stateDir);
    const file = join(folder, `${plan.release}.json`);
    const record = await makeRelease(plan, journal, options);
    const preImages = await capturePreImages(ports.files, {
      paths: [folder, file],
      folder: journal.preImageDir,
      prefix: 'commit',
    });
    await journal.append({ type: 'begin', index: plan.steps.length, step: 'commit', preImages });
    if ((await ports.files.stat(folder)) === null) await ports.files.makeDirectory(folder, 0o700);
    await ports.files.writeAtomic(file, `${JSON.stringify(record, null, 2)}\n`, 0o600);
  }
  await journal.append({ type: 'commit', at: ports.clock.now() });
}

export function releasesDirOf(stateDir: string): string {
  return join(stateDir, 'releases');
}

/** The newest release record, or null. A record that cannot be read is passed over: it is history, not the state. */
export async function readNewestRelease(files: FileSystem, stateDir: string): Promise<ReleaseRecord | null> {
  for (const { file } of await releaseFiles(files, stateDir)) {
    const record = await readRelease(files, file);
    if (record !== null) return record;
  }
  return null;
}

/** All release records, newest first, and the files that hold none although they are named like one. */
export async function readReleases(
  files: FileSystem,
  stateDir: string,
): Promise<{ releases: readonly ReleaseRecord[]; unreadable: readonly string[] }> {
  const releases: ReleaseRecord[] = [];
  const unreadable: string[] = [];
  for (const { file } of await releaseFiles(files, stateDir)) {
    const record = await readRelease(files, file);
    if (record === null) unreadable.push(file);
    else releases.push(record);
  }
  return { releases, unreadable };
}

async function releaseFiles(
  files: FileSystem,
  stateDir: string,
): Promise<readonly { readonly number: number; readonly file: string }[]> {
  const folder = releasesDirOf(stateDir);
  return (await files.list(folder))
    .flatMap((name) => /^(\d+)\.json$/.exec(name)?.[1] ?? [])
    .map((digits) => ({ number: Number(digits), file: join(folder, `${digits}.json`) }))
    .sort((a, b) => b.number - a.number);
}

async function readRelease(files: FileSystem, file: string): Promise<ReleaseRecord | null> {
  const bytes = await files.read(file);
  return bytes === null ? null : parseRelease(bytes.toString('utf8'), file);
}

/** Of the record: one that a later mcp-deploy wrote in another form must not be taken for this one. */
const releaseFormat = 1;

function parseRelease(text: string, file: string): ReleaseRecord | null {
  try {
    const record = JSON.parse(text) as Partial<ReleaseRecord> | null;
    if ((record?.schemaVersion ?? releaseFormat) > releaseFormat) throw writtenLater(record, file);
    const whole =
      typeof record?.release === 'number' &&
      typeof record.files === 'object' &&
      record.files !== null &&
      Array.isArray(record.directories);
    return whole ? (record as ReleaseRecord) : null;
  } catch (error) {
    if (error instanceof EnvironmentError) throw error;
    return null;
  }
}

function writtenLater(record: Partial<ReleaseRecord> | null, file: string): EnvironmentError {
  const version = /^[\w.+-]{1,40}$/.exec(String(record?.toolVersion))?.[0] ?? '';
  return new EnvironmentError(`${file} was written by a newer mcp-deploy; nothing was changed.`, {
    why: `Its format is ${String(record?.schemaVersion).slice(0, 20)}; this mcp-deploy reads ${releaseFormat}.`,
    next: `npm install -g mcp-deploy${version === '' ? '' : `@${version}`}        then run the command again`,
  });
}

async function makeRelease(
  plan: Plan,
  journal: Journal,
  { ports, stateDir, toolVersion }: { ports: ApplyPorts; stateDir: string; toolVersion: string },
): Promise<ReleaseRecord> {
  const before = await readNewestRelease(ports.files, stateDir);
  const touched = plan.steps.flatMap((step) =>
    // Copies follow what they are copies of: no file of their own that somebody may edit.
    // A mode is no content: whose file it is stays as it was.
    step.action.type === 'make-directory' || step.action.type === 'copy-secret' || step.action.type === 'set-mode'
      ? []
      : pathsTouchedBy(step.action),
  );
  const files: Record<string, FileFact> = {};
  // What no step touched keeps the hash that we wrote: edited since, it is the user's, and uninstall must leave it.
  for (const [path, written] of Object.entries(before?.files ?? {})) {
    if ((await ports.files.stat(path)) !== null) files[path] = written;
  }
  for (const path of touched) {
    const fact = await readFileFact(ports.files, path);
    if (fact !== null && isOurs(path, stateDir, journal, before)) files[path] = fact;
    else delete files[path];
  }
  for (const { path, insteadOf } of plan.adopted ?? []) {
    const fact = await readFileFact(ports.files, path);
    if (fact !== null) files[path] = { ...fact, insteadOf };
  }
  const directories: string[] = [];
  for (const path of new Set([...(before?.directories ?? []), ...directoriesMade(journal)])) {
    if ((await ports.files.stat(path))?.kind === 'directory') directories.push(path);
  }
  const started = plan.started ?? before?.started ?? {};
  const build = plan.build ?? before?.build;
  return {
    schemaVersion: releaseFormat,
    release: plan.release,
    appliedAt: ports.clock.now(),
    toolVersion,
    desired: plan.desired,
    files,
    directories,
    // A plan about something else, such as a timer, leaves the server that runs.
    ...(build === undefined ? {} : { build }),
    ...(Object.keys(started).length === 0 ? {} : { started }),
    ...(plan.image === undefined ? {} : { image: plan.image }),
    // What came before stays where it is when nothing comes.
    ...(plan.sent === undefined && before?.sent === undefined ? {} : { sent: plan.sent ?? before?.sent ?? [] }),
    ...(plan.rollbackOf === undefined ? {} : { rollbackOf: plan.rollbackOf }),
  };
}

/**
 * Whether a file that a step wrote was made by us: it is in the state folder, was not there before, or is one that an earlier
 * release had made: what somebody wrote into it lies beside it then. A file of the user's that we only edited stays the user's.
 */
function isOurs(path: string, stateDir: string, journal: Journal, before: ReleaseRecord | null): boolean {
  if (isInside(path, stateDir)) return true;
  const image = journal
    .state()
    .begun.flatMap(({ preImages }) => preImages)
    .find((each) => each.path === path);
  if (image === undefined || image.kind === 'absent') return true;
  if (image.kind === 'link') return true;
  return image.kind === 'file' && before?.files[path] !== undefined;
}

/** Folders that a step of this journal made: they were not there before. A folder of the user's is never ours. */
function directoriesMade(journal: Journal): readonly string[] {
  const { begun, header } = journal.state();
  return begun.flatMap(({ index, preImages }) =>
    header.plan.steps[index]?.action.type === 'make-directory'
      ? preImages.flatMap((image) => (image.kind === 'absent' ? [image.path] : []))
      : [],
  );
}

/** Hash and mode of a plain file, also behind a link of ours; null for anything else. */
export async function readFileFact(files: FileSystem, path: string): Promise<FileFact | null> {
  const found = await files.stat(path);
  const isOurLink = found?.target !== undefined && isPairLink(found.target);
  const stat = isOurLink ? await files.stat(join(dirname(path), found.target)) : found;
  if (stat?.kind !== 'file') return null;
  const bytes = await files.read(path);
  return bytes === null ? null : { sha256: sha256Of(bytes), mode: stat.mode };
}
