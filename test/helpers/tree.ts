import { createHash } from 'node:crypto';
import { lstat, readFile, readdir, readlink } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** Path (relative, `.` for the folder itself) to kind, mode and content: `file 0600 sha256`, `directory 0700`. */
export type TreeSnapshot = Readonly<Record<string, string>>;

/**
 * Everything in a folder in a form that compares: names, kinds, modes and
 * content. `ignore` gets relative paths; an ignored folder is left out with
 * all that is in it.
 */
export async function snapshotTree(
  folder: string,
  options: { ignore?: (path: string) => boolean } = {},
): Promise<TreeSnapshot> {
  const found: Record<string, string> = {};
  async function visit(path: string): Promise<void> {
    const name = relative(folder, path) || '.';
    if (options.ignore?.(name) === true) return;
    const stat = await lstat(path);
    const mode = (stat.mode & 0o7777).toString(8).padStart(4, '0');
    if (stat.isDirectory()) {
      found[name] = `directory ${mode}`;
      for (const entry of (await readdir(path)).sort()) await visit(join(path, entry));
    } else if (stat.isFile()) {
      found[name] = `file ${mode} ${createHash('sha256')
        .update(await readFile(path))
        .digest('hex')}`;
    } else if (stat.isSymbolicLink()) {
      found[name] = `link ${await readlink(path)}`;
    } else found[name] = `other ${mode}`;
  }
  await visit(folder);
  return found;
}
