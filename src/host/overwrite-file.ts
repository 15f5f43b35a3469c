import { open } from 'node:fs/promises';
import { explainFileError } from './file-errors.ts';

/**
 * Writes into a file as it is, so that whoever has that very file mounted sees the new content; a renamed one would be another
 * file to them. A reader may meet half of it: only for what is read again when it is broken. False when it is not there.
 */
export async function overwriteFile(path: string, content: Buffer | string): Promise<boolean> {
  try {
    const file = await open(path, 'r+');
    try {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content;
      await file.write(bytes, 0, bytes.length, 0);
      await file.truncate(bytes.length);
      await file.sync();
      return true;
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw explainFileError(error, 'write', path);
  }
}
