/** Upper bounds in seconds: fine where a local call lies, and up to a minute for slow tools. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;

export interface Histogram {
  /** Observations per bucket, not cumulative; the last one is beyond every bound. */
  readonly counts: number[];
  sum: number;
}

export function createHistogram(): Histogram {
  return { counts: Array.from({ length: BOUNDS.length + 1 }, () => 0), sum: 0 };
}

/** Adds one observation in seconds; what is no time at all (NaN, below 0) counts as 0. */
export function observe(histogram: Histogram, seconds: number): void {
  const value = seconds > 0 ? seconds : 0;
  let index = 0;
  while (index < BOUNDS.length && value > (BOUNDS[index] ?? 0)) index += 1;
  histogram.counts[index] = (histogram.counts[index] ?? 0) + 1;
  histogram.sum += value;
}

/** Observations of several histograms together, by upper bound in seconds; `more` is beyond every bound. */
export function countsByBound(histograms: Iterable<Histogram>): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const bound of BOUNDS) counts[bound] = 0;
  counts['more'] = 0;
  for (const histogram of histograms) {
    histogram.counts.forEach((count, index) => {
      const bound = BOUNDS[index] ?? 'more';
      counts[bound] = (counts[bound] ?? 0) + count;
    });
  }
  return counts;
}

/** The samples of one series: cumulative buckets, sum, count. `labels` is rendered label text without braces. */
export function renderHistogram(name: string, labels: string, histogram: Histogram): string {
  const before = labels === '' ? '' : `${labels},`;
  const braces = labels === '' ? '' : `{${labels}}`;
  let total = 0;
  let text = '';
  histogram.counts.forEach((count, index) => {
    total += count;
    text += `${name}_bucket{${before}le="${BOUNDS[index] ?? '+Inf'}"} ${total}\n`;
  });
  return `${text}${name}_sum${braces} ${histogram.sum}\n${name}_count${braces} ${total}\n`;
}
