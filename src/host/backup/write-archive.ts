import { createHash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createTarPacker, type TarHeader, type TarPackController } from 'modern-tar';
import { temporaryFileOf } from '../../apply/temporary-file.ts';
import { manifestName, type BackupManifest } from '../../backup/backup-manifest.ts';
import { explainFileError } from '../file-errors.ts';
import { syncFolder } from '../sync-folder.ts';
import type { HeldFile } from './collect-files.ts';

/** Who can open a backup; null for everybody who has the file. */
export type Lock = { readonly recipients: readonly string[] } | { readonly passphrase: string } | null;

export interface WrittenArchive {
  readonly size: number;
  readonly sha256: string;
}

/**
 * Writes `tar | gzip | age` into one file, 0600, all or nothing: a cut leaves at most `FILE.mcpd-tmp`, which the next
 * backup removes. The manifest is the first entry.
 * @throws EnvironmentError when the disk or the permissions are in the way
 */
export async function writeArchive(
  target: string,
  manifest: BackupManifest,
  files: readonly HeldFile[],
  lock: Lock,
): Promise<WrittenArchive> {
  const temporary = temporaryFileOf(target);
  try {
    await rm(temporary, { force: true });
    const handle = await open(temporary, 'wx', 0o600);
    const hash = createHash('sha256');
    let size = 0;
    try {
      const { readable, controller } = createTarPacker();
      const packed = readable.pipeThrough(new CompressionStream('gzip'));
      const bytes = await encrypt(packed, lock);
      const packing = packAll(controller, manifest, files);
      packing.catch((error: unknown) => controller.error(error));
      for await (const chunk of bytes) {
        hash.update(chunk);
        size += chunk.length;
        await handle.write(chunk);
      }
      await packing;
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
    await syncFolder(dirname(target));
    return { size, sha256: hash.digest('hex') };
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw explainFileError(error, 'write', target);
  }
}

async function encrypt(
  bytes: ReadableStream<Uint8Array>,
  lock: Lock,
): Promise<AsyncIterable<Uint8Array> & ReadableStream<Uint8Array>> {
  if (lock === null) return bytes;
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  if ('passphrase' in lock) encrypter.setPassphrase(lock.passphrase);
  else for (const recipient of lock.recipients) encrypter.addRecipient(recipient);
  return encrypter.encrypt(bytes);
}

async function packAll(
  controller: TarPackController,
  manifest: BackupManifest,
  files: readonly HeldFile[],
): Promise<void> {
  const mtime = new Date(manifest.createdAt);
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  await pack(controller, { name: manifestName, size: text.length, mode: 0o600, mtime }, [text]);
  for (const file of files) {
    await pack(controller, { name: file.path, size: file.size, mode: file.mode, mtime }, file.content());
  }
  controller.finalize();
}

async function pack(
  controller: TarPackController,
  header: TarHeader,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  const writer = controller.add({ type: 'file', uid: 0, gid: 0, ...header }).getWriter();
  for await (const chunk of content) {
    await writer.ready;
    await writer.write(chunk);
  }
  await writer.close();
}
