/** Gauges whose sum would mean nothing: the worst, or the first, of all processes is told. All others are added up. */
const notSummed: Readonly<Record<string, (a: number, b: number) => number>> = {
  mcp_circuit_breaker_state: Math.max,
  mcp_redis_up: Math.min,
  mcp_upstream_up: Math.min,
  mcp_key_age_seconds: Math.max,
  mcp_backup_last_success_timestamp_seconds: Math.max,
  mcp_tls_certificate_not_after_seconds: Math.min,
  process_start_time_seconds: Math.min,
  nodejs_eventloop_lag_mean_seconds: Math.max,
  nodejs_eventloop_lag_p50_seconds: Math.max,
  nodejs_eventloop_lag_p99_seconds: Math.max,
  nodejs_eventloop_lag_max_seconds: Math.max,
  nodejs_version_info: Math.max,
};

interface Family {
  readonly head: string[];
  type: string;
  /** Name and labels -> value. */
  readonly samples: Map<string, number>;
}

/** What one process says of itself. */
export interface MetricsText {
  readonly text: string;
  /** False for a process that has ended or does not answer: its counters still count, its gauges do not. */
  readonly live: boolean;
}

/**
 * Adds up what several processes of one server say in the Prometheus text format: counters and histograms are sums, and
 * never go back as long as those of ended processes are given too. Pure.
 * @param extra samples that no process can know, by the name of their metric
 */
export function mergeMetrics(
  texts: readonly MetricsText[],
  extra: ReadonlyMap<string, readonly (readonly [labels: string, value: number])[]> = new Map(),
): string {
  const families = new Map<string, Family>();
  for (const { text, live } of texts) addText(families, text, live);
  for (const [name, samples] of extra) {
    const family = families.get(name);
    for (const [labels, value] of samples) family?.samples.set(`${name}{${labels}}`, value);
  }
  let merged = '';
  for (const { head, samples } of families.values()) {
    for (const line of head) merged += `${line}\n`;
    for (const [series, value] of samples) merged += `${series} ${renderValue(value)}\n`;
  }
  return merged;
}

function addText(families: Map<string, Family>, text: string, live: boolean): void {
  let name = '';
  let family: Family | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    if (line.startsWith('#')) {
      const [, word, of = '', type = ''] = line.split(' ');
      name = of;
      family = families.get(name);
      if (family === undefined) {
        family = { head: [], type: '', samples: new Map() };
        families.set(name, family);
      }
      if (word === 'TYPE') family.type = type;
      if (!family.head.includes(line)) family.head.push(line);
      continue;
    }
    if (family === undefined || (!live && family.type === 'gauge')) continue;
    const end = line.lastIndexOf(' ');
    const series = line.slice(0, end);
    const value = parseValue(line.slice(end + 1));
    const before = family.samples.get(series);
    const merge = family.type === 'gauge' && Object.hasOwn(notSummed, name) ? notSummed[name] : undefined;
    family.samples.set(
      series,
      before === undefined ? value : merge === undefined ? before + value : merge(before, value),
    );
  }
}

function parseValue(text: string): number {
  return text === '+Inf' ? Number.POSITIVE_INFINITY : text === '-Inf' ? Number.NEGATIVE_INFINITY : Number(text);
}

function renderValue(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
