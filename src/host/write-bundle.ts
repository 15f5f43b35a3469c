import { createHash } from 'node:crypto';
import { link, rm, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { packTar } from 'modern-tar';
import { temporaryFileOf } from '../apply/temporary-file.ts';
import { explainFileError } from './file-errors.ts';

export interface BundleEntry {
  readonly path: string;
  readonly text: string;
}

export interface BundleManifest {
  readonly format: 'mcp-deploy-support-bundle';
  readonly formatVersion: 1;
  readonly createdAt: string;
  readonly toolVersion: string;
  readonly files: readonly { readonly path: string; readonly size: number; readonly sha256: string }[];
  readonly leftOut: readonly { readonly path: string; readonly reason: string }[];
}

/**
 * Writes `tar | gzip` into one new file, 0600, all or nothing; the manifest is the first entry.
 * @returns the manifest, or null when the file is there already
 * @throws EnvironmentError when the disk or the permissions are in the way
 */
export async function writeBundle(
  target: string,
  entries: readonly BundleEntry[],
  about: Omit<BundleManifest, 'format' | 'formatVersion' | 'files'>,
): Promise<BundleManifest | null> {
  const manifest: BundleManifest = {
    format: 'mcp-deploy-support-bundle',
    formatVersion: 1,
    ...about,
    files: entries.map(({ path, text }) => ({
      path,
      size: Buffer.byteLength(text),
      sha256: createHash('sha256').update(text).digest('hex'),
    })),
  };
  const mtime = new Date(about.createdAt);
  const all = [{ path: 'manifest.json', text: `${JSON.stringify(manifest, null, 2)}\n` }, ...entries];
  const tar = await packTar(
    all.map(({ path, text }) => {
      const body = Buffer.from(text);
      return { header: { name: `support/${path}`, size: body.length, mode: 0o600, uid: 0, gid: 0, mtime }, body };
    }),
  );
  const bytes = await promisify(gzip)(tar);
  const temporary = temporaryFileOf(target);
  try {
    await rm(temporary, { force: true });
    await writeFile(temporary, bytes, { mode: 0o600, flag: 'wx', flush: true });
    // Unlike a rename, a link never takes the place of what is there.
    await link(temporary, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null;
    throw explainFileError(error, 'write', target);
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
  return manifest;
}
