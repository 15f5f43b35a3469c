import { dirname, join, relative, sep } from 'node:path';
import { scopeOf } from '../plan/deployment-paths.ts';
import type { Plan } from '../plan/types.ts';
import { journalDirOf, preImageDirOf } from './journal.ts';
import { isTemporaryFile, temporaryFileOf } from './temporary-file.ts';
import type { FileSystem } from './ports.ts';

const ignoreEverything = '*\n';
const scaffold: ReadonlySet<string> = new Set(['.gitignore', 'journal', 'lock']);

/** Makes the state folder (0700), its .gitignore and the journal folder, where they are missing. */
export async function ensureStateFolder(files: FileSystem, stateDir: string): Promise<void> {
  await makeStateFolder(files, stateDir);
  const ignoreFile = join(stateDir, '.gitignore');
  if (scopeOf(stateDir) === 'project' && (await files.stat(ignoreFile)) === null)
    await files.writeAtomic(ignoreFile, ignoreEverything, 0o644);
  const journalDir = journalDirOf(stateDir);
  if ((await files.stat(journalDir)) === null) await files.makeDirectory(journalDir, 0o700);
}

/** The folder alone. On a host the service enters it, to reach its release; what is secret in it is closed by itself. */
export async function makeStateFolder(files: FileSystem, stateDir: string): Promise<void> {
  if ((await files.stat(stateDir)) !== null) return;
  const isSystem = scopeOf(stateDir) === 'system';
  const parent = dirname(stateDir);
  if (isSystem && (await files.stat(parent)) === null) {
    if ((await files.stat(dirname(parent))) === null) await files.makeDirectory(dirname(parent), 0o755);
    await files.makeDirectory(parent, 0o755);
  }
  await files.makeDirectory(stateDir, isSystem ? 0o755 : 0o700);
}

/** Removes it when it is empty; on a host, also the folder that deployments share. */
export async function removeEmptyStateFolder(files: FileSystem, stateDir: string): Promise<void> {
  const isGone = await files.removeEmptyDirectory(stateDir);
  if (isGone && scopeOf(stateDir) === 'system') await files.removeEmptyDirectory(dirname(stateDir));
}

/** What an uninstall does behind its commit: the folders that it purges, then the state folder, whose journal goes last. */
export async function finishUninstall(files: FileSystem, stateDir: string, plan: Plan): Promise<void> {
  for (const path of plan.purge ?? []) await files.removeTree(path);
  for (const path of plan.purgeEmpty ?? []) await files.removeEmptyDirectory(path);
  await removeStateFolderContent(files, stateDir);
}

/**
 * Removes what `ensureStateFolder` made, when nothing else is in the folder:
 * the first apply was undone, or a kill came before its first step. The lock
 * stays; whoever releases it removes the empty folder. May be repeated.
 */
export async function removeUnusedScaffold(files: FileSystem, stateDir: string): Promise<boolean> {
  const names = await files.list(stateDir);
  if (!names.every((name) => scaffold.has(name) || isTemporaryFile(name) || name.startsWith('lock.'))) return false;
  const ignoreFile = join(stateDir, '.gitignore');
  const text = await files.read(ignoreFile);
  if (text !== null && text.toString('utf8') !== ignoreEverything) return false;
  await removeJournals(files, stateDir);
  await files.removeFile(temporaryFileOf(ignoreFile));
  if (text !== null) await files.removeFile(ignoreFile);
  return true;
}

/**
 * Removes the whole content of the state folder but the lock, the journal
 * file last: as long as it is there, a later command knows what to finish.
 */
async function removeStateFolderContent(files: FileSystem, stateDir: string): Promise<void> {
  for (const name of await files.list(stateDir)) {
    if (scaffold.has(name) || name.startsWith('lock.')) continue;
    await files.removeTree(join(stateDir, name));
  }
  await files.removeFile(join(stateDir, '.gitignore'));
  await removeJournals(files, stateDir);
}

/** Pre-images first, then journals, then the folder. */
async function removeJournals(files: FileSystem, stateDir: string): Promise<void> {
  const journalDir = journalDirOf(stateDir);
  const names = await files.list(journalDir);
  for (const name of names) {
    if (!name.endsWith('.jsonl')) await files.removeTree(join(journalDir, name));
  }
  for (const name of names) {
    if (name.endsWith('.jsonl')) await files.removeFile(join(journalDir, name));
  }
  await files.removeEmptyDirectory(journalDir);
}

/** Removes copies that an ended journal no longer needs; they may hold keys. */
export async function dropPreImages(files: FileSystem, journalFile: string): Promise<void> {
  await files.removeTree(preImageDirOf(journalFile));
}

/** Whether a path lies in a folder (and is not the folder itself). */
export function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`);
}
