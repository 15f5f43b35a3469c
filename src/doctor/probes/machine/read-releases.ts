import { join } from 'node:path';
import { deploymentSchema, type Deployment } from '../../../deployment/schema.ts';
import { deploymentPaths } from '../../../plan/deployment-paths.ts';
import type { ReleaseRecord } from '../../../plan/facts.ts';
import { jsonOf, namesIn, textOf } from './read-own-files.ts';

export interface Applied {
  /** Newest first. */
  readonly releases: readonly ReleaseRecord[];
  /** Of the newest; null when there is none that this version can read. */
  readonly deployment: Deployment | null;
}

/** What was applied, as its records say. Damaged records are left out: `history` names them. */
export async function readReleases(stateDir: string): Promise<Applied> {
  const { releasesDir } = deploymentPaths(stateDir);
  const numbers = (await namesIn(releasesDir))
    .flatMap((name) => /^(\d+)\.json$/.exec(name)?.[1] ?? [])
    .map(Number)
    .toSorted((a, b) => b - a);
  const records = await Promise.all(
    numbers.map(async (number) => jsonOf(await textOf(join(releasesDir, `${number}.json`)))),
  );
  const releases = records.filter((record) => isRelease(record));
  const parsed = deploymentSchema.safeParse(releases[0]?.desired);
  return { releases, deployment: parsed.success ? parsed.data : null };
}

function isRelease(record: unknown): record is ReleaseRecord {
  const { files, release } = (record ?? {}) as Partial<ReleaseRecord>;
  return typeof release === 'number' && typeof files === 'object' && files !== null;
}
