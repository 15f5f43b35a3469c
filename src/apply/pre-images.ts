import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { EnvironmentError } from '../deployment/errors.ts';
import { deploymentPaths, scopeOf } from '../plan/deployment-paths.ts';
import { isOurLink } from '../plan/served-pair.ts';
import { isInside } from './state-folder.ts';
import { temporaryFileOf } from './temporary-file.ts';
import type { FileOwner, FileSystem } from './ports.ts';

/** How a path was before a step touched it. */
export type PreImage =
  | { readonly path: string; readonly kind: 'absent' }
  | { readonly path: string; readonly kind: 'directory'; readonly mode: number; readonly owner?: FileOwner }
  /** `copy` holds the bytes; its name is relative to the folder of pre-images. */
  | {
      readonly path: string;
      readonly kind: 'file';
      readonly mode: number;
      readonly sha256: string;
      readonly copy: string;
      readonly owner?: FileOwner;
    }
  /** A link of ours; `copy` is one like it, to be moved into its place. */
  | { readonly path: string; readonly kind: 'link'; readonly target: string; readonly copy: string };

/**
 * Captures how the paths are now. Copies of files go into `folder` (0600 in a
 * 0700 folder, since they may hold keys) and are on disk when this resolves.
 *
 * @throws EnvironmentError for a path that is neither a file nor a folder nor a link of a served pair: it is not ours to replace
 */
export async function capturePreImages(
  files: FileSystem,
  options: { paths: readonly string[]; folder: string; prefix: string },
): Promise<readonly PreImage[]> {
  const images: PreImage[] = [];
  for (const [index, path] of options.paths.entries()) {
    const stat = await files.stat(path);
    if (stat === null) images.push({ path, kind: 'absent' });
    else if (stat.kind === 'directory') images.push({ path, kind: 'directory', mode: stat.mode, owner: stat.owner });
    else if (stat.kind === 'file') {
      const bytes = await files.read(path);
      if (bytes === null) {
        images.push({ path, kind: 'absent' });
        continue;
      }
      const copy = `${options.prefix}-${index}`;
      if ((await files.stat(options.folder)) === null) await files.makeDirectory(options.folder, 0o700);
      await files.writeAtomic(join(options.folder, copy), bytes, 0o600);
      images.push({ path, kind: 'file', mode: stat.mode, sha256: sha256Of(bytes), copy, owner: stat.owner });
    } else if (stat.target !== undefined && isOurLink(stat.target)) {
      const copy = `${options.prefix}-${index}`;
      if ((await files.stat(options.folder)) === null) await files.makeDirectory(options.folder, 0o700);
      await files.linkAtomic(join(options.folder, copy), stat.target);
      images.push({ path, kind: 'link', target: stat.target, copy });
    } else {
      throw new EnvironmentError(`${path} is not a plain file.`, {
        why: 'It is a symbolic link or a device, and replacing it could not be undone.',
        next: `Move it away: mv ${path} ${path}.old`,
      });
    }
  }
  return images;
}

/**
 * Puts one path back, byte for byte and mode for mode. May be repeated, and
 * needs no disk space: the copy is moved into place, not written again.
 * Returns what is left over when something of another's is in the way, else null.
 */
export async function restorePreImage(
  files: FileSystem,
  image: PreImage,
  options: { folder: string; stateDir: string },
): Promise<string | null> {
  const temporary = temporaryFileOf(image.path);
  // On a read-only disk not even a file that is not there can be removed.
  if ((await files.stat(temporary)) !== null) await files.removeFile(temporary);
  const now = await files.stat(image.path);
  switch (image.kind) {
    case 'absent': {
      if (now === null) return null;
      if (now.kind !== 'directory') {
        await files.removeFile(image.path);
        return null;
      }
      // Inside the folders of a deployment everything is ours, also what the server wrote meanwhile.
      if (ownFoldersOf(options.stateDir).some((own) => isInside(image.path, own))) {
        await files.removeTree(image.path);
        return null;
      }
      return (await files.removeEmptyDirectory(image.path)) ? null : `${image.path} (not empty)`;
    }
    case 'directory': {
      if (now === null || now.mode !== image.mode) await files.makeDirectory(image.path, image.mode);
      await giveBack(files, image.path, image.owner);
      return null;
    }
    case 'file': {
      if (now?.kind === 'file') {
        const bytes = await files.read(image.path);
        if (bytes !== null && sha256Of(bytes) === image.sha256) {
          await giveBack(files, image.path, image.owner);
          if (now.mode !== image.mode) await files.chmod(image.path, image.mode);
          return null;
        }
      }
      const copy = join(options.folder, image.copy);
      if ((await files.stat(copy)) === null) return `${image.path} (its copy ${copy} is gone)`;
      await giveBack(files, copy, image.owner);
      await files.chmod(copy, image.mode);
      await files.rename(copy, image.path);
      return null;
    }
    case 'link': {
      if (now?.target === image.target) return null;
      const copy = join(options.folder, image.copy);
      if ((await files.stat(copy)) === null) return `${image.path} (its copy ${copy} is gone)`;
      await files.rename(copy, image.path);
      return null;
    }
  }
}

/** Folders whose content, and of a host also themselves, are a deployment's alone. */
function ownFoldersOf(stateDir: string): readonly string[] {
  if (scopeOf(stateDir) === 'project') return [stateDir];
  const { configDir, logsDir, runDir } = deploymentPaths(stateDir);
  return [stateDir, ...[configDir, logsDir, runDir].map((path) => dirname(path))];
}

/** Only where it differs: nobody but root may change it. */
async function giveBack(files: FileSystem, path: string, owner: FileOwner | undefined): Promise<void> {
  const now = (await files.stat(path))?.owner;
  if (owner === undefined || now === undefined || (now.uid === owner.uid && now.gid === owner.gid)) return;
  await files.chown(path, owner);
}

/** SHA-256 in lower-case hex. */
export function sha256Of(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
