import { dirname } from 'node:path';
import type { FileStat, FileSystem } from '../../apply/ports.ts';

/**
 * The file system as it will be when some files have been put into place: looks answer with their copies, and nothing is
 * written through it. So a restore is planned from the same facts as every other change.
 * @param placed path -> where its copy lies now, and the mode it will have
 * @param toMake folders that are still to be made, with owners, by the plan itself: they are shown as they are
 */
export function overlayFiles(
  files: FileSystem,
  placed: ReadonlyMap<string, { readonly copy: string; readonly mode: number }>,
  toMake: ReadonlySet<string> = new Set(),
): FileSystem {
  const folders = new Map<string, Set<string>>();
  for (const path of placed.keys()) {
    for (let child = path, folder = dirname(path); folder !== child; child = folder, folder = dirname(folder)) {
      const names = folders.get(folder) ?? new Set();
      names.add(child.slice(folder.length).replace(/^\//, ''));
      folders.set(folder, names);
    }
  }
  async function stat(path: string): Promise<FileStat | null> {
    const there = placed.get(path);
    if (there !== undefined) {
      const copy = await files.stat(there.copy);
      return copy === null ? null : { ...copy, kind: 'file', mode: there.mode };
    }
    const found = await files.stat(path);
    if (found !== null || !folders.has(path) || toMake.has(path)) return found;
    // A folder that is to be made: like the nearest one that is there.
    const above = await stat(dirname(path));
    return above === null ? null : { ...above, kind: 'directory', mode: 0o700 };
  }
  return {
    ...files,
    stat,
    read: (path) => files.read(placed.get(path)?.copy ?? path),
    async list(path) {
      return [...new Set([...(await files.list(path)), ...(folders.get(path) ?? [])])];
    },
  };
}
