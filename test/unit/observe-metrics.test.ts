import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test } from 'vitest';
import { metricCatalogue } from '../../src/server/observe/metric-catalogue.ts';
import { createMetrics, type Metrics, type MetricSources } from '../../src/server/observe/metrics.ts';

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const opened: Metrics[] = [];
afterEach(() => {
  for (const metrics of opened.splice(0)) metrics.close();
});

function open(sources: Partial<MetricSources> = {}): Metrics {
  const metrics = createMetrics({
    sessions: () => 0,
    upstreams: () => [],
    certificateNotAfterSeconds: () => null,
    ...sources,
  });
  opened.push(metrics);
  return metrics;
}

/**
 * A strict reader of the text format 0.0.4: HELP and TYPE before the samples of a family, samples of a family
 * together, no series twice, only defined escapes, histograms cumulative and complete.
 */
function parseExposition(text: string): Map<string, Family> {
  expect(text.endsWith('\n')).toBe(true);
  const families = new Map<string, Family>();
  const series = new Set<string>();
  let current: { name: string; family: Family } | null = null;
  let help: { name: string; text: string } | null = null;
  for (const line of text.slice(0, -1).split('\n')) {
    const helpLine = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\]|\\\\|\\n)+)$/.exec(line);
    if (helpLine !== null) {
      help = { name: helpLine[1] ?? '', text: helpLine[2] ?? '' };
      continue;
    }
    const typeLine = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/.exec(line);
    if (typeLine !== null) {
      const name = typeLine[1] ?? '';
      expect(help?.name, line).toBe(name);
      expect(families.has(name), `${name} twice`).toBe(false);
      current = { name, family: { type: typeLine[2] ?? '', help: help?.text ?? '', samples: [] } };
      families.set(name, current.family);
      continue;
    }
    const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (sample === null || current === null) throw new Error(`not a line of the format: ${JSON.stringify(line)}`);
    const [, name = '', labelText, value = ''] = sample;
    const base = current.family.type === 'histogram' ? name.replace(/_(?:bucket|sum|count)$/, '') : name;
    expect(base, line).toBe(current.name);
    expect(value).toMatch(/^(?:-?\d+(?:\.\d+)?(?:e[+-]\d+)?|[+-]Inf|NaN)$/);
    const id = `${name}{${labelText ?? ''}}`;
    expect(series.has(id), `series twice: ${id}`).toBe(false);
    series.add(id);
    current.family.samples.push({
      name,
      labels: parseLabels(labelText ?? ''),
      value: Number(value.replace('Inf', 'Infinity')),
    });
  }
  for (const [name, family] of families) if (family.type === 'histogram') checkHistogram(name, family);
  return families;
}

function parseLabels(text: string): Record<string, string> {
  const labels: [string, string][] = [];
  let rest = text;
  while (rest !== '') {
    const match = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,(?=.)|$)/.exec(rest);
    if (match === null) throw new Error(`not labels: ${text}`);
    const [whole, name = '', value = ''] = match;
    expect(labels.some(([known]) => known === name)).toBe(false);
    labels.push([name, value.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character))]);
    rest = rest.slice(whole.length);
  }
  return Object.fromEntries(labels);
}

function checkHistogram(name: string, family: Family): void {
  const groups = new Map<string, { bounds: number[]; counts: number[]; sum?: number; count?: number }>();
  for (const sample of family.samples) {
    const { le, ...labels } = sample.labels;
    const id = JSON.stringify(labels);
    const group = groups.get(id) ?? { bounds: [], counts: [] };
    groups.set(id, group);
    if (sample.name === `${name}_bucket`) {
      group.bounds.push(le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le));
      group.counts.push(sample.value);
    } else if (sample.name === `${name}_sum`) group.sum = sample.value;
    else group.count = sample.value;
  }
  for (const group of groups.values()) {
    expect(group.bounds).toEqual([...group.bounds].sort((left, right) => left - right));
    expect(group.bounds.at(-1)).toBe(Number.POSITIVE_INFINITY);
    expect(group.counts).toEqual([...group.counts].sort((left, right) => left - right));
    expect(group.counts.at(-1)).toBe(group.count);
    expect(group.sum).toBeGreaterThanOrEqual(0);
  }
}

