/** A panel of a dashboard, before Grafana's own words for it. */
export interface Panel {
  readonly title: string;
  readonly kind: 'timeseries' | 'stat' | 'gauge' | 'heatmap';
  /** Expressions with the words of their legend. */
  readonly queries: readonly (readonly [expression: string, legend: string])[];
  readonly unit: string;
  /** Of 24 columns. */
  readonly width: 6 | 8 | 12 | 24;
  readonly stacked?: boolean;
  /** From here on it is shown in red. */
  readonly alarm?: number;
  readonly why?: string;
}

export interface Dashboard {
  readonly slug: string;
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** The dashboards of a deployment: every metric of the server is on one of them. */
export function dashboardsOf(job: string): readonly Dashboard[] {
  const of = (metric: string, more = ''): string => `${metric}{job="${job}",instance=~"$instance"${more}}`;
  const rate = (metric: string, more = ''): string => `rate(${of(metric, more)}[$__rate_interval])`;
  const by = (label: string, inner: string): string => `sum by (${label}) (${inner})`;
  const quantile = (share: string, metric: string, label: string): string =>
    `histogram_quantile(${share}, ${by(`le, ${label}`, rate(`${metric}_bucket`))})`;
  const line = (title: string, queries: Panel['queries'], unit = 'short', more: Partial<Panel> = {}): Panel => ({
    title,
    kind: 'timeseries',
    queries,
    unit,
    width: 12,
    ...more,
  });
  const stat = (title: string, expression: string, unit = 'short', more: Partial<Panel> = {}): Panel => ({
    title,
    kind: 'stat',
    queries: [[expression, '{{instance}}']],
    unit,
    width: 6,
    ...more,
  });
  const requests = by('instance', rate('mcp_requests_total'));
  const failures = by('instance', rate('mcp_requests_total', ',status="error"'));
  return [
    {
      slug: 'overview',
      title: 'MCP overview',
      panels: [
        stat('Servers that answer', `sum(${of('up')})`),
        stat('Requests a second', `sum(${rate('mcp_requests_total')})`, 'reqps'),
        {
          ...stat('Requests that fail', `${failures} / ${requests}`, 'percentunit', { alarm: 0.01 }),
          kind: 'gauge',
        },
        stat('Running for', `time() - ${of('process_start_time_seconds')}`, 's'),
        line('Requests by method', [[by('method', rate('mcp_requests_total')), '{{method}}']], 'reqps', {
          stacked: true,
        }),
        line('Requests by outcome', [[by('status', rate('mcp_requests_total')), '{{status}}']], 'reqps', {
          stacked: true,
        }),
        line(
          'How long requests take',
          [
            [quantile('0.5', 'mcp_request_duration_seconds', 'instance'), 'p50 {{instance}}'],
            [quantile('0.95', 'mcp_request_duration_seconds', 'instance'), 'p95 {{instance}}'],
            [quantile('0.99', 'mcp_request_duration_seconds', 'instance'), 'p99 {{instance}}'],
          ],
          's',
          { alarm: 0.5 },
        ),
        line('Failures of the server and its upstreams', [[by('kind', rate('mcp_errors_total')), '{{kind}}']], 'ops'),
        line(
          'Processor',
          [
            [rate('process_cpu_user_seconds_total'), 'user {{instance}}'],
            [rate('process_cpu_system_seconds_total'), 'system {{instance}}'],
            [rate('process_cpu_seconds_total'), 'both {{instance}}'],
          ],
          'none',
          { why: 'Cores in use; 1 is one core.' },
        ),
        line(
          'Memory of the server',
          [
            [of('process_resident_memory_bytes'), 'resident {{instance}}'],
            [of('nodejs_heap_size_used_bytes'), 'heap in use {{instance}}'],
            [of('nodejs_heap_size_total_bytes'), 'heap reserved {{instance}}'],
            [of('nodejs_external_memory_bytes'), 'buffers {{instance}}'],
          ],
          'bytes',
        ),
        line(
          'Delay of the event loop',
          [
            [of('nodejs_eventloop_lag_mean_seconds'), 'mean {{instance}}'],
            [of('nodejs_eventloop_lag_p50_seconds'), 'p50 {{instance}}'],
            [of('nodejs_eventloop_lag_p99_seconds'), 'p99 {{instance}}'],
            [of('nodejs_eventloop_lag_max_seconds'), 'longest {{instance}}'],
          ],
          's',
          { alarm: 0.1 },
        ),
        line('Open files and connections', [[of('process_open_fds'), '{{instance}}']]),
        line('Workers that answer', [[of('mcp_worker_up'), 'worker {{worker}} of {{instance}}']]),
        line('Workers started again', [
          [`increase(${of('mcp_worker_restarts_total')}[$__rate_interval])`, 'worker {{worker}}'],
        ]),
        line('Version of Node.js', [[by('version', of('nodejs_version_info')), '{{version}}']], 'short', { width: 24 }),
      ],
    },
    {
      slug: 'tools',
      title: 'MCP tools',
      panels: [
        line('Calls by tool', [[by('tool', rate('mcp_tool_executions_total')), '{{tool}}']], 'ops', {
          stacked: true,
          width: 24,
        }),
        line(
          'Calls that fail, by tool',
          [[by('tool', rate('mcp_tool_executions_total', ',status!="ok"')), '{{tool}}']],
          'ops',
        ),
        line(
          'p95 of the backend, by tool',
          [[quantile('0.95', 'mcp_tool_execution_time_seconds', 'tool'), '{{tool}}']],
          's',
        ),
        {
          title: 'How long tool calls take',
          kind: 'heatmap',
          queries: [
            [
              by(
                'le',
                `increase(${of('mcp_request_duration_seconds_bucket', ',method="tools/call"')}[$__rate_interval])`,
              ),
              '{{le}}',
            ],
          ],
          unit: 's',
          width: 24,
        },
        line(
          'Answers that were kept',
          [
            [by('upstream', rate('mcp_cache_hits_total')), 'kept {{upstream}}'],
            [by('upstream', rate('mcp_cache_misses_total')), 'asked for {{upstream}}'],
          ],
          'ops',
        ),
        line(
          'Answers shared with replicas',
          [
            [by('result', rate('mcp_cache_shared_lookups_total')), 'look: {{result}}'],
            [by('result', rate('mcp_cache_shared_writes_total')), 'write: {{result}}'],
          ],
          'ops',
        ),
      ],
    },
    {
      slug: 'sessions',
      title: 'MCP sessions and streams',
      panels: [
        stat('Sessions', `sum(${of('mcp_active_sessions')})`),
        stat('Event streams', `sum(${of('mcp_sse_connections_active')})`),
        stat('Events a minute', `sum(${rate('mcp_sse_events_sent_total')}) * 60`),
        stat('Bytes that wait for readers', `sum(${of('mcp_unread_bytes')})`, 'bytes'),
        line('Sessions', [[of('mcp_active_sessions'), '{{instance}}']]),
        line('Event streams', [[of('mcp_sse_connections_active'), '{{instance}}']]),
        line('Events', [[rate('mcp_sse_events_sent_total'), '{{instance}}']], 'ops'),
        line('Bytes that wait for readers', [[of('mcp_unread_bytes'), '{{instance}}']], 'bytes'),
        line(
          'Connections cut for what they left unread',
          [[by('bound', rate('mcp_slow_readers_cut_total')), '{{bound}}']],
          'ops',
        ),
        line(
          'Sessions taken over from another server',
          [[rate('mcp_sessions_taken_over_total'), '{{instance}}']],
          'ops',
        ),
      ],
    },
    {
      slug: 'upstreams',
      title: 'MCP upstreams',
      panels: [
        line('Upstreams that can be called', [[of('mcp_upstream_up'), '{{upstream}} at {{instance}}']]),
        line('Circuit breakers', [[of('mcp_circuit_breaker_state'), '{{upstream}} at {{instance}}']], 'short', {
          why: '0 closed: calls go through. 1 open: given up for now. 2 half-open: a few calls may try.',
          alarm: 1,
        }),
        line('Upstreams started again', [
          [`increase(${of('mcp_upstream_restarts_total')}[$__rate_interval])`, '{{upstream}}'],
        ]),
        line('Failures by kind', [[by('kind', rate('mcp_errors_total')), '{{kind}}']], 'ops'),
        line('Redis can be asked', [[of('mcp_redis_up'), '{{instance}}']]),
        line('Failures of Redis', [[rate('mcp_redis_errors_total'), '{{instance}}']], 'ops'),
      ],
    },
    {
      slug: 'security',
      title: 'MCP TLS and security',
      panels: [
        stat('Certificate ends in', `${of('mcp_tls_certificate_not_after_seconds')} - time()`, 's'),
        stat('Oldest key', `max(${of('mcp_key_age_seconds')})`, 's', { alarm: 90 * 86_400 }),
        stat('Audit lines lost', `sum(increase(${of('mcp_audit_dropped_total')}[$__range]))`, 'short', { alarm: 1 }),
        stat('Last backup', `time() - ${of('mcp_backup_last_success_timestamp_seconds')}`, 's', { alarm: 8 * 86_400 }),
        stat('Last change of configuration', `(time() - ${of('mcp_config_last_reload_timestamp_seconds')})`, 's'),
        line('Requests refused for their key', [[by('reason', rate('mcp_auth_failures_total')), '{{reason}}']], 'ops'),
        line('Requests refused by a limit', [[by('scope', rate('mcp_rate_limited_total')), '{{scope}}']], 'ops'),
        line('Age of keys', [[of('mcp_key_age_seconds'), '{{label}}']], 's'),
        line('Changes of configuration', [
          [by('result', `increase(${of('mcp_config_reloads_total')}[$__rate_interval])`), '{{result}}'],
        ]),
        line('Audit lines lost', [[rate('mcp_audit_dropped_total'), '{{instance}}']], 'ops', { width: 24 }),
      ],
    },
  ];
}
