import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** Milliseconds that so many of a hundred calls stayed below. */
export interface LatencyFigures {
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly meanMs: number;
}

/** Calls of one width of the picture. */
export interface LatencyBucket {
  /** Upper bound in milliseconds; null beyond the last one. */
  readonly upToMs: number | null;
  readonly calls: number;
}

/** Upper bounds in milliseconds, three to a power of ten. */
const bounds = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000];

/** Counts latencies in bounded memory, to three digits. */
export class LatencyRecord {
  /** In microseconds. */
  readonly #histogram: RecordableHistogram = createHistogram({ figures: 3, lowest: 1, highest: 3_600_000_000 });
  readonly #counts = Array.from({ length: bounds.length + 1 }, () => 0);

  add(ms: number): void {
    this.#histogram.record(Math.max(1, Math.round(ms * 1_000)));
    let at = 0;
    while (at < bounds.length && ms > (bounds[at] ?? 0)) at++;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** Null when nothing was counted. */
  figures(): LatencyFigures | null {
    const histogram = this.#histogram;
    if (histogram.count === 0) return null;
    const at = (percentile: number): number => histogram.percentile(percentile) / 1_000;
    return {
      p50Ms: at(50),
      p90Ms: at(90),
      p95Ms: at(95),
      p99Ms: at(99),
      maxMs: histogram.max / 1_000,
      meanMs: Math.round(histogram.mean) / 1_000,
    };
  }

  /** From the first to the last that has calls. */
  buckets(): readonly LatencyBucket[] {
    const first = this.#counts.findIndex((count) => count > 0);
    const last = this.#counts.findLastIndex((count) => count > 0);
    if (first === -1) return [];
    return this.#counts.slice(first, last + 1).map((calls, at) => ({ upToMs: bounds[first + at] ?? null, calls }));
  }
}
