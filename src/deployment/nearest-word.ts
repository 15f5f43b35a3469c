/**
 * The candidate that the writer most likely meant, or null when none is near:
 * one to three letters differ, by the length of the word; case, `-` and `_` do not count.
 */
export function nearestWord(word: string, candidates: readonly string[]): string | null {
  const wanted = plain(word);
  const allowed = wanted.length <= 4 ? 1 : wanted.length <= 7 ? 2 : 3;
  let best: string | null = null;
  let bestDistance = allowed + 1;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, plain(candidate));
    // A word with nothing in common is never a suggestion, however short.
    if (distance < bestDistance && distance < Math.max(wanted.length, candidate.length) - 1) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Changes, insertions, removals and swaps of neighbours that turn one word into the other (optimal string alignment). */
function editDistance(from: string, to: string): number {
  if (Math.abs(from.length - to.length) > 3) return Number.POSITIVE_INFINITY;
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= to.length; j += 1) {
      const same = from[i - 1] === to[j - 1];
      let cost = Math.min(at(previous, j) + 1, at(row, j - 1) + 1, at(previous, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        cost = Math.min(cost, at(beforePrevious, j - 2) + 1);
      }
      row.push(cost);
    }
    beforePrevious = previous;
    previous = row;
  }
  return at(previous, to.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}

function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[-_]/g, '');
}
