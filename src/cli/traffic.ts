/** What the metrics of a server say about its calls, at one moment: counters that only grow. */
export interface TrafficSample {
  /** Monotonic milliseconds of when it was read. */
  readonly atMs: number;
  readonly requests: number;
  readonly errors: number;
  /** Calls that took at most so many seconds, by bound; of all methods together. */
  readonly atMost: ReadonlyMap<number, number>;
}

/** Traffic since the server started, or between two samples. */
export interface Traffic {
  readonly requests: number;
  readonly errors: number;
  /** Null without a former sample. */
  readonly callsPerSecond: number | null;
  /** 95 of 100 calls took at most about this; null when there was none, Infinity beyond the last bound. */
  readonly p95Seconds: number | null;
}

/** Reads a sample from the text of /metrics (Prometheus 0.0.4). */
export function parseTraffic(text: string, atMs: number): TrafficSample {
  const atMost = new Map<number, number>();
  let requests = 0;
  let errors = 0;
  for (const line of text.split('\n')) {
    const match = /^(mcp_\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match === null) continue;
    const [, name, labels = '', number] = match;
    const value = Number(number);
    if (!Number.isFinite(value)) continue;
    if (name === 'mcp_requests_total') requests += value;
    else if (name === 'mcp_errors_total') errors += value;
    else if (name === 'mcp_request_duration_seconds_bucket') {
      const bound = /(?:^|,)le="([^"]+)"/.exec(labels)?.[1];
      const seconds = bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound);
      if (!Number.isNaN(seconds)) atMost.set(seconds, (atMost.get(seconds) ?? 0) + value);
    }
  }
  return { atMs, requests, errors, atMost };
}

/** What happened up to a sample; with a former one, since that. A restart in between counts from its start. */
export function judgeTraffic(now: TrafficSample, former: TrafficSample | null): Traffic {
  const since = former !== null && former.requests <= now.requests ? former : null;
  const requests = now.requests - (since?.requests ?? 0);
  const errors = Math.max(0, now.errors - (since?.errors ?? 0));
  const seconds = former === null ? 0 : (now.atMs - former.atMs) / 1_000;
  return {
    requests,
    errors,
    callsPerSecond: seconds > 0 ? requests / seconds : null,
    p95Seconds: percentile(now, since, 0.95),
  };
}

/** Linear within the bucket it falls into, as Prometheus has it. */
function percentile(now: TrafficSample, since: TrafficSample | null, part: number): number | null {
  const buckets = [...now.atMost]
    .map(([bound, count]) => ({ bound, count: count - (since?.atMost.get(bound) ?? 0) }))
    .toSorted((a, b) => a.bound - b.bound);
  const total = buckets.at(-1)?.count ?? 0;
  if (total <= 0) return null;
  const wanted = total * part;
  let lower = { bound: 0, count: 0 };
  for (const bucket of buckets) {
    if (bucket.count >= wanted) {
      if (!Number.isFinite(bucket.bound)) return Number.POSITIVE_INFINITY;
      const share = (wanted - lower.count) / Math.max(bucket.count - lower.count, 1e-9);
      return lower.bound + (bucket.bound - lower.bound) * share;
    }
    lower = bucket;
  }
  return null;
}