function valueOf(metrics: Metrics, name: string, labels: Record<string, string> = {}): number | undefined {
  const base = name.replace(/_(?:bucket|sum|count)$/, '');
  const families = parseExposition(metrics.render());
  const family = families.get(name) ?? families.get(base);
  return family?.samples.find(
    (sample) =>
      sample.name === name &&
      Object.keys(sample.labels).length === Object.keys(labels).length &&
      Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
  )?.value;
}

describe('counting', () => {
  test('requests by method, tool and status, with their durations', () => {
    const metrics = open();
    metrics.request('tools/call', 'echo', 200, 0.002);
    metrics.request('tools/call', 'echo', 200, 0.2);
    metrics.request('tools/call', 'echo', 500, 0.2);
    metrics.request('tools/list', null, 200, 0.001);
    metrics.request('tools/list', '', 200, 70);
    const series = (method: string, tool: string, status: string) =>
      valueOf(metrics, 'mcp_requests_total', { method, tool, status });
    expect(series('tools/call', 'echo', '200')).toBe(2);
    expect(series('tools/call', 'echo', '500')).toBe(1);
    expect(series('tools/list', '', '200')).toBe(2);
    const bucket = (method: string, le: string, status = '200') =>
      valueOf(metrics, 'mcp_request_duration_seconds_bucket', { method, status, le });
    expect(bucket('tools/call', '0.001')).toBe(0);
    expect(bucket('tools/call', '0.0025')).toBe(1);
    expect(bucket('tools/call', '+Inf')).toBe(2);
    expect(bucket('tools/call', '+Inf', '500')).toBe(1);
    expect(bucket('tools/list', '0.001')).toBe(1);
    expect(bucket('tools/list', '60')).toBe(1);
    expect(bucket('tools/list', '+Inf')).toBe(2);
    expect(valueOf(metrics, 'mcp_request_duration_seconds_sum', { method: 'tools/call', status: '200' })).toBeCloseTo(
      0.202,
      10,
    );
    expect(metrics.totals().requests).toBe(5);
  });

  test('tool executions and their times', () => {
    const metrics = open();
    metrics.toolExecution('echo', 'ok', 0.25);
    metrics.toolExecution('echo', 'ok', 0.1);
    metrics.toolExecution('echo', 'error', 2);
    expect(valueOf(metrics, 'mcp_tool_executions_total', { tool: 'echo', status: 'ok' })).toBe(2);
    expect(valueOf(metrics, 'mcp_tool_executions_total', { tool: 'echo', status: 'error' })).toBe(1);
    expect(valueOf(metrics, 'mcp_tool_execution_time_seconds_bucket', { tool: 'echo', le: '0.25' })).toBe(2);
    expect(valueOf(metrics, 'mcp_tool_execution_time_seconds_count', { tool: 'echo' })).toBe(3);
  });

  test('key failures and limits show as 0 before the first one, so that a rate exists', () => {
    const metrics = open();
    expect(valueOf(metrics, 'mcp_auth_failures_total', { reason: 'invalid' })).toBe(0);
    metrics.authFailure('invalid');
    metrics.authFailure('backed-off');
    metrics.rateLimited('key');
    metrics.error('upstream-exit');
    expect(valueOf(metrics, 'mcp_auth_failures_total', { reason: 'invalid' })).toBe(1);
    expect(valueOf(metrics, 'mcp_rate_limited_total', { scope: 'key' })).toBe(1);
    expect(valueOf(metrics, 'mcp_rate_limited_total', { scope: 'global' })).toBe(0);
    expect(valueOf(metrics, 'mcp_errors_total', { kind: 'upstream-exit' })).toBe(1);
    expect(metrics.totals()).toMatchObject({ authFailures: 2, rateLimited: 1, errors: 1 });
  });

  test('streams and events; a source for streams wins over counting', () => {
    const metrics = open();
    metrics.streamOpened();
    metrics.streamOpened();
    metrics.streamClosed();
    metrics.sseEvent();
    expect(valueOf(metrics, 'mcp_sse_connections_active')).toBe(1);
    expect(valueOf(metrics, 'mcp_sse_events_sent_total')).toBe(1);
    metrics.streamClosed();
    metrics.streamClosed();
    expect(valueOf(metrics, 'mcp_sse_connections_active')).toBe(0);
    expect(valueOf(open({ streams: () => 7 }), 'mcp_sse_connections_active')).toBe(7);
  });

  test('sessions, upstreams, certificate and audit come from their sources at the moment of the scrape', () => {
    let sessions = 3;
    const metrics = open({
      sessions: () => sessions,
      upstreams: () => [
        { name: 'files', up: true, restarts: 0, breaker: 'closed' },
        { name: 'web', up: false, restarts: 4, breaker: 'open' },
        { name: 'old', up: false, restarts: 1, breaker: 'half-open' },
        { name: 'plain', up: true, restarts: 0, cache: { hits: 3, misses: 1 } },
      ],
      certificateNotAfterSeconds: () => 1_800_000_000,
      redis: () => ({ isUp: true, errors: 1 }),
      auditDropped: () => 2,
    });
    expect(valueOf(metrics, 'mcp_active_sessions')).toBe(3);
    sessions = 5;
    expect(valueOf(metrics, 'mcp_active_sessions')).toBe(5);
    expect(valueOf(metrics, 'mcp_upstream_up', { upstream: 'files' })).toBe(1);
    expect(valueOf(metrics, 'mcp_upstream_up', { upstream: 'web' })).toBe(0);
    expect(valueOf(metrics, 'mcp_upstream_restarts_total', { upstream: 'web' })).toBe(4);
    expect(valueOf(metrics, 'mcp_circuit_breaker_state', { upstream: 'files' })).toBe(0);
    expect(valueOf(metrics, 'mcp_circuit_breaker_state', { upstream: 'web' })).toBe(1);
    expect(valueOf(metrics, 'mcp_circuit_breaker_state', { upstream: 'old' })).toBe(2);
    expect(valueOf(metrics, 'mcp_circuit_breaker_state', { upstream: 'plain' })).toBeUndefined();
    expect(valueOf(metrics, 'mcp_tls_certificate_not_after_seconds')).toBe(1_800_000_000);
    expect(valueOf(metrics, 'mcp_audit_dropped_total')).toBe(2);
    expect(valueOf(open(), 'mcp_tls_certificate_not_after_seconds')).toBeUndefined();
  });

  test('times that are none count as 0', () => {
    const metrics = open();
    for (const seconds of [Number.NaN, -1, 0]) metrics.toolExecution('echo', 'ok', seconds);
    expect(valueOf(metrics, 'mcp_tool_execution_time_seconds_bucket', { tool: 'echo', le: '0.001' })).toBe(3);
    expect(valueOf(metrics, 'mcp_tool_execution_time_seconds_sum', { tool: 'echo' })).toBe(0);
  });
});

