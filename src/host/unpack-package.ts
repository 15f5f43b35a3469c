import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { unpackTar } from 'modern-tar';
import { EnvironmentError, ExplainedError } from '../deployment/errors.ts';
import { explainFileError } from './file-errors.ts';

/** Unpacked; the package itself has a tenth of that. */
const mostBytes = 150_000_000;
const mostFiles = 5_000;

/**
 * Unpacks what `npm pack` made into a folder that is there and empty: plain files below `package/` and nothing else. No script of
 * it runs.
 * @throws EnvironmentError (exit 3) for what is damaged, too large or made to leave the folder, and for a disk that is full
 */
export async function unpackPackage(tarball: Buffer, name: string, folder: string): Promise<void> {
  const entries = await readEntries(tarball, name);
  try {
    for (const { path, data } of entries) {
      const file = join(folder, path);
      await mkdir(dirname(file), { recursive: true, mode: 0o755 });
      // Never over another one: an archive that names a file twice is not what npm makes.
      await writeFile(file, data, { flag: 'wx', mode: 0o644 });
    }
  } catch (error) {
    throw explainFileError(error, 'write', folder);
  }
}

async function readEntries(
  tarball: Buffer,
  name: string,
): Promise<readonly { readonly path: string; readonly data: Uint8Array }[]> {
  try {
    const tar = await promisify(gunzip)(tarball, { maxOutputLength: mostBytes });
    const entries = await unpackTar(new Uint8Array(tar), { strict: true });
    if (entries.length > mostFiles) throw noPackage(name, `It has more than ${mostFiles} files.`);
    return entries.flatMap(({ header, data }) => {
      if (header.type === 'directory' || header.type === 'pax-global-header') return [];
      const path = /^package\/(.+)$/s.exec(header.name)?.[1] ?? '';
      const isInside =
        path !== '' && !path.includes('\0') && !path.includes('\\') && path.split('/').every(isNameOfFile);
      if (header.type !== 'file' || data === undefined || !isInside) {
        throw noPackage(name, `It holds ${JSON.stringify(header.name.slice(0, 80))}, a ${header.type ?? 'file'}.`);
      }
      return [{ path, data }];
    });
  } catch (error) {
    if (error instanceof ExplainedError) throw error;
    throw noPackage(name, `It cannot be unpacked: ${error instanceof Error ? error.message : String(error)}.`);
  }
}

function isNameOfFile(part: string): boolean {
  return part !== '' && part !== '.' && part !== '..';
}

function noPackage(name: string, why: string): EnvironmentError {
  return new EnvironmentError(`${name} is no package of mcp-deploy; nothing was changed.`, {
    why,
    next: 'Get it anew: npm pack mcp-deploy@VERSION',
  });
}
