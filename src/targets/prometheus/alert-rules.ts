import type { Deployment } from '../../deployment/schema.ts';
import { backupEverySeconds } from '../backup-timer.ts';

/** One alert, or one recorded series. Expressions are about the job of this deployment alone. */
export interface AlertRule {
  readonly name: string;
  /** Why this threshold. */
  readonly why: string;
  readonly expression: string;
  /** How long it has to hold; a moment is no alert. */
  readonly lasts: string;
  readonly severity: 'critical' | 'warning' | 'info';
  /** One sentence for the person who is woken up; Prometheus fills `{{ … }}`. */
  readonly summary: string;
}

export interface RecordingRule {
  readonly name: string;
  readonly expression: string;
}

/** What alerts and dashboards ask for again and again, computed once. */
export function recordingRules(job: string): readonly RecordingRule[] {
  const of = (metric: string, more = ''): string => `${metric}{job="${job}"${more}}`;
  const ratio = (range: string): string =>
    `sum by (job, instance) (rate(${of('mcp_requests_total', ',status="error"')}[${range}])) / ` +
    `sum by (job, instance) (rate(${of('mcp_requests_total')}[${range}]))`;
  const quantile = (share: string): string =>
    `histogram_quantile(${share}, sum by (job, instance, le) ` +
    `(rate(${of('mcp_request_duration_seconds_bucket', ',method="tools/call"')}[5m])))`;
  return [
    {
      name: 'instance:mcp_requests:rate5m',
      expression: `sum by (job, instance) (rate(${of('mcp_requests_total')}[5m]))`,
    },
    { name: 'instance:mcp_request_errors:ratio5m', expression: ratio('5m') },
    { name: 'instance:mcp_request_errors:ratio1h', expression: ratio('1h') },
    { name: 'instance:mcp_call_duration_seconds:p95', expression: quantile('0.95') },
    { name: 'instance:mcp_call_duration_seconds:p99', expression: quantile('0.99') },
  ];
}

