const MOST_WORDS = 50;
const LONGEST_WORD = 128;

/** The label value for everything beyond a bound. */
export const OTHER = 'other';

/** Label values that come from code, bounded all the same: what grows without end here ends a Prometheus. */
export interface LabelWords {
  /** The word itself, or `other` when 50 others were seen before it or it is longer than 128 characters. */
  bound(word: string | number): string | number;
}

export function createLabelWords(): LabelWords {
  // By text, so that the status 200 and the status "200" are one series.
  const known = new Map<string, string | number>();
  return {
    bound(word) {
      const text = String(word);
      const first = known.get(text);
      if (first !== undefined) return first;
      if (known.size >= MOST_WORDS || text.length > LONGEST_WORD) return OTHER;
      known.set(text, word);
      return word;
    },
  };
}

export interface WordCounter {
  readonly counts: ReadonlyMap<string, number>;
  add(word: string): void;
}

/** Counts per word, at most 50 words and `other`. The given ones show from the start, as 0, so that rates work. */
export function createWordCounter(initial: readonly string[]): WordCounter {
  const counts = new Map<string, number>(initial.map((word) => [word, 0]));
  return {
    counts,
    add(word) {
      const fits = counts.has(word) || (counts.size < MOST_WORDS && word.length <= LONGEST_WORD);
      const counted = fits ? word : OTHER;
      counts.set(counted, (counts.get(counted) ?? 0) + 1);
    },
  };
}

/** Label text without braces. Source: Prometheus text format 0.0.4: backslash, quote and line feed are escaped. */
export function renderLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\"\n]/g, escapeCharacter)}"`)
    .join(',');
}

function escapeCharacter(character: string): string {
  return character === '\n' ? '\\n' : `\\${character}`;
}
