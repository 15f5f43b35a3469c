import type { BreakerState } from '../backends/circuit-breaker.ts';
import { countsByBound, createHistogram, observe, renderHistogram, type Histogram } from './histogram.ts';
import { createLabelWords, createWordCounter, OTHER, renderLabels } from './label-words.ts';
import { metricCatalogue, type MetricName } from './metric-catalogue.ts';
import { watchProcess } from './process-metrics.ts';

const MOST_TOOLS = 200;
const LONGEST_TOOL_NAME = 128;

/** Methods of both eras, and what the HTTP side itself answers. Everything else is counted as `other`. */
const METHODS = [
  'initialize',
  'ping',
  'server/discover',
  'tools/list',
  'tools/call',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'resources/subscribe',
  'resources/unsubscribe',
  'prompts/list',
  'prompts/get',
  'completion/complete',
  'logging/setLevel',
  'subscriptions/listen',
  'tasks/get',
  'tasks/list',
  'tasks/result',
  'tasks/cancel',
  'notifications/initialized',
  'notifications/cancelled',
  'notifications/progress',
  'notifications/roots/list_changed',
  'GET',
  'POST',
  'DELETE',
  'OPTIONS',
];

export interface MetricSources {
  sessions(): number;
  /** Sessions of other servers that were gone on with; null where none are shared. */
  sessionsTakenOver?(): number | null;
  /** Open event streams; counted by streamOpened and streamClosed when absent. */
  streams?(): number;
  upstreams(): readonly {
    readonly name: string;
    readonly up: boolean;
    readonly restarts: number;
    readonly breaker?: BreakerState;
    /** Null or absent where no answers are kept. */
    readonly cache?: { readonly hits: number; readonly misses: number } | null;
    /** Those of its tools, where they have their own. */
    readonly toolBreakers?: readonly { readonly name: string; readonly state: BreakerState }[];
  }[];
  /** Unix time in seconds; null without TLS. */
  certificateNotAfterSeconds(): number | null;
  auditDropped?(): number;
  /** Unix time in seconds; null when none was noted. */
  lastBackupSeconds?(): number | null;
  /** Bytes that wait for readers. */
  unreadBytes?(): number;
  /** The connection to Redis; null without Redis. */
  redis?(): { readonly isUp: boolean; readonly errors: number } | null;
  /** Answers that replicas keep for each other, by what became of looks and writes; null where they do not. */
  sharedAnswers?(): {
    readonly lookups: Readonly<Record<string, number>>;
    readonly writes: Readonly<Record<string, number>>;
  } | null;
  /** At most 100. */
  keyAges?(): readonly { readonly label: string; readonly seconds: number }[];
  /**
   * Asked for a tool that has not answered well yet: names that it denies are counted as `other`, so that invented
   * ones cannot fill the 200 places. Without it the first 200 names are kept.
   */
  isKnownTool?(name: string): boolean;
}

/** Sums since the start, for /status. */
export interface MetricTotals {
  readonly requests: number;
  readonly toolExecutions: number;
  readonly authFailures: number;
  readonly rateLimited: number;
  readonly errors: number;
}

export interface Metrics {
  /** One answered request. `tool` null for anything but a tool call; `status` a word or an HTTP status. */
  request(method: string, tool: string | null, status: string | number, seconds: number): void;
  toolExecution(tool: string, status: string | number, seconds: number): void;
  authFailure(reason: string): void;
  rateLimited(scope: string): void;
  streamOpened(): void;
  streamClosed(): void;
  sseEvent(): void;
  /** A connection was cut for what it left unread: by the bound of one stream, or by that of all together. */
  slowReaderCut(bound: 'stream' | 'all'): void;
  error(kind: string): void;
  /** The configuration was read again and taken over, or refused. */
  configReload(result: 'ok' | 'refused'): void;
  /** The text of /metrics, Prometheus text format 0.0.4. */
  render(): string;
  totals(): MetricTotals;
  /** How long answers took: how many by upper bound in seconds, `more` beyond the last one. */
  durations(): Readonly<Record<string, number>>;
  /** Ends the watching of the event loop. */
  close(): void;
}

/** Content-Type of `render()`. */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

interface Cell {
  readonly method: string;
  readonly status: string | number;
  readonly duration: Histogram;
  count: number;
}

/** What is known of one method: requests that are no tool calls, and how long those of each status took. */
interface MethodSeries {
  readonly cells: Cell[];
  readonly durations: Map<string | number, Histogram>;
}

const newMethod = (): MethodSeries => ({ cells: [], durations: new Map() });

interface Execution {
  readonly status: string | number;
  count: number;
}

interface ToolSeries {
  /** mcp_requests_total of this tool, nearly always one or two cells. */
  readonly requests: Cell[];
  readonly executions: Execution[];
  readonly time: Histogram;
}

