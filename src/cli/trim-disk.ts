import { lstat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isTemporaryFile } from '../apply/temporary-file.ts';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { listRotated } from '../server/observe/append-file.ts';
import type { CommandContext } from './context.ts';

/** A file that nobody needs any more. */
export interface Trimmed {
  readonly path: string;
  readonly bytes: number;
}

/** What was moved away a month ago and is not asked for by now, is asked for by nobody. */
const oldLogMs = 30 * 86_400_000;
/** Younger halves may be a write that is under way. */
const halfMs = 3_600_000;

/**
 * Files that can go: logs that were moved away a month ago or longer, and halves that killed writes left. Audit files are
 * evidence and are never among them.
 */
export async function findTrimmable(
  context: CommandContext,
  deployment: Deployment | null,
): Promise<readonly Trimmed[]> {
  const { ports, stateDir, baseDir } = context;
  const paths = deploymentPaths(stateDir);
  const nowMs = Date.parse(ports.clock.now());
  const log = deployment?.logs.file === undefined ? paths.logFile : resolve(baseDir, deployment.logs.file);
  const rotated = (await ports.files.stat(dirname(log))) === null ? [] : listRotated(log);
  const folders = [paths.keysDir, paths.pkiDir, paths.configDir, paths.releasesDir, stateDir];
  const halves: string[] = [];
  for (const folder of new Set(folders)) {
    const names = await ports.files.list(folder).catch(() => []);
    halves.push(...names.filter((name) => isTemporaryFile(name)).map((name) => join(folder, name)));
  }
  const found: Trimmed[] = [];
  for (const [path, leastMs] of [
    ...rotated.map((path) => [path, oldLogMs] as const),
    ...halves.map((path) => [path, halfMs] as const),
  ]) {
    const stat = await lstat(path).catch(() => null);
    if (stat?.isFile() === true && nowMs - stat.mtimeMs > leastMs) found.push({ path, bytes: stat.size });
  }
  return found;
}
