import { join, relative, sep } from 'node:path';
import { journalDirOf, preImageDirOf } from './journal.ts';
import { isTemporaryFile, temporaryFileOf } from './temporary-file.ts';
import type { FileSystem } from './ports.ts';

const ignoreEverything = '*\n';
const scaffold: ReadonlySet<string> = new Set(['.gitignore', 'journal', 'lock']);

/** Makes the state folder (0700), its .gitignore and the journal folder, where they are missing. */
export async function ensureStateFolder(files: FileSystem, stateDir: string): Promise<void> {
  if ((await files.stat(stateDir)) === null) await files.makeDirectory(stateDir, 0o700);
  const ignoreFile = join(stateDir, '.gitignore');
  if ((await files.stat(ignoreFile)) === null) await files.writeAtomic(ignoreFile, ignoreEverything, 0o644);
  const journalDir = journalDirOf(stateDir);
  if ((await files.stat(journalDir)) === null) await files.makeDirectory(journalDir, 0o700);
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
export async function removeStateFolderContent(files: FileSystem, stateDir: string): Promise<void> {
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