describe('bounds', () => {
  test('the 201st tool and all after it are other, and no call is lost', () => {
    const metrics = open();
    for (let index = 0; index < 1_000; index += 1) {
      metrics.request('tools/call', `tool-${index}`, 200, 0.001);
      metrics.toolExecution(`tool-${index}`, 'ok', 0.001);
    }
    const families = parseExposition(metrics.render());
    const tools = families.get('mcp_tool_executions_total')?.samples.map((sample) => sample.labels['tool']) ?? [];
    expect(tools).toHaveLength(201);
    expect(valueOf(metrics, 'mcp_tool_executions_total', { tool: 'tool-199', status: 'ok' })).toBe(1);
    expect(valueOf(metrics, 'mcp_tool_executions_total', { tool: 'other', status: 'ok' })).toBe(800);
    expect(valueOf(metrics, 'mcp_requests_total', { method: 'tools/call', tool: 'other', status: '200' })).toBe(800);
    expect(metrics.totals()).toMatchObject({ requests: 1_000, toolExecutions: 1_000 });
  });

  test('names that are no tools take no place away from tools', () => {
    const metrics = open({ isKnownTool: (name) => name === 'echo' });
    for (let index = 0; index < 1_000; index += 1) metrics.request('tools/call', `guess-${index}`, 404, 0.001);
    metrics.request('tools/call', 'echo', 200, 0.001);
    expect(valueOf(metrics, 'mcp_requests_total', { method: 'tools/call', tool: 'other', status: '404' })).toBe(1_000);
    expect(valueOf(metrics, 'mcp_requests_total', { method: 'tools/call', tool: 'echo', status: '200' })).toBe(1);
  });

  test('unknown methods, endless words and endless statuses end in other', () => {
    const metrics = open();
    for (let index = 0; index < 1_000; index += 1) {
      metrics.request(`method-${index}`, null, 200, 0.001);
      metrics.request('ping', null, `status-${index}`, 0.001);
      metrics.authFailure(`reason-${index}`);
      metrics.error(`kind-${index}`);
    }
    const families = parseExposition(metrics.render());
    expect(valueOf(metrics, 'mcp_requests_total', { method: 'other', tool: '', status: '200' })).toBe(1_000);
    for (const name of ['mcp_requests_total', 'mcp_auth_failures_total', 'mcp_errors_total']) {
      expect(families.get(name)?.samples.length).toBeLessThan(60);
    }
    const counts = families.get('mcp_request_duration_seconds')?.samples.filter(({ name }) => name.endsWith('_count'));
    expect(counts?.length).toBeLessThan(60);
    expect(counts?.reduce((sum, { value }) => sum + value, 0)).toBe(2_000);
    expect(metrics.totals()).toMatchObject({ requests: 2_000, authFailures: 1_000, errors: 1_000 });
  });

  test('hostile label values are escaped and come back as they were', () => {
    const hostile = [
      'a"b',
      'a\\b',
      'a\nb',
      '\\n',
      '"} 1\nforged 2',
      '{}=,',
      '__proto__',
      'other',
      'x'.repeat(300),
      'ü😀',
    ];
    const metrics = open({ upstreams: () => [{ name: 'u"\\\n', up: true, restarts: 0 }] });
    for (const tool of hostile) {
      metrics.request('tools/call', tool, 200, 0.001);
      metrics.toolExecution(tool, 'ok', 0.001);
    }
    const families = parseExposition(metrics.render());
    const tools = families.get('mcp_tool_executions_total')?.samples.map((sample) => sample.labels['tool']);
    expect(new Set(tools)).toEqual(new Set(hostile.filter((tool) => tool.length < 300)));
    expect(families.get('mcp_upstream_up')?.samples[0]?.labels['upstream']).toBe('u"\\\n');
    expect(families.has('forged')).toBe(false);
  });

  test('the status 200 and the status "200" are one series', () => {
    const metrics = open();
    metrics.request('ping', null, 200, 0.001);
    metrics.request('ping', null, '200', 0.001);
    metrics.toolExecution('echo', '200', 0.001);
    metrics.toolExecution('echo', 200, 0.001);
    expect(valueOf(metrics, 'mcp_requests_total', { method: 'ping', tool: '', status: '200' })).toBe(2);
    expect(valueOf(metrics, 'mcp_tool_executions_total', { tool: 'echo', status: '200' })).toBe(2);
  });
});

