/** Buckets grow by this, so a value read from one is wrong by 2 % at most. */
const growth = 1.04;
/** Tools that are told apart; invented names must not fill the memory. */
const mostTools = 1_000;

interface Tally {
  calls: number;
  errors: number;
  readonly buckets: Map<number, number>;
}

export interface ToolSummary {
  readonly tool: string;
  readonly calls: number;
  readonly errors: number;
  /** Half of the calls took at most this; within 2 %. */
  readonly p50Seconds: number;
  readonly p95Seconds: number;
}

/** Counts calls by tool in memory that depends on the number of tools, not of calls. */
export class ToolDurations {
  readonly #tallies = new Map<string, Tally>();

  add(tool: string, failed: boolean, seconds: number): void {
    const name = this.#tallies.has(tool) || this.#tallies.size < mostTools ? tool : 'other';
    let tally = this.#tallies.get(name);
    if (tally === undefined) {
      tally = { calls: 0, errors: 0, buckets: new Map() };
      this.#tallies.set(name, tally);
    }
    tally.calls += 1;
    if (failed) tally.errors += 1;
    // From a microsecond up: less is not measured.
    const bucket = Math.round(Math.log(Math.max(seconds, 1e-6)) / Math.log(growth));
    tally.buckets.set(bucket, (tally.buckets.get(bucket) ?? 0) + 1);
  }

  /** The tools that were called most, first. */
  summarize(): ToolSummary[] {
    return [...this.#tallies]
      .map(([tool, tally]) => ({
        tool,
        calls: tally.calls,
        errors: tally.errors,
        p50Seconds: percentile(tally, 0.5),
        p95Seconds: percentile(tally, 0.95),
      }))
      .toSorted((a, b) => b.calls - a.calls || (a.tool < b.tool ? -1 : 1));
  }
}

function percentile({ calls, buckets }: Tally, part: number): number {
  let left = Math.ceil(calls * part);
  for (const [bucket, count] of [...buckets].toSorted(([a], [b]) => a - b)) {
    left -= count;
    if (left <= 0) return Number((growth ** bucket).toPrecision(3));
  }
  return 0;
}
