import type { HealthAnswer } from '../observe/health.ts';
import { mergeMetrics } from '../observe/merge-metrics.ts';
import type { PageName } from './siblings.ts';

/** One worker as its page is put together with the others'. */
export interface WorkerPage {
  readonly slot: number;
  /** Null while it starts or waits to be started. */
  readonly pid: number | null;
  readonly restarts: number;
  /** Null when it does not run, or did not answer in time. */
  readonly answer: HealthAnswer | null;
  /** What it said of its counters the last time, where it does not answer now. */
  readonly lastMetrics: string;
}

/**
 * One page about all workers. Pure.
 * @param endedMetrics counters of workers that have ended
 */
export function mergePages(page: PageName, workers: readonly WorkerPage[], endedMetrics: string): HealthAnswer {
  switch (page) {
    case 'metrics':
      return { status: 200, body: mergeAllMetrics(workers, endedMetrics) };
    case 'status':
      return { status: 200, body: JSON.stringify(mergeStatus(workers)) };
    case 'health':
      return mergeHealth(workers);
    case 'readyz':
    case 'readyz-detail':
      return mergeReadiness(workers);
  }
}

function mergeAllMetrics(workers: readonly WorkerPage[], endedMetrics: string): string {
  const texts = workers.map(({ answer, lastMetrics }) =>
    answer === null ? { text: lastMetrics, live: false } : { text: answer.body, live: true },
  );
  const perWorker = (value: (worker: WorkerPage) => number): [string, number][] =>
    workers.map((worker) => [`worker="${worker.slot}"`, value(worker)]);
  // Those that answer go first: they have every heading.
  const inOrder = [...texts, { text: endedMetrics, live: false }].toSorted((a, b) => Number(b.live) - Number(a.live));
  return mergeMetrics(
    inOrder,
    new Map([
      ['mcp_worker_up', perWorker(({ answer }) => (answer === null ? 0 : 1))],
      ['mcp_worker_restarts_total', perWorker(({ restarts }) => restarts)],
    ]),
  );
}

type Page = Record<string, unknown>;

function mergeStatus(workers: readonly WorkerPage[]): Page {
  const pages = workers.map(({ answer }) => parsePage(answer));
  const known = pages.filter((page) => page !== null);
  const [first = {}] = known;
  return {
    ...first,
    status: overallState(known),
    startedAt: known.map((page) => String(page['startedAt'])).toSorted()[0],
    uptimeSeconds: Math.max(0, ...known.map((page) => Number(page['uptimeSeconds']))),
    memory: sumOf(known.map((page) => page['memory'])),
    sessions: sumOf(known.map((page) => page['sessions'])),
    streams: sumOf(known.map((page) => page['streams'])),
    upstreams: mergeUpstreams(known),
    totals: sumOf(known.map((page) => page['totals'])),
    durations: sumOf(known.map((page) => page['durations'])),
    workers: workers.map(({ slot, pid, restarts }, index) => {
      const page = pages[index] ?? null;
      const { status = 'down', sessions, streams, memory } = page ?? {};
      return { worker: slot, pid, status, restarts, ...(page === null ? {} : { sessions, streams, memory }) };
    }),
  };
}

function mergeReadiness(workers: readonly WorkerPage[]): HealthAnswer {
  const known = workers.map(({ answer }) => parsePage(answer)).filter((page) => page !== null);
  const status = overallState(known);
  const body = { status, upstreams: mergeUpstreams(known), workers: { up: known.length, of: workers.length } };
  return { status: status === 'ready' ? 200 : 503, body: JSON.stringify(body) };
}

/** A breaker that is open at one worker is open; an upstream is fine where it is so at all; the server, where it is at one. */
function mergeHealth(workers: readonly WorkerPage[]): HealthAnswer {
  const pages = workers.map(({ answer }) => parsePage(answer)).filter((page) => page !== null);
  const [first = { status: 'error' }] = pages;
  const breakers = entriesOf(pages, 'breakers');
  // What is said last of a name counts.
  const named = Object.fromEntries(
    breakers.toSorted(([, one], [, other]) => Number(one === 'open') - Number(other === 'open')),
  );
  if (!('checks' in first)) {
    const body = { ...first, ...(breakers.length === 0 ? {} : { breakers: named }) };
    return { status: pages.length === 0 ? 503 : 200, body: JSON.stringify(body) };
  }
  const all = entriesOf(pages, 'checks');
  const checks: Page = Object.fromEntries(
    all.toSorted(([, one], [, other]) => Number(one !== 'ok') - Number(other !== 'ok')),
  );
  if (all.some(([name, check]) => name === 'server' && check === 'ok')) checks['server'] = 'ok';
  const healthy = Object.values(checks).every((check) => check === 'ok');
  const uptime = Math.max(...pages.map((page) => Number(page['uptime'])));
  const memory = sumOf(pages.map((page) => page['memory']));
  const body = { ...first, status: healthy ? 'ok' : 'error', uptime, memory, checks };
  return { status: healthy ? 200 : 503, body: JSON.stringify(body) };
}

function entriesOf(pages: readonly Page[], name: string): readonly (readonly [string, unknown])[] {
  return pages.flatMap((page) => Object.entries(page[name] ?? {}));
}

/** Ready as long as one worker is: whoever asks the others is told to come again. */
function overallState(pages: readonly Page[]): string {
  const states = new Set(pages.map((page) => page['status']));
  for (const state of ['ready', 'starting', 'audit-blocked', 'draining']) if (states.has(state)) return state;
  return 'unavailable';
}

const worstFirst: readonly unknown[] = ['broken', 'down', 'starting', 'up'];

/** Each upstream as it is at the worker where it is worst; what can be counted is added up. */
function mergeUpstreams(pages: readonly Page[]): Page[] {
  const byName = new Map<unknown, Page>();
  for (const page of pages) {
    for (const upstream of Array.isArray(page['upstreams']) ? (page['upstreams'] as Page[]) : []) {
      const before = byName.get(upstream['name']);
      if (before === undefined) {
        byName.set(upstream['name'], upstream);
        continue;
      }
      const isWorse = worstFirst.indexOf(upstream['state']) < worstFirst.indexOf(before['state']);
      const merged: Page = { ...(isWorse ? upstream : before) };
      for (const count of ['restarts', 'inFlight']) {
        if (count in upstream || count in before)
          merged[count] = Number(before[count] ?? 0) + Number(upstream[count] ?? 0);
      }
      byName.set(upstream['name'], merged);
    }
  }
  return [...byName.values()];
}

/** Adds numbers, or objects of numbers member by member. */
function sumOf(values: readonly unknown[]): unknown {
  if (values.every((value) => typeof value === 'number')) return values.reduce((total, value) => total + value, 0);
  const sums: Record<string, number> = {};
  for (const value of values) {
    for (const [name, part] of Object.entries(value ?? {})) {
      if (typeof part === 'number') sums[name] = (sums[name] ?? 0) + part;
    }
  }
  return sums;
}

function parsePage(answer: HealthAnswer | null): Page | null {
  return answer === null ? null : (JSON.parse(answer.body) as Page);
}