describe('the process', () => {
  test('its figures are there and plausible', () => {
    const metrics = open();
    expect(valueOf(metrics, 'process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
    expect(valueOf(metrics, 'process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(valueOf(metrics, 'process_start_time_seconds')).toBeLessThanOrEqual(Date.now() / 1_000);
    expect(valueOf(metrics, 'nodejs_version_info', { version: process.version })).toBe(1);
  });

  test('a blocked event loop shows as its longest delay, once', async () => {
    const metrics = open();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const end = performance.now() + 300;
    while (performance.now() < end);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const families = parseExposition(metrics.render());
    expect(families.get('nodejs_eventloop_lag_max_seconds')?.samples[0]?.value).toBeGreaterThan(0.2);
    expect(valueOf(metrics, 'nodejs_eventloop_lag_max_seconds')).toBeLessThan(0.2);
  });
});

test.each([
  ['mcp_requests_total', 'counter', ['method', 'tool', 'status']],
  ['mcp_request_duration_seconds', 'histogram', ['method', 'status']],
  ['mcp_tool_executions_total', 'counter', ['tool', 'status']],
  ['mcp_tool_execution_time_seconds', 'histogram', ['tool']],
  ['mcp_sse_connections_active', 'gauge', []],
  ['mcp_sse_events_sent_total', 'counter', []],
  ['mcp_active_sessions', 'gauge', []],
  ['mcp_auth_failures_total', 'counter', ['reason']],
  ['mcp_rate_limited_total', 'counter', ['scope']],
  ['mcp_circuit_breaker_state', 'gauge', ['upstream']],
  ['mcp_upstream_up', 'gauge', ['upstream']],
  ['mcp_upstream_restarts_total', 'counter', ['upstream']],
  ['mcp_errors_total', 'counter', ['kind']],
  ['mcp_tls_certificate_not_after_seconds', 'gauge', []],
  ['mcp_audit_dropped_total', 'counter', []],
  ['process_resident_memory_bytes', 'gauge', []],
  ['nodejs_eventloop_lag_p99_seconds', 'gauge', []],
])('%s is what people chart already: a %s with the labels %j', (name, type, labels) => {
  expect(metricCatalogue.find((one) => one.name === name)).toMatchObject({ type, labels });
});

describe('docs/metrics.md', () => {
  const documented = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
    .split('\n')
    .map((line) => /^\| `([a-z_0-9]+)` \| (\w+) \|([^|]*)\|([^|]+)\|$/.exec(line))
    .filter((row) => row !== null)
    .map(([, name = '', type = '', labels = '', meaning = '']) => ({
      name,
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map((match) => match[1] ?? ''),
      meaning: meaning.trim(),
    }));

  test('documents every metric with its type and labels, and no metric that does not exist', () => {
    expect(documented.map(({ name, type, labels }) => ({ name, type, labels }))).toEqual(
      metricCatalogue.map(({ name, type, labels }) => ({ name, type, labels: [...labels] })),
    );
    for (const { name, meaning } of documented) expect(meaning.length, name).toBeGreaterThan(20);
  });

  test('what is rendered has exactly these names, types and labels', () => {
    const metrics = open({
      upstreams: () => [{ name: 'files', up: true, restarts: 0, breaker: 'closed', cache: { hits: 3, misses: 1 } }],
      certificateNotAfterSeconds: () => 1_800_000_000,
      keyAges: () => [{ label: 'laptop', seconds: 60 }],
      lastBackupSeconds: () => 1_760_000_000,
      redis: () => ({ isUp: true, errors: 1 }),
      sessionsTakenOver: () => 4,
      sharedAnswers: () => ({ lookups: { hit: 1 }, writes: { written: 1 } }),
    });
    metrics.request('tools/call', 'echo', 200, 0.001);
    metrics.toolExecution('echo', 'ok', 0.001);
    metrics.error('x');
    metrics.configReload('ok');
    const families = parseExposition(metrics.render());
    expect([...families.keys()]).toEqual(documented.map(({ name }) => name));
    for (const { name, type, labels } of documented) {
      const family = families.get(name);
      expect(family?.type, name).toBe(type);
      if (name === 'process_open_fds' && process.platform !== 'linux') continue;
      expect(family?.samples.length, `${name} has a sample`).toBeGreaterThan(0);
      for (const sample of family?.samples ?? []) {
        expect(
          Object.keys(sample.labels).filter((label) => label !== 'le'),
          name,
        ).toEqual(labels);
      }
    }
  });
});
