import { packTar } from 'modern-tar';

/** A file of an archive, or a folder that may be empty. */
export interface PackedEntry {
  /** Relative, with slashes. */
  readonly path: string;
  /** Null for a folder. */
  readonly content: Uint8Array | null;
  readonly isExecutable?: boolean;
}

/**
 * One tar archive of plain files (0600, or 0700 where they are run) and the folders they lie in (0700): no links, no owners, no
 * times of this machine, so that the same files are always the same bytes.
 */
export async function packEntries(entries: readonly PackedEntry[]): Promise<Buffer> {
  const folders = new Set<string>();
  for (const { path, content } of entries) {
    const parts = path.split('/');
    for (let length = 1; length < parts.length + (content === null ? 1 : 0); length += 1) {
      folders.add(parts.slice(0, length).join('/'));
    }
  }
  const common = { uid: 0, gid: 0, mtime: new Date(0) };
  const tar = await packTar([
    ...[...folders].sort().map((name) => ({
      header: { ...common, name: `${name}/`, type: 'directory' as const, size: 0, mode: 0o700 },
    })),
    ...entries.flatMap(({ path, content, isExecutable }) =>
      content === null
        ? []
        : [
            {
              header: { ...common, name: path, size: content.length, mode: isExecutable === true ? 0o700 : 0o600 },
              body: content,
            },
          ],
    ),
  ]);
  return Buffer.from(tar.buffer, tar.byteOffset, tar.byteLength);
}
