import { open } from 'node:fs/promises';
import { hasCode } from './file-errors.ts';

/**
 * Makes a rename, create or unlink in this folder last. Some file systems cannot, and then nothing is lost but this.
 */
export async function syncFolder(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!hasCode(error, 'EINVAL', 'EPERM', 'EACCES', 'EISDIR', 'ENOTSUP', 'ENOENT', 'EBADF')) throw error;
  }
}
