import { constants } from 'node:fs';
import {
  link,
  lstat,
  mkdir,
  open,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  rmdir,
  symlink,
  unlink,
  chmod,
  lchown,
} from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FileOwner, FileSystem } from '../apply/ports.ts';
import { temporaryFileOf } from '../apply/temporary-file.ts';
import { explainFileError, hasCode } from './file-errors.ts';
import { overwriteFile } from './overwrite-file.ts';
import { syncFolder } from './sync-folder.ts';

/**
 * The real file system. Every write is on the disk when its promise resolves:
 * the journal promises that what it says happened has happened, also after a
 * power cut.
 *
 * @param hardLink link() of the system; another one stands for a disk without hard links
 * @throws EnvironmentError from every method when the disk, the permissions or the path are in the way
 */
export function createFileSystem(hardLink: typeof link = link): FileSystem {
  return {
    read: (path) => explained('read', path, () => orNull(readFile(path))),
    stat: (path) => explained('look at', path, () => readStat(path)),
    list: (path) => explained('list', path, async () => (await orNull(readdir(path))) ?? []),
    writeAtomic: (path, content, mode, owner) =>
      explained('write', path, () => writeAtomic(path, content, mode, owner)),
    overwrite: overwriteFile,
    linkAtomic: (path, target) => explained('link', path, () => linkAtomic(path, target)),
    appendDurably: (path, line, mode) => explained('write', path, () => appendDurably(path, line, mode)),
    createExclusive: (path, content, mode) =>
      explained('write', path, () => createExclusive(path, content, mode, hardLink)),
    makeDirectory: (path, mode) => explained('make', path, () => makeDirectory(path, mode)),
    removeFile: (path) =>
      explained('remove', path, async () => {
        if ((await orNull(unlink(path).then(() => true))) === true) await syncFolder(dirname(path));
      }),
    removeEmptyDirectory: (path) => explained('remove', path, () => removeEmptyDirectory(path)),
    removeTree: (path) => explained('remove', path, () => rm(path, { recursive: true, force: true })),
    rename: (from, to) =>
      explained('write', to, async () => {
        await rename(from, to);
        await syncFolder(dirname(to));
        if (dirname(from) !== dirname(to)) await syncFolder(dirname(from));
      }),
    chmod: (path, mode) => explained('set the mode of', path, () => chmod(path, mode)),
    chown: (path, { uid, gid }) => explained('set the owner of', path, () => lchown(path, uid, gid)),
  };
}

async function explained<T>(verb: string, path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw explainFileError(error, verb, path);
  }
}

/** Null when there is no such file; every other failure passes. */
async function orNull<T>(result: Promise<T>): Promise<T | null> {
  try {
    return await result;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  }
}

/** A symbolic link is told with its target and never followed. */
async function readStat(path: string): ReturnType<FileSystem['stat']> {
  const found = await orNull(lstat(path));
  if (found === null) return null;
  const about = { mode: found.mode & 0o7777, size: found.size, owner: { uid: found.uid, gid: found.gid } };
  if (found.isSymbolicLink()) return { kind: 'link', target: await readlink(path), ...about };
  const kind = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other';
  return { kind, ...about };
}

async function writeAtomic(path: string, content: Buffer | string, mode: number, owner?: FileOwner): Promise<void> {
  const temporary = temporaryFileOf(path);
  await rm(temporary, { force: true });
  try {
    await writeNew(temporary, content, mode, owner);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
  await syncFolder(dirname(path));
}

/** The mode is set while the file is still empty: its content is never readable by others, not for a moment. */
async function writeNew(path: string, content: Buffer | string, mode: number, owner?: FileOwner): Promise<void> {
  const handle = await open(path, 'wx', mode);
  try {
    // Before the mode: a change of owner takes set-user bits away.
    if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
    await handle.chmod(mode);
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function linkAtomic(path: string, target: string): Promise<boolean> {
  const temporary = temporaryFileOf(path);
  await rm(temporary, { force: true });
  try {
    await symlink(target, temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    // Windows asks for a privilege, exFAT and some network mounts have no links at all.
    if (hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) return false;
    throw error;
  }
  await syncFolder(dirname(path));
  return true;
}

async function appendDurably(path: string, line: string, mode: number): Promise<void> {
  const handle = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT, mode);
  try {
    await handle.writeFile(line.endsWith('\n') ? line : `${line}\n`);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

let exclusiveFiles = 0;

/**
 * link() of a finished file: whoever sees the name sees the whole content. A
 * file system without hard links (exFAT, some network mounts) gets an
 * exclusive create, where a reader may see the file empty for a moment.
 */
async function createExclusive(path: string, content: string, mode: number, hardLink: typeof link): Promise<boolean> {
  // The process number lets a later command tell the left-over of a killed process from one that is in use.
  exclusiveFiles += 1;
  const temporary = temporaryFileOf(`${path}.${process.pid}-${exclusiveFiles}`);
  await rm(temporary, { force: true });
  try {
    await writeNew(temporary, content, mode);
    await hardLink(temporary, path);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw error;
    return await createWithoutLinks(path, content, mode);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function createWithoutLinks(path: string, content: string, mode: number): Promise<boolean> {
  try {
    await writeNew(path, content, mode);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    await rm(path, { force: true });
    throw error;
  }
  // Someone may have taken the still empty file for a dead one.
  return (await orNull(readFile(path, 'utf8'))) === content;
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    // readdir follows a link and says ENOTDIR for a file, which is the message we want.
    await readdir(path);
  }
  // mkdir is subject to the umask.
  await chmod(path, mode);
  await syncFolder(dirname(path));
}

async function removeEmptyDirectory(path: string): Promise<boolean> {
  try {
    await rmdir(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST')) return false;
    throw error;
  }
  await syncFolder(dirname(path));
  return true;
}
