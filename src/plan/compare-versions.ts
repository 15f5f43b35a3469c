/**
 * Below 0 when the first version is the older one, above 0 when it is the newer one; build metadata does not count.
 * Null when one of them is no version. Source: Semantic Versioning 2.0.0, section 11.
 */
export function compareVersions(one: string, other: string): number | null {
  const [a, b] = [parse(one), parse(other)];
  if (a === null || b === null) return null;
  for (const [at, number] of a.numbers.entries()) {
    const difference = number - (b.numbers[at] ?? 0);
    if (difference !== 0) return difference;
  }
  // A release is newer than what led to it.
  if (a.pre.length === 0 || b.pre.length === 0) return b.pre.length - a.pre.length;
  for (const [at, word] of a.pre.entries()) {
    const against = b.pre[at];
    if (against === undefined) return 1;
    if (word !== against) return compareWords(word, against);
  }
  return a.pre.length - b.pre.length;
}

/** Whether it is a whole version, such as 1.4.0 or 2.0.0-beta.1. */
export function isVersion(text: string): boolean {
  return parse(text) !== null;
}

const form = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$/;

function parse(text: string): { readonly numbers: readonly number[]; readonly pre: readonly string[] } | null {
  const found = form.exec(text);
  if (found === null) return null;
  return { numbers: found.slice(1, 4).map(Number), pre: found[4]?.split('.') ?? [] };
}

function compareWords(one: string, other: string): number {
  const [a, b] = [one, other].map((word) => /^\d+$/.test(word));
  if (a === true && b === true) return Number(one) - Number(other);
  if (a !== b) return a === true ? -1 : 1;
  return one < other ? -1 : 1;
}
