import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, open, readdir, realpath, type FileHandle } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import type { Wanted } from '../../backup/backup-content.ts';
import { bounds, type BackupFile } from '../../backup/backup-manifest.ts';
import { EnvironmentError } from '../../deployment/errors.ts';
import { hasCode } from '../file-errors.ts';

/** A file that is held open, so that it stays the same while it is packed, whatever is renamed meanwhile. */
export interface HeldFile extends BackupFile {
  /** The first `size` bytes: what a log got since is not in it. */
  content(): AsyncIterable<Uint8Array>;
}

export interface Collected {
  readonly files: readonly HeldFile[];
  /** Named by the deployment and not there, or neither file nor folder. */
  readonly missing: readonly string[];
  close(): Promise<void>;
}

/**
 * Opens every wanted file at one moment and takes its size and hash. Folders are walked; links in them that leave the
 * folder are left out. The caller closes.
 * @throws EnvironmentError for a file that is larger than a backup may hold
 */
export async function collectFiles(wanted: readonly Wanted[], baseDir: string): Promise<Collected> {
  const handles: FileHandle[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(handles.splice(0).map((handle) => handle.close()));
  };
  const files: HeldFile[] = [];
  const missing: string[] = [];
  try {
    for (const each of await expandFolders(wanted, baseDir, missing)) {
      const held = await hold(each, handles);
      if (held === null) missing.push(each.file);
      else files.push(held);
      if (files.length > bounds.files) {
        throw new EnvironmentError(`There are more than ${bounds.files} files to back up.`, {
          next: 'Name fewer folders in backup.also.',
        });
      }
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { files, missing, close };
}

async function hold({ name, file }: Wanted, handles: FileHandle[]): Promise<HeldFile | null> {
  const handle = await open(file, 'r').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  });
  if (handle === null) return null;
  handles.push(handle);
  const stat = await handle.stat();
  if (!stat.isFile()) return null;
  if (stat.size > bounds.fileBytes) {
    throw new EnvironmentError(`${file} is too large for a backup (${Math.round(stat.size / 1_048_576)} MB).`, {
      why: 'A file in a backup has at most 1 GB.',
      next: 'Let it rotate (logs.auditRotate), or leave logs out: backup.logs: false',
    });
  }
  const { size } = stat;
  const content = (): AsyncIterable<Uint8Array> => readStart(handle, file, size);
  const hash = createHash('sha256');
  for await (const chunk of content()) hash.update(chunk);
  return { path: name, size, sha256: hash.digest('hex'), mode: stat.mode & 0o777, content };
}

/** By position and through the open file: its name may belong to another file by now. */
async function* readStart(handle: FileHandle, file: string, size: number): AsyncIterable<Uint8Array> {
  if (size === 0) return;
  let got = 0;
  // The path is only a name for error texts; autoClose would take the handle away.
  const stream = createReadStream(file, { fd: handle, autoClose: false, start: 0, end: size - 1 });
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    got += chunk.length;
    yield chunk;
  }
  if (got !== size) {
    throw new EnvironmentError(`${file} became shorter while it was read.`, { next: 'Run the command again.' });
  }
}

async function expandFolders(
  wanted: readonly Wanted[],
  baseDir: string,
  missing: string[],
): Promise<readonly Wanted[]> {
  const root = await realpath(baseDir);
  const found: Wanted[] = [];
  for (const each of wanted) {
    const stat = await lstat(each.file).catch(() => null);
    if (stat?.isDirectory() !== true) {
      found.push(each);
      continue;
    }
    for (const entry of await readdir(each.file, { recursive: true, withFileTypes: true })) {
      const file = join(entry.parentPath, entry.name);
      if (entry.isDirectory()) continue;
      const target = await realpath(file).catch(() => null);
      const isWithin = target !== null && !relative(root, target).startsWith('..');
      if (!isWithin) missing.push(file);
      else found.push({ ...each, name: `${each.name}/${relative(each.file, file).split(sep).join('/')}`, file });
    }
  }
  return found.filter(({ name }) => !name.split('/').includes('.mcp-deploy'));
}
