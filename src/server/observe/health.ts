import type { Backend } from '../types.ts';
import type { MetricTotals } from './metrics.ts';
import type { BreakerView } from '../backends/circuit-breaker.ts';
import { redactText } from './redact.ts';

export interface HealthAnswer {
  readonly status: 200 | 503;
  /** JSON text, unless `type` says something else. */
  readonly body: string;
  readonly type?: string;
}

/** What holds calls back. */
export interface Readiness {
  readonly backends: readonly Backend[];
  readonly draining: boolean;
  /** Calls are refused until audit lines can be written again. */
  readonly auditBlocked: boolean;
}

/**
 * The answer of /readyz: 200 while at least one backend can be called and nothing holds calls back. `detail` adds why a
 * backend is down and its last words, for callers with a key or on loopback.
 */
export function describeReadiness(readiness: Readiness, detail: boolean): HealthAnswer {
  const status = readinessOf(readiness);
  const upstreams = readiness.backends.map((backend) => describeBackend(backend, detail));
  return { status: status === 'ready' ? 200 : 503, body: JSON.stringify({ status, upstreams }) };
}

/** How the last reading of the configuration while serving went. */
export interface LastReload {
  /** Epoch ms. */
  readonly atMs: number;
  readonly result: 'ok' | 'refused';
  /** What was refused and why; null when it went well. */
  readonly problem: string | null;
}

export interface StatusInput extends Readiness {
  readonly version: string;
  /** Epoch ms. */
  readonly startedAtMs: number;
  /** Epoch ms. */
  readonly nowMs: number;
  readonly sessions: number;
  readonly streams: number;
  readonly totals: MetricTotals;
  /** How many answers took up to so many seconds. */
  readonly durations: Readonly<Record<string, number>>;
  /** The one that is served; null without TLS. */
  readonly certificate: { readonly names: readonly string[]; readonly notAfterSeconds: number } | null;
  /** Null while the configuration is that of the start. */
  readonly lastReload: LastReload | null;
  readonly memory: { readonly rss: number; readonly heapUsed: number };
}

/** How /health answers: as those ask who were set up for another server. */
export type HealthForm = 'status' | 'text' | 'checks';

/**
 * The answer of /health. As `status` and `text` it is 200 as long as the process answers, and breakers are named while
 * they are not closed; as `checks` it is 503 while an upstream cannot be called or the server drains.
 */
export function describeHealth(
  form: HealthForm,
  input: Readiness & Pick<StatusInput, 'startedAtMs' | 'nowMs'>,
): HealthAnswer {
  const { backends } = input;
  if (form === 'text') return { status: 200, body: 'OK', type: 'text/plain; charset=utf-8' };
  if (form === 'checks') return describeChecks(input);
  const breakers = backends.flatMap((backend) => backend.breakers?.() ?? []).filter(({ state }) => state !== 'closed');
  const named = Object.fromEntries(breakers.map(({ name, state }) => [name, state]));
  return { status: 200, body: JSON.stringify({ status: 'ok', ...(breakers.length === 0 ? {} : { breakers: named }) }) };
}

/** Names of upstreams and how they are, without reasons: everyone may ask. */
function describeChecks({
  backends,
  draining,
  auditBlocked,
  startedAtMs,
  nowMs,
}: Readiness & Pick<StatusInput, 'startedAtMs' | 'nowMs'>): HealthAnswer {
  const { rss, heapUsed, heapTotal } = process.memoryUsage();
  const checks = {
    server: draining ? 'draining' : auditBlocked ? 'audit-blocked' : 'ok',
    ...Object.fromEntries(backends.map(({ name, state: { state } }) => [name, state === 'up' ? 'ok' : state])),
  };
  const healthy = Object.values(checks).every((check) => check === 'ok');
  return {
    status: healthy ? 200 : 503,
    body: JSON.stringify({
      status: healthy ? 'ok' : 'error',
      timestamp: new Date(nowMs).toISOString(),
      uptime: Math.max(0, nowMs - startedAtMs) / 1_000,
      memory: { rss, heapUsed, heapTotal },
      checks,
    }),
  };
}

