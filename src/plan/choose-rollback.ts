import { UserError } from '../deployment/errors.ts';
import type { ReleaseRecord } from './facts.ts';

/**
 * The release that a rollback puts back: the one of that number, or the newest one that wanted something else than what is
 * live. `releases` are newest first; the first one is live.
 *
 * @throws UserError (exit 2) when there is no such release
 */
export function chooseRollback(releases: readonly ReleaseRecord[], wanted: number | null): ReleaseRecord {
  const [live, ...earlier] = releases;
  const numbers = releases.map(({ release }) => release).join(', ');
  if (live === undefined) {
    throw new UserError('There is no release to go back to.', {
      why: 'Nothing was applied here.',
      next: 'mcp-deploy up',
    });
  }
  if (wanted !== null) {
    const found = releases.find(({ release }) => release === wanted);
    if (found !== undefined) return found;
    throw new UserError(`There is no release ${wanted}.`, { why: `Kept are: ${numbers}.`, next: 'mcp-deploy history' });
  }
  const found = earlier.find((each) => !sameAs(live, each));
  if (found !== undefined) return found;
  throw new UserError('There is no other release to go back to.', {
    why: earlier.length === 0 ? `Release ${live.release} is the first one.` : `All of ${numbers} wanted the same.`,
    next: 'mcp-deploy history',
  });
}

function sameAs(one: ReleaseRecord, other: ReleaseRecord): boolean {
  return (
    JSON.stringify(one.desired) === JSON.stringify(other.desired) &&
    one.build?.sha256 === other.build?.sha256 &&
    one.image === other.image
  );
}

/** The numbers of releases that may go: all but the newest `keep`, and never the live one or the one before it. */
export function releasesToPrune(numbers: readonly number[], keep: number): readonly number[] {
  return numbers.toSorted((a, b) => b - a).slice(Math.max(2, keep));
}
