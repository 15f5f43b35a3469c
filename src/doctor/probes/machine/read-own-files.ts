import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Text of a file, or null when it cannot be read. At most 2 MB: what is longer is no file of settings. */
export async function textOf(path: string): Promise<string | null> {
  try {
    const { size } = await stat(path);
    return size > 2_097_152 ? null : await readFile(path, 'utf8');
  } catch {
    return null;
  }
}

export async function modeOf(path: string): Promise<number | null> {
  return (await stat(path).catch(() => null))?.mode ?? null;
}

/** SHA-256 in lower-case hex; null when it cannot be read. */
export async function sha256Of(path: string): Promise<string | null> {
  try {
    return createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  } catch {
    return null;
  }
}

/** Names in a folder; none when it cannot be read. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

/** Files of a folder whose name passes, absolute. */
export async function filesIn(folder: string, wanted: (name: string) => boolean): Promise<readonly string[]> {
  return (await namesIn(folder)).filter(wanted).map((name) => join(folder, name));
}

/** Null when it is no JSON. */
export function jsonOf(text: string | null): unknown {
  try {
    return text === null ? null : (JSON.parse(text) as unknown);
  } catch {
    return null;
  }
}
