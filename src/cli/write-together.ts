import { dirname } from 'node:path';
import { UserError } from '../deployment/errors.ts';
import type { FileSystem } from '../apply/ports.ts';
import type { CommandContext } from './context.ts';

/** A file to be written outside of a deployment. */
export interface OutputFile {
  readonly path: string;
  readonly content: string | Buffer;
  readonly mode: number;
}

/**
 * Writes all the files or none: each aside and on the disk, then renamed one after the other. When a rename fails, those
 * before it are taken back. A file that is there is only replaced with `force`.
 * @throws UserError exit 2 when a file is there already; EnvironmentError when the disk or the permissions are in the way.
 */
export async function writeTogether(
  context: Pick<CommandContext, 'ports' | 'signal'>,
  folder: string,
  outputs: readonly OutputFile[],
  force: boolean,
): Promise<void> {
  const { files } = context.ports;
  const before = new Map<string, { content: Buffer; mode: number } | null>();
  for (const { path } of outputs) before.set(path, await readBefore(files, path, force));
  const newFolder = (await files.stat(folder)) === null;
  if (newFolder) await files.makeDirectory(folder, 0o700);
  const aside = outputs.map((output) => ({ ...output, aside: `${output.path}.mcpd-new` }));
  const renamed: string[] = [];
  try {
    for (const output of aside) await files.writeAtomic(output.aside, output.content, output.mode);
    context.signal.throwIfAborted();
    for (const output of aside) {
      await files.rename(output.aside, output.path);
      renamed.push(output.path);
    }
  } catch (error) {
    for (const path of renamed.toReversed()) {
      const old = before.get(path);
      if (old === null || old === undefined) await files.removeFile(path);
      else await files.writeAtomic(path, old.content, old.mode);
    }
    for (const output of aside) await files.removeFile(output.aside).catch(() => {});
    if (newFolder) await files.removeEmptyDirectory(folder).catch(() => {});
    throw error;
  }
}

async function readBefore(
  files: FileSystem,
  path: string,
  force: boolean,
): Promise<{ content: Buffer; mode: number } | null> {
  const stat = await files.stat(path);
  if (stat === null) return null;
  if (stat.kind !== 'file') {
    throw new UserError(`${path} is no plain file; it stays as it is.`, {
      why: 'It is a folder or a link, and what it points to may be in use.',
      next: `Name another folder with --out, or look at it: ls -ld ${dirname(path)}`,
    });
  }
  if (!force) {
    throw new UserError(`${path} is there already; nothing was written.`, {
      why: 'A key that is overwritten cannot be brought back.',
      next: 'Name another folder with --out, or add --force to replace it.',
    });
  }
  return { content: (await files.read(path)) ?? Buffer.alloc(0), mode: stat.mode };
}