/** Counters of the server: plain numbers that a call finds by one Map look-up, turned into text when scraped. */
export function createMetrics(sources: MetricSources): Metrics {
  const methods = new Map<string, MethodSeries>([...METHODS, OTHER].map((method) => [method, newMethod()]));
  const otherMethod = methods.get(OTHER) ?? newMethod();
  const otherTools: ToolSeries = { requests: [], executions: [], time: createHistogram() };
  // In the Map too, so that a tool whose name is "other" does not become a second series of the same labels.
  const tools = new Map<string, ToolSeries>([[OTHER, otherTools]]);
  const statuses = createLabelWords();
  const authFailures = createWordCounter([
    'missing',
    'invalid',
    'revoked',
    'expired',
    'backed-off',
    'certificate',
    'insufficient-scope',
    'unavailable',
  ]);
  const rateLimited = createWordCounter([
    'key',
    'tier',
    'address',
    'tool',
    'global',
    'free',
    'concurrency',
    'tool-concurrency',
    'global-concurrency',
    'streams',
    'shared-state',
  ]);
  const errors = createWordCounter([]);
  const slowReaders = createWordCounter(['stream', 'all']);
  const reloads = { ok: 0, refused: 0 };
  let reloadedAtMs: number | null = null;
  const observed = watchProcess();
  let streams = 0;
  let events = 0;

  function toolSeries(name: string, status: string | number): ToolSeries {
    const known = tools.get(name);
    if (known !== undefined) return known;
    if (tools.size > MOST_TOOLS || name.length > LONGEST_TOOL_NAME) return otherTools;
    // What has answered well exists, whatever the list says.
    if (status !== 'ok' && sources.isKnownTool?.(name) === false) return otherTools;
    const series: ToolSeries = { requests: [], executions: [], time: createHistogram() };
    tools.set(name, series);
    return series;
  }

  function addCell(cells: Cell[], method: string, status: string | number): Cell {
    const allowed = statuses.bound(status);
    const known = methods.has(method) ? method : OTHER;
    const found = findCell(cells, known, allowed);
    if (found !== null) return found;
    // One for all tools of the method: a tool has times of its own.
    const { durations } = methods.get(known) ?? otherMethod;
    const duration = durations.get(allowed) ?? createHistogram();
    durations.set(allowed, duration);
    const cell: Cell = { method: known, status: allowed, duration, count: 0 };
    cells.push(cell);
    return cell;
  }

  function addExecution(executions: Execution[], status: string | number): Execution {
    const allowed = statuses.bound(status);
    const found = findExecution(executions, allowed);
    if (found !== null) return found;
    const execution = { status: allowed, count: 0 };
    executions.push(execution);
    return execution;
  }

  function renderSamples(): ReadonlyMap<MetricName, string> {
    const text = new Map<MetricName, string>();
    const add = (name: MetricName, labels: string, value: number) => {
      text.set(name, `${text.get(name) ?? ''}${name}${labels === '' ? '' : `{${labels}}`} ${renderNumber(value)}\n`);
    };
    const addRequests = (cells: readonly Cell[], tool: string) => {
      for (const { method, status, count } of cells) {
        add('mcp_requests_total', renderLabels({ method, tool, status: String(status) }), count);
      }
    };
    let times = '';
    for (const [method, { cells, durations }] of methods) {
      addRequests(cells, '');
      for (const [status, duration] of durations) {
        const labels = renderLabels({ method, status: String(status) });
        times += renderHistogram('mcp_request_duration_seconds', labels, duration);
      }
    }
    text.set('mcp_request_duration_seconds', times);
    times = '';
    for (const [tool, series] of tools) {
      addRequests(series.requests, tool);
      for (const { status, count } of series.executions) {
        add('mcp_tool_executions_total', renderLabels({ tool, status: String(status) }), count);
      }
      if (series.executions.length > 0) {
        times += renderHistogram('mcp_tool_execution_time_seconds', renderLabels({ tool }), series.time);
      }
    }
    text.set('mcp_tool_execution_time_seconds', times);
    add('mcp_sse_connections_active', '', sources.streams?.() ?? streams);
    add('mcp_sse_events_sent_total', '', events);
    add('mcp_unread_bytes', '', sources.unreadBytes?.() ?? 0);
    for (const [bound, count] of slowReaders.counts) add('mcp_slow_readers_cut_total', renderLabels({ bound }), count);
    add('mcp_active_sessions', '', sources.sessions());
    const takenOver = sources.sessionsTakenOver?.() ?? null;
    if (takenOver !== null) add('mcp_sessions_taken_over_total', '', takenOver);
    for (const [reason, count] of authFailures.counts) add('mcp_auth_failures_total', renderLabels({ reason }), count);
    for (const [scope, count] of rateLimited.counts) add('mcp_rate_limited_total', renderLabels({ scope }), count);
    for (const [kind, count] of errors.counts) add('mcp_errors_total', renderLabels({ kind }), count);
    for (const { name, up, restarts, breaker, cache = null, toolBreakers = [] } of sources.upstreams()) {
      const upstream = renderLabels({ upstream: name });
      if (breaker !== undefined) {
        add('mcp_circuit_breaker_state', upstream, breakerStates.indexOf(breaker));
      }
      for (const tool of toolBreakers) {
        add('mcp_circuit_breaker_state', renderLabels({ upstream: tool.name }), breakerStates.indexOf(tool.state));
      }
      add('mcp_upstream_up', upstream, up ? 1 : 0);
      add('mcp_upstream_restarts_total', upstream, restarts);
      if (cache !== null) {
        add('mcp_cache_hits_total', upstream, cache.hits);
        add('mcp_cache_misses_total', upstream, cache.misses);
      }
    }
    const answers = sources.sharedAnswers?.() ?? null;
    for (const [result, count] of Object.entries(answers?.lookups ?? {})) {
      add('mcp_cache_shared_lookups_total', renderLabels({ result }), count);
    }
    for (const [result, count] of Object.entries(answers?.writes ?? {})) {
      add('mcp_cache_shared_writes_total', renderLabels({ result }), count);
    }
    const notAfter = sources.certificateNotAfterSeconds();
    if (notAfter !== null) add('mcp_tls_certificate_not_after_seconds', '', notAfter);
    for (const { label, seconds } of sources.keyAges?.() ?? []) {
      add('mcp_key_age_seconds', renderLabels({ label }), seconds);
    }
    const lastBackup = sources.lastBackupSeconds?.() ?? null;
    if (lastBackup !== null) add('mcp_backup_last_success_timestamp_seconds', '', lastBackup);
    const redis = sources.redis?.() ?? null;
    if (redis !== null) {
      add('mcp_redis_up', '', redis.isUp ? 1 : 0);
      add('mcp_redis_errors_total', '', redis.errors);
    }
    add('mcp_audit_dropped_total', '', sources.auditDropped?.() ?? 0);
    // With several workers these two are written by the process that knows them all.
    add('mcp_worker_up', renderLabels({ worker: '0' }), 1);
    add('mcp_worker_restarts_total', renderLabels({ worker: '0' }), 0);
    for (const [result, count] of Object.entries(reloads)) {
      add('mcp_config_reloads_total', renderLabels({ result }), count);
    }
    if (reloadedAtMs !== null) add('mcp_config_last_reload_timestamp_seconds', '', reloadedAtMs / 1_000);
    for (const [name, value] of observed.read()) add(name, '', value);
    add('nodejs_version_info', renderLabels({ version: process.version }), 1);
    return text;
  }

  return {
    request(method, tool, status, seconds) {
      const cells =
        tool === null || tool === '' ? (methods.get(method) ?? otherMethod).cells : toolSeries(tool, status).requests;
      const cell = findCell(cells, method, status) ?? addCell(cells, method, status);
      cell.count += 1;
      observe(cell.duration, seconds);
    },
    toolExecution(tool, status, seconds) {
      const series = toolSeries(tool, status);
      const execution = findExecution(series.executions, status) ?? addExecution(series.executions, status);
      execution.count += 1;
      observe(series.time, seconds);
    },
    authFailure: (reason) => authFailures.add(reason),
    rateLimited: (scope) => rateLimited.add(scope),
    slowReaderCut: (bound) => slowReaders.add(bound),
    error: (kind) => errors.add(kind),
    configReload(result) {
      reloads[result] += 1;
      if (result === 'ok') reloadedAtMs = Date.now();
    },
    streamOpened() {
      streams += 1;
    },
    streamClosed() {
      streams = Math.max(0, streams - 1);
    },
    sseEvent() {
      events += 1;
    },
    render() {
      const samples = renderSamples();
      let text = '';
      for (const { name, type, help } of metricCatalogue) {
        text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.get(name) ?? ''}`;
      }
      return text;
    },
    totals() {
      const cells = [...methods.values()].flatMap(({ cells }) => cells);
      const series = [...tools.values()];
      return {
        requests: sum([...cells, ...series.flatMap(({ requests }) => requests)].map(({ count }) => count)),
        toolExecutions: sum(series.flatMap(({ executions }) => executions).map(({ count }) => count)),
        authFailures: sum([...authFailures.counts.values()]),
        rateLimited: sum([...rateLimited.counts.values()]),
        errors: sum([...errors.counts.values()]),
      };
    },
    durations: () => countsByBound([...methods.values()].flatMap(({ durations }) => [...durations.values()])),
    close() {
      observed.close();
    },
  };
}

/** In the order of the numbers that stand for them. */
const breakerStates: readonly BreakerState[] = ['closed', 'open', 'half-open'];

// Plain loops: this is on the way of every call, and a list of one or two needs no index.
function findCell(cells: readonly Cell[], method: string, status: string | number): Cell | null {
  for (const cell of cells) if (cell.status === status && cell.method === method) return cell;
  return null;
}

function findExecution(executions: readonly Execution[], status: string | number): Execution | null {
  for (const execution of executions) if (execution.status === status) return execution;
  return null;
}

function renderNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
