import { join } from 'node:path';
import { removeImage } from './act-containers.ts';
import { releasesToPrune } from '../plan/choose-rollback.ts';
import { deploymentPaths } from '../plan/deployment-paths.ts';
import { readReleases, releasesDirOf } from './commit.ts';
import { journalDirOf } from './journal.ts';
import type { ApplyPorts } from './ports.ts';

/**
 * Removes the oldest releases with their builds and journals. What runs, and the release before it, always stay. A kill in between
 * leaves a release without a record, which the next pruning removes.
 */
export async function pruneReleases(
  ports: Pick<ApplyPorts, 'files' | 'processes'>,
  stateDir: string,
  keep: number,
): Promise<void> {
  const { files } = ports;
  const folder = releasesDirOf(stateDir);
  const numbers = (await files.list(folder)).flatMap((name) => /^([0-9]+)(?:\.json)?$/.exec(name)?.[1] ?? []);
  const gone = new Set(releasesToPrune([...new Set(numbers.map(Number))], keep));
  const { releases } = await readReleases(files, stateDir);
  // A release that changed only a site runs the build of an earlier one.
  const builds = new Set(releases.filter(({ release }) => !gone.has(release)).map(({ build }) => build?.folder));
  const images = releases.filter(({ release }) => gone.has(release)).flatMap(({ image }) => image ?? []);
  const keptImages = new Set(releases.filter(({ release }) => !gone.has(release)).map(({ image }) => image));
  for (const image of new Set(images)) if (!keptImages.has(image)) await removeImage(image, ports);
  for (const number of gone) {
    await files.removeFile(join(folder, `${number}.json`));
    if (!builds.has(number)) await files.removeTree(join(folder, String(number)));
  }
  const sent = new Set(
    releases
      .filter(({ release }) => !gone.has(release))
      .flatMap((each) => each.sent?.map(({ sha256 }) => sha256) ?? []),
  );
  const { sentDir } = deploymentPaths(stateDir);
  for (const name of await files.list(sentDir)) if (!sent.has(name)) await files.removeFile(join(sentDir, name));
  for (const name of await files.list(journalDirOf(stateDir))) {
    const number = /^([0-9]+)-.*\.jsonl$/.exec(name)?.[1];
    if (number !== undefined && gone.has(Number(number))) await files.removeFile(join(journalDirOf(stateDir), name));
  }
}