/** The answer of /status, for callers with a key or on loopback. Always 200: it reports, it does not judge. */
export function describeStatus(input: StatusInput): HealthAnswer {
  const { backends, memory } = input;
  return {
    status: 200,
    body: JSON.stringify({
      status: readinessOf(input),
      version: input.version,
      startedAt: new Date(input.startedAtMs).toISOString(),
      uptimeSeconds: Math.max(0, Math.round((input.nowMs - input.startedAtMs) / 1_000)),
      memory: { rssBytes: memory.rss, heapUsedBytes: memory.heapUsed },
      sessions: input.sessions,
      streams: input.streams,
      upstreams: backends.map((backend) => ({
        ...describeBackend(backend, true),
        since: new Date(backend.state.since).toISOString(),
        restarts: backend.restarts,
        inFlight: backend.inFlight,
        ...(backend.serverInfo === null ? {} : { serverInfo: backend.serverInfo }),
      })),
      totals: input.totals,
      durations: input.durations,
      certificate: describeServed(input.certificate, input.nowMs),
      lastReload: describeReload(input.lastReload),
    }),
  };
}

function describeServed(certificate: StatusInput['certificate'], nowMs: number): Record<string, unknown> | null {
  if (certificate === null) return null;
  const endsMs = certificate.notAfterSeconds * 1_000;
  return {
    names: certificate.names,
    notAfter: new Date(endsMs).toISOString(),
    daysLeft: Math.floor((endsMs - nowMs) / 86_400_000),
  };
}

function describeReload(last: LastReload | null): Record<string, unknown> | null {
  if (last === null) return null;
  const { atMs, result, problem } = last;
  return {
    at: new Date(atMs).toISOString(),
    result,
    ...(problem === null ? {} : { problem: redactText(problem) }),
  };
}

function readinessOf({
  backends,
  draining,
  auditBlocked,
}: Readiness): 'ready' | 'starting' | 'unavailable' | 'draining' | 'audit-blocked' {
  if (draining) return 'draining';
  if (auditBlocked) return 'audit-blocked';
  if (backends.some(canBeCalled)) return 'ready';
  return backends.some(({ state }) => state.state === 'starting') ? 'starting' : 'unavailable';
}

/** Its own breaker holds nobody back. Half-open counts: without calls it would never close. */
function canBeCalled(backend: Backend): boolean {
  if (backend.state.state !== 'up') return false;
  return backend.breakers?.().some((breaker) => breaker.name === backend.name && isOpenForAll(breaker)) !== true;
}

function isOpenForAll({ state, onlyOneCaller }: BreakerView): boolean {
  return state === 'open' && !onlyOneCaller;
}

function describeBackend(backend: Backend, detail: boolean): Record<string, unknown> {
  const { name, state } = backend;
  const breakers = (backend.breakers?.() ?? []).filter((breaker) => breaker.state !== 'closed');
  const held =
    breakers.length === 0
      ? {}
      : {
          breakers: Object.fromEntries(
            breakers.map((breaker) => [breaker.name, detail ? describeBreaker(breaker) : breaker.state]),
          ),
        };
  if (!detail || state.state === 'up' || state.state === 'starting') return { name, state: state.state, ...held };
  return {
    name,
    state: state.state,
    ...held,
    reason: redactText(state.reason),
    lastWords: state.lastWords.map(redactText),
    // Infinity: given up for good, which JSON has no number for.
    retryAt: Number.isFinite(state.retryAt) ? new Date(state.retryAt).toISOString() : null,
  };
}

function describeBreaker({ state, retryAt, onlyOneCaller }: BreakerView): Record<string, unknown> {
  return { state, retryAt: new Date(retryAt).toISOString(), ...(onlyOneCaller ? { onlyOneCaller } : {}) };
}
