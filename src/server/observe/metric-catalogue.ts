type MetricType = 'counter' | 'gauge' | 'histogram';

export interface MetricDescription {
  readonly name: string;
  readonly type: MetricType;
  readonly labels: readonly string[];
  readonly help: string;
}

/** Every metric that /metrics can show, in the order in which it does. docs/metrics.md is held to this list by a test. */
export const metricCatalogue = [
  describe('mcp_requests_total', 'counter', ['method', 'tool', 'status'], 'MCP requests answered.'),
  describe(
    'mcp_request_duration_seconds',
    'histogram',
    ['method', 'status'],
    'Time from a whole request to its answer.',
  ),
  describe('mcp_tool_executions_total', 'counter', ['tool', 'status'], 'Tool calls that reached a backend.'),
  describe('mcp_tool_execution_time_seconds', 'histogram', ['tool'], 'Time that a backend took for a tool call.'),
  describe('mcp_sse_connections_active', 'gauge', [], 'Event streams open now.'),
  describe('mcp_sse_events_sent_total', 'counter', [], 'Events written to event streams.'),
  describe('mcp_unread_bytes', 'gauge', [], 'Bytes that wait for readers.'),
  describe('mcp_slow_readers_cut_total', 'counter', ['bound'], 'Connections cut for what they left unread.'),
  describe('mcp_active_sessions', 'gauge', [], 'Legacy sessions open now.'),
  describe('mcp_sessions_taken_over_total', 'counter', [], 'Legacy sessions of other servers that went on here.'),
  describe('mcp_auth_failures_total', 'counter', ['reason'], 'Requests refused for their key.'),
  describe('mcp_rate_limited_total', 'counter', ['scope'], 'Requests refused by a limit.'),
  describe('mcp_circuit_breaker_state', 'gauge', ['upstream'], 'Breaker: 0 closed, 1 open, 2 half-open.'),
  describe('mcp_upstream_up', 'gauge', ['upstream'], '1 while the upstream can be called, else 0.'),
  describe('mcp_upstream_restarts_total', 'counter', ['upstream'], 'Times that the upstream was started again.'),
  describe('mcp_cache_hits_total', 'counter', ['upstream'], 'Calls answered without the upstream.'),
  describe('mcp_cache_misses_total', 'counter', ['upstream'], 'Calls whose answer was not kept.'),
  describe('mcp_cache_shared_lookups_total', 'counter', ['result'], 'Looks for an answer that a replica has kept.'),
  describe('mcp_cache_shared_writes_total', 'counter', ['result'], 'Answers that were to be kept for replicas.'),
  describe('mcp_errors_total', 'counter', ['kind'], 'Failures of the server and its upstreams.'),
  describe('mcp_tls_certificate_not_after_seconds', 'gauge', [], 'End of the served certificate, Unix time.'),
  describe('mcp_key_age_seconds', 'gauge', ['label'], 'Age of the newest key of a label, of the 100 oldest.'),
  describe('mcp_backup_last_success_timestamp_seconds', 'gauge', [], 'Last backup of the deployment, Unix time.'),
  describe('mcp_redis_up', 'gauge', [], '1 while Redis can be asked, else 0; only where Redis is configured.'),
  describe('mcp_redis_errors_total', 'counter', [], 'Failed commands to Redis and lost or failed connections.'),
  describe('mcp_audit_dropped_total', 'counter', [], 'Audit lines that could not be written.'),
  describe('mcp_worker_up', 'gauge', ['worker'], '1 while the worker process answers, else 0.'),
  describe('mcp_worker_restarts_total', 'counter', ['worker'], 'Times that the worker was started again.'),
  describe('mcp_config_reloads_total', 'counter', ['result'], 'Times that the configuration was read again.'),
  describe('mcp_config_last_reload_timestamp_seconds', 'gauge', [], 'Last time that it was taken over, Unix time.'),
  describe('process_cpu_user_seconds_total', 'counter', [], 'CPU time in user mode.'),
  describe('process_cpu_system_seconds_total', 'counter', [], 'CPU time in system mode.'),
  describe('process_cpu_seconds_total', 'counter', [], 'CPU time in both modes.'),
  describe('process_start_time_seconds', 'gauge', [], 'Start of the process, Unix time.'),
  describe('process_resident_memory_bytes', 'gauge', [], 'Resident memory.'),
  describe('process_open_fds', 'gauge', [], 'Open file descriptors (Linux).'),
  describe('nodejs_heap_size_used_bytes', 'gauge', [], 'JavaScript heap in use.'),
  describe('nodejs_heap_size_total_bytes', 'gauge', [], 'JavaScript heap reserved.'),
  describe('nodejs_external_memory_bytes', 'gauge', [], 'Memory of buffers outside of the heap.'),
  describe('nodejs_eventloop_lag_mean_seconds', 'gauge', [], 'Mean delay of the event loop since the last scrape.'),
  describe('nodejs_eventloop_lag_p50_seconds', 'gauge', [], 'Median delay of the event loop since the last scrape.'),
  describe('nodejs_eventloop_lag_p99_seconds', 'gauge', [], '99th percentile of that delay.'),
  describe('nodejs_eventloop_lag_max_seconds', 'gauge', [], 'Longest delay of the event loop since the last scrape.'),
  describe('nodejs_version_info', 'gauge', ['version'], 'Version of Node.js; always 1.'),
] as const;

export type MetricName = (typeof metricCatalogue)[number]['name'];

function describe<Name extends string>(
  name: Name,
  type: MetricType,
  labels: readonly string[],
  help: string,
): MetricDescription & { readonly name: Name } {
  return { name, type, labels, help };
}