/** Thresholds are those of the deployment where it sets them. */
export function alertRules(
  job: string,
  { server, service, backup }: Pick<Deployment, 'server' | 'service' | 'backup'>,
): readonly AlertRule[] {
  const of = (metric: string, more = ''): string => `${metric}{job="${job}"${more}}`;
  const sessions = server.sessions.max;
  const cores = server.workers === 'auto' ? 1 : server.workers;
  const memory = bytesOf(service.memoryMax) ?? defaultMemoryBytes;
  const where = '{{ $labels.instance }}';
  const backupEvery = backupEverySeconds(backup);
  const backupOld = backupEvery === null ? 8 * 86_400 : 2 * backupEvery + 3_600;
  return [
    rule(
      'McpServerDown',
      'critical',
      '2m',
      'Two scrapes may be lost on their way; eight are not.',
      `${of('up')} == 0`,
      `${where} does not answer scrapes.`,
    ),
    rule(
      'McpCertificateExpiresSoon',
      'warning',
      '1h',
      'Renewal begins a third of its life before the end: by now it has failed for days.',
      `${of('mcp_tls_certificate_not_after_seconds')} - time() < 14 * 86400`,
      `The certificate of ${where} ends in {{ $value | humanizeDuration }}: run mcp-deploy cert renew.`,
    ),
    rule(
      'McpCertificateExpiresNow',
      'critical',
      '10m',
      'The last working days to do it by hand.',
      `${of('mcp_tls_certificate_not_after_seconds')} - time() < 3 * 86400`,
      `The certificate of ${where} ends in {{ $value | humanizeDuration }}; clients will refuse it.`,
    ),
    rule(
      'McpBreakerOpen',
      'warning',
      '1m',
      'Open means that calls are refused without a try.',
      `${of('mcp_circuit_breaker_state')} == 1`,
      'Calls to {{ $labels.upstream }} are refused: it failed too often.',
    ),
    rule(
      'McpUpstreamDown',
      'critical',
      '2m',
      'Longer than a start takes.',
      `${of('mcp_upstream_up')} == 0`,
      'The upstream {{ $labels.upstream }} cannot be called.',
    ),
    rule(
      'McpUpstreamRestarts',
      'warning',
      '0m',
      'An upstream that falls again and again loses the state of its clients.',
      `increase(${of('mcp_upstream_restarts_total')}[15m]) > 3`,
      'The upstream {{ $labels.upstream }} was started again {{ $value | humanize }} times in 15 minutes.',
    ),
    rule(
      'McpWorkerDown',
      'critical',
      '1m',
      'A worker is back within seconds, or does not come back.',
      `${of('mcp_worker_up')} == 0`,
      'Worker {{ $labels.worker }} of ' + where + ' does not answer.',
    ),
    rule(
      'McpWorkerRestarts',
      'warning',
      '0m',
      'Each one costs the sessions and the calls of that worker.',
      `increase(${of('mcp_worker_restarts_total')}[15m]) > 3`,
      'Worker {{ $labels.worker }} was started again {{ $value | humanize }} times.',
    ),
    rule(
      'McpServerRestarts',
      'warning',
      '0m',
      'A deployment is one; more within a quarter of an hour is a fall in a circle.',
      `changes(${of('process_start_time_seconds')}[15m]) > 2`,
      `${where} has started {{ $value | humanize }} times in 15 minutes.`,
    ),
    rule(
      'McpErrorsMany',
      'warning',
      '2m',
      'Ten a minute are more than clients cause by accident.',
      `sum by (job, instance) (increase(${of('mcp_errors_total')}[1m])) > 10`,
      `{{ $value | humanize }} failures a minute at ${where}.`,
    ),
    rule(
      'McpErrorRatioHigh',
      'warning',
      '5m',
      'Below one request in ten seconds a ratio says nothing.',
      'instance:mcp_request_errors:ratio5m' +
        `{job="${job}"} > 0.01 and instance:mcp_requests:rate5m{job="${job}"} > 0.1`,
      `{{ $value | humanizePercentage }} of the requests at ${where} fail.`,
    ),
    rule(
      'McpErrorBudgetBurns',
      'critical',
      '2m',
      '14.4 times the errors that 99.9 % allow: two days of the budget of a month in an hour.',
      `instance:mcp_request_errors:ratio1h{job="${job}"} > 0.0144 and instance:mcp_request_errors:ratio5m{job="${job}"} > 0.0144`,
      `${where} uses its errors of a month up within two days.`,
    ),
    rule(
      'McpLatencyHigh',
      'warning',
      '10m',
      'The usual aim: 95 of 100 calls within half a second.',
      `instance:mcp_call_duration_seconds:p95{job="${job}"} > 0.5`,
      `p95 of tool calls at ${where} is {{ $value | humanizeDuration }}.`,
    ),
    rule(
      'McpLatencyVeryHigh',
      'critical',
      '5m',
      'People wait five seconds and go.',
      `instance:mcp_call_duration_seconds:p99{job="${job}"} > 5`,
      `p99 of tool calls at ${where} is {{ $value | humanizeDuration }}.`,
    ),
    rule(
      'McpSessionsNearCap',
      'warning',
      '1m',
      `Nine tenths of server.sessions.max (${sessions}): clients beyond it get 503.`,
      `${of('mcp_active_sessions')} > ${Math.floor(sessions * 0.9)}`,
      `{{ $value }} of ${sessions} sessions are open at ${where}.`,
    ),
    rule(
      'McpStreamsMany',
      'info',
      '5m',
      'Each stream is an open connection through every proxy on the way.',
      `${of('mcp_sse_connections_active')} > 100`,
      `{{ $value }} event streams are open at ${where}.`,
    ),
    rule(
      'McpStreamsSilent',
      'info',
      '15m',
      'Streams are open and nothing is said on them: buffered away, or nobody has anything to say.',
      `rate(${of('mcp_sse_events_sent_total')}[10m]) * 60 < 1 and ${of('mcp_sse_connections_active')} > 10`,
      `Streams at ${where} carry less than one event a minute.`,
    ),
    rule(
      'McpSlowReaders',
      'warning',
      '0m',
      'Clients that do not read, or a proxy that holds back.',
      `sum by (job, instance) (increase(${of('mcp_slow_readers_cut_total')}[10m])) > 10`,
      `{{ $value | humanize }} connections were cut at ${where}.`,
    ),
    rule(
      'McpUnreadBytes',
      'warning',
      '5m',
      'Memory that waits for readers, half of what clients may leave unread by default.',
      `${of('mcp_unread_bytes')} > 128 * 1024 * 1024`,
      `{{ $value | humanize1024 }}B wait for their readers at ${where}.`,
    ),
    rule(
      'McpEventLoopLag',
      'warning',
      '5m',
      'A tenth of a second is added to every call.',
      `${of('nodejs_eventloop_lag_p99_seconds')} > 0.1`,
      `The event loop of ${where} is {{ $value | humanizeDuration }} late.`,
    ),
    rule(
      'McpMemoryHigh',
      'warning',
      '2m',
      'Nine tenths of what the service may take; its upstreams come on top.',
      `${of('process_resident_memory_bytes')} > ${Math.floor(memory * 0.9)}`,
      `${where} uses {{ $value | humanize1024 }}B of memory.`,
    ),
    rule(
      'McpCpuHigh',
      'warning',
      '5m',
      'Four fifths of what its processes can use.',
      `rate(${of('process_cpu_seconds_total')}[5m]) > ${0.8 * cores}`,
      `${where} uses {{ $value | humanize }} cores.`,
    ),
    rule(
      'McpFilesNearLimit',
      'warning',
      '5m',
      'Nine tenths of service.openFiles: beyond it nobody can connect.',
      `${of('process_open_fds')} > ${Math.floor(service.openFiles * 0.9)}`,
      `${where} has {{ $value }} files and connections open.`,
    ),
    rule(
      'McpAuditLinesLost',
      'critical',
      '0m',
      'What is not written cannot be proven later.',
      `increase(${of('mcp_audit_dropped_total')}[10m]) > 0`,
      `${where} could not write {{ $value | humanize }} audit lines.`,
    ),
    rule(
      'McpKeysGuessed',
      'warning',
      '0m',
      'A client with an old key repeats it; fifty in five minutes is somebody who tries.',
      `sum by (job, instance) (increase(${of('mcp_auth_failures_total', ',reason!="missing"')}[5m])) > 50`,
      `{{ $value | humanize }} wrong keys in five minutes at ${where}.`,
    ),
    rule(
      'McpKeyOld',
      'info',
      '1h',
      'Ninety days are the usual time to rotate.',
      `${of('mcp_key_age_seconds')} > 90 * 86400`,
      'The key {{ $labels.label }} is {{ $value | humanizeDuration }} old: mcp-deploy keys rotate {{ $labels.label }}',
    ),
    rule(
      'McpBackupOld',
      'warning',
      '0m',
      backupEvery === null
        ? 'A backup was made once, and none for more than a week.'
        : `Two backups that were due (backup.every: ${backup.every ?? ''}) were not made.`,
      `time() - ${of('mcp_backup_last_success_timestamp_seconds')} > ${backupOld}`,
      `The last backup of ${where} is {{ $value | humanizeDuration }} old: mcp-deploy backup create says why.`,
    ),
    ...(backupEvery === null
      ? []
      : [
          rule(
            'McpBackupMissing',
            'warning',
            `${Math.round(backupEvery / 3_600)}h`,
            'A timer is wanted, and none of its backups was ever noted.',
            `${of('up')} == 1 unless on (job, instance) ${of('mcp_backup_last_success_timestamp_seconds')}`,
            `No backup of ${where} was ever made: mcp-deploy backup create --install-timer`,
          ),
        ]),
    rule(
      'McpRateLimited',
      'info',
      '10m',
      'One in twenty: a limit is too low, or a client has no patience.',
      `sum by (job, instance) (rate(${of('mcp_rate_limited_total')}[5m])) > 0.05 * instance:mcp_requests:rate5m{job="${job}"} > 0.1`,
      `{{ $value | humanize }} requests a second are refused by limits at ${where}.`,
    ),
    rule(
      'McpConfigRefused',
      'warning',
      '0m',
      'The server goes on with the old one, and nobody may know.',
      `increase(${of('mcp_config_reloads_total', ',result="refused"')}[10m]) > 0`,
      `${where} refused a changed configuration; /status says why.`,
    ),
    rule(
      'McpRedisDown',
      'warning',
      '1m',
      'Replicas do not count limits together while it is away.',
      `${of('mcp_redis_up')} == 0`,
      `${where} does not reach Redis.`,
    ),
    rule(
      'McpScaleUp',
      'info',
      '15m',
      'A bigger machine or more workers help: the processor is what is short.',
      `rate(${of('process_cpu_seconds_total')}[5m]) > ${0.7 * cores}`,
      `${where} has used {{ $value | humanize }} cores for a quarter of an hour.`,
    ),
    rule(
      'McpScaleOut',
      'info',
      '5m',
      'Four fifths of the sessions, or a thousand requests a second: time for another server.',
      `${of('mcp_active_sessions')} > ${Math.floor(sessions * 0.8)} or instance:mcp_requests:rate5m{job="${job}"} > 1000`,
      `${where} is about to be too small for its clients.`,
    ),
  ];
}

/** Where service.memoryMax is a share of a machine that nobody here knows. */
const defaultMemoryBytes = 2 * 1024 ** 3;

/** systemd's sizes; null for a share and for infinity. */
function bytesOf(text: string): number | null {
  const [, digits, unit = ''] = /^(\d+)([KMGT]?)$/.exec(text) ?? [];
  return digits === undefined ? null : Number(digits) * 1024 ** ' KMGT'.indexOf(unit === '' ? ' ' : unit);
}

function rule(
  name: string,
  severity: AlertRule['severity'],
  lasts: string,
  why: string,
  expression: string,
  summary: string,
): AlertRule {
  return { name, severity, lasts, why, expression, summary };
}
