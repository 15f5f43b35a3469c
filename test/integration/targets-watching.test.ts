import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { stringify } from 'yaml';
import { issueSelfSigned } from '../../src/pki/issue-certificate.ts';
import { metricCatalogue } from '../../src/server/observe/metric-catalogue.ts';
import { dashboardsOf } from '../../src/targets/grafana/dashboards.ts';
import { renderTarget } from '../../src/targets/index.ts';
import { alertRules, recordingRules } from '../../src/targets/prometheus/alert-rules.ts';
import { callHttp } from '../helpers/http-call.ts';
import { freePorts } from '../helpers/pebble.ts';
import { startRedis } from '../helpers/redis.ts';
import { buildServerBundle } from '../helpers/server-bundle.ts';
import { endServed, spawnServe } from '../helpers/served.ts';
import { goldenCases } from '../helpers/target-golden.ts';
import { targetInput } from '../helpers/target-input.ts';
import { findProgram, runTool, testWithTools } from '../helpers/tools.ts';
import { waitUntil } from '../helpers/wait-until.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mcpd-watching-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// Round numbers, which the cases below stand on.
const input = targetInput({
  version: 1,
  name: 'notes',
  server: { sessions: { max: 50 }, workers: 4 },
  service: { memoryMax: '2G', openFiles: 1_000 },
  backup: { every: 'hourly', recipients: [`age1${'q'.repeat(58)}`] },
});
const job = 'mcp-notes';
const alerts = alertRules(job, input.deployment);

describe.each(goldenCases().filter(({ targets }) => targets.some(({ name }) => name === 'prometheus')))(
  'golden case $name',
  ({ input: golden }) => {
    testWithTools(['promtool', 'amtool'], 'promtool and amtool accept every file', () => {
      let files;
      try {
        files = renderTarget('prometheus', golden);
      } catch (error) {
        expect(error).toMatchObject({ name: 'UserError' });
        return;
      }
      for (const { path, content } of files) {
        const file = join(folder, basename(path));
        writeFileSync(file, content);
        if (path.endsWith('.rules.yml')) expect(runTool('promtool', ['check', 'rules', file])).toContain('SUCCESS');
        else if (path.endsWith('.scrape.yml'))
          expect(runTool('promtool', ['check', 'config', '--syntax-only', file])).toContain('SUCCESS');
        else expect(runTool('amtool', ['check-config', file])).toContain('SUCCESS');
      }
    });
  },
);

/** A sample every 15 s over 125 minutes; looked at after 100. */
type Series = Readonly<Record<string, string>>;
const calls = (good: number, bad: number): Series => ({
  'mcp_requests_total status=ok': `0+${good}x500`,
  'mcp_requests_total status=error': `0+${bad}x500`,
});
const durations = (buckets: Readonly<Record<string, number>>): Series =>
  Object.fromEntries(
    Object.entries(buckets).map(([le, count]) => [
      `mcp_request_duration_seconds_bucket method=tools/call le=${le}`,
      `0+${count}x500`,
    ]),
  );
const day = 86_400;
/** Prometheus' tests begin at 1970, and look after 6,000 s. */
const endsIn = (days: number): Series => ({ mcp_tls_certificate_not_after_seconds: `${6_000 + days * day}x500` });

/** What fires each alert, and what nearly does. */
const cases: Readonly<Record<string, { readonly fires: Series; readonly near: Series }>> = {
  McpServerDown: { fires: { up: '0x500' }, near: { up: '1x396 0x100' } },
  McpCertificateExpiresSoon: { fires: endsIn(13), near: endsIn(15) },
  McpCertificateExpiresNow: { fires: endsIn(2), near: endsIn(4) },
  McpBreakerOpen: {
    fires: { 'mcp_circuit_breaker_state upstream=a': '1x500' },
    near: { 'mcp_circuit_breaker_state upstream=a': '2x500' },
  },
  McpUpstreamDown: {
    fires: { 'mcp_upstream_up upstream=a': '0x500' },
    near: { 'mcp_upstream_up upstream=a': '1x396 0x100', 'mcp_upstream_up upstream=b': '1x500' },
  },
  McpUpstreamRestarts: {
    fires: { 'mcp_upstream_restarts_total upstream=a': '0+1x500' },
    near: { 'mcp_upstream_restarts_total upstream=a': '0x380 1 2x100' },
  },
  McpWorkerDown: { fires: { 'mcp_worker_up worker=1': '0x500' }, near: { 'mcp_worker_up worker=1': '1x398 0x100' } },
  McpWorkerRestarts: {
    fires: { 'mcp_worker_restarts_total worker=1': '0+1x500' },
    near: { 'mcp_worker_restarts_total worker=1': '0x380 1 2x100' },
  },
  McpServerRestarts: {
    fires: { process_start_time_seconds: '0+60x500' },
    near: { process_start_time_seconds: '0x390 100x100' },
  },
  McpErrorsMany: { fires: { 'mcp_errors_total kind=x': '0+5x500' }, near: { 'mcp_errors_total kind=x': '0+2x500' } },
  McpErrorRatioHigh: { fires: calls(98, 2), near: calls(995, 5) },
  McpErrorBudgetBurns: { fires: calls(98, 2), near: calls(99, 1) },
  McpLatencyHigh: {
    fires: durations({ '0.5': 90, '1': 100, '+Inf': 100 }),
    near: durations({ '0.25': 96, '0.5': 100, '+Inf': 100 }),
  },
  McpLatencyVeryHigh: {
    fires: durations({ '5': 98, '10': 100, '+Inf': 100 }),
    near: durations({ '2.5': 99, '5': 100, '+Inf': 100 }),
  },
  McpSessionsNearCap: { fires: { mcp_active_sessions: '46x500' }, near: { mcp_active_sessions: '45x500' } },
  McpStreamsMany: { fires: { mcp_sse_connections_active: '101x500' }, near: { mcp_sse_connections_active: '100x500' } },
  McpStreamsSilent: {
    fires: { mcp_sse_events_sent_total: '5x500', mcp_sse_connections_active: '20x500' },
    near: { mcp_sse_events_sent_total: '0+1x500', mcp_sse_connections_active: '20x500' },
  },
  McpSlowReaders: {
    fires: { 'mcp_slow_readers_cut_total bound=stream': '0+1x500' },
    near: { 'mcp_slow_readers_cut_total bound=stream': '0x380 1 2 3 4 5x100' },
  },
  McpUnreadBytes: { fires: { mcp_unread_bytes: '140000000x500' }, near: { mcp_unread_bytes: '130000000x500' } },
  McpEventLoopLag: {
    fires: { nodejs_eventloop_lag_p99_seconds: '0.2x500' },
    near: { nodejs_eventloop_lag_p99_seconds: '0.09x500' },
  },
  McpMemoryHigh: {
    fires: { process_resident_memory_bytes: '1950000000x500' },
    near: { process_resident_memory_bytes: '1900000000x500' },
  },
  McpCpuHigh: { fires: { process_cpu_seconds_total: '0+50x500' }, near: { process_cpu_seconds_total: '0+45x500' } },
  McpFilesNearLimit: { fires: { process_open_fds: '901x500' }, near: { process_open_fds: '900x500' } },
  McpAuditLinesLost: { fires: { mcp_audit_dropped_total: '0x390 1x100' }, near: { mcp_audit_dropped_total: '1x500' } },
  McpKeysGuessed: {
    fires: { 'mcp_auth_failures_total reason=invalid': '0+3x500' },
    near: { 'mcp_auth_failures_total reason=missing': '0+3x500' },
  },
  McpKeyOld: {
    fires: { 'mcp_key_age_seconds label=ci': '8000000x500' },
    near: { 'mcp_key_age_seconds label=ci': '7700000x500' },
  },
  // In a test the clock begins at 0; the cases are looked at after 100 minutes, and the limit is three hours.
  McpBackupOld: {
    fires: { mcp_backup_last_success_timestamp_seconds: '-7200x500' },
    near: { mcp_backup_last_success_timestamp_seconds: '-4000x500' },
  },
  McpBackupMissing: {
    fires: { up: '1x800' },
    near: { up: '1x800', mcp_backup_last_success_timestamp_seconds: '0x800' },
  },
  McpRateLimited: {
    fires: { 'mcp_rate_limited_total scope=key': '0+3x500', 'mcp_requests_total status=ok': '0+20x500' },
    near: { 'mcp_rate_limited_total scope=key': '0+3x500', 'mcp_requests_total status=ok': '0+100x500' },
  },
  McpConfigRefused: {
    fires: { 'mcp_config_reloads_total result=refused': '0x390 1x100' },
    near: { 'mcp_config_reloads_total result=ok': '0x390 1x100' },
  },
  McpRedisDown: { fires: { mcp_redis_up: '0x500' }, near: { mcp_redis_up: '1x398 0x100' } },
  McpScaleUp: { fires: { process_cpu_seconds_total: '0+45x500' }, near: { process_cpu_seconds_total: '0+40x500' } },
  McpScaleOut: { fires: { mcp_active_sessions: '41x500' }, near: { mcp_active_sessions: '40x500' } },
};

test('every alert has a case that fires it and one that nearly does', () => {
  expect(Object.keys(cases).toSorted()).toEqual(alerts.map(({ name }) => name).toSorted());
});

testWithTools(
  ['promtool'],
  'every alert fires when it should, and is silent when it nearly should',
  () => {
    const [, rules] = renderTarget('prometheus', input);
    writeFileSync(join(folder, 'tested.rules.yml'), rules?.content ?? '');
    // Each case has a server of its own, so that all of them are looked at in one run.
    const seriesOf = (instance: string, given: Series): { series: string; values: string }[] =>
      Object.entries(given).map(([text, values]) => {
        const [metric = '', ...labels] = text.split(' ');
        const written = [`job=${job}`, `instance=${instance}`, ...labels].map((label) => {
          const at = label.indexOf('=');
          return `${label.slice(0, at)}=${JSON.stringify(label.slice(at + 1))}`;
        });
        return { series: `${metric}{${written.join(',')}}`, values };
      });
    const firing = (name: string, instance: string): string =>
      `count(ALERTS{alertname="${name}",alertstate="firing",instance="${instance}"})`;
    const tests = [
      {
        interval: '15s',
        input_series: Object.entries(cases).flatMap(([name, { fires, near }]) => [
          ...seriesOf(`fires-${name}`, fires),
          ...seriesOf(`near-${name}`, near),
        ]),
        promql_expr_test: Object.keys(cases).flatMap((name) => [
          { expr: firing(name, `fires-${name}`), eval_time: '100m', exp_samples: [{ labels: '{}', value: 1 }] },
          { expr: firing(name, `near-${name}`), eval_time: '100m', exp_samples: [] },
        ]),
      },
    ];
    const file = join(folder, 'rules.test.yml');
    writeFileSync(file, stringify({ rule_files: ['tested.rules.yml'], evaluation_interval: '1m', tests }));
    expect(runTool('promtool', ['test', 'rules', file])).toContain('SUCCESS');
  },
  60_000,
);

/** Names of server metrics within expressions; recorded series are ours. */
function metricsIn(expressions: readonly string[]): string[] {
  const recorded = new Set(recordingRules(job).map(({ name }) => name));
  const names = expressions.flatMap(
    (text) => text.match(/(?:[a-z]+:)?\b(?:mcp|process|nodejs)_[a-z0-9_]+(?::[a-z0-9]+)?/g) ?? [],
  );
  return [
    ...new Set(names.filter((name) => !recorded.has(name)).map((name) => name.replace(/_(?:bucket|sum|count)$/, ''))),
  ];
}

const shown = metricsIn(
  dashboardsOf(job).flatMap(({ panels }) => panels.flatMap(({ queries }) => queries.map(([text]) => text))),
);
const alerted = metricsIn([...alerts, ...recordingRules(job)].map(({ expression }) => expression));

testWithTools(
  ['redis-server'],
  'every metric of a rule or a dashboard is in a scrape of the running server, and every one of the scrape is on a dashboard',
  async () => {
    const bundle = await buildServerBundle();
    const redis = await startRedis();
    const issued = await issueSelfSigned({ names: ['localhost'], validDays: 10 });
    const [certificate, key] = ['server.crt', 'server.key'].map((name) => join(folder, name));
    writeFileSync(certificate ?? '', issued.certificatePem);
    writeFileSync(key ?? '', issued.keyPem, { mode: 0o600 });
    writeFileSync(
      join(folder, 'server.yaml'),
      stringify({
        version: 1,
        server: {
          listen: `localhost:${(await freePorts(1))[0]}`,
          cache: { tools: { echo: { ttlSeconds: 10 } } },
        },
        tls: { source: 'files', certificate, key },
        redis: { url: redis.url },
      }),
    );
    const served = spawnServe(bundle, folder, ['--config', 'server.yaml'], {
      MCP_API_KEY: 'watching-0123456789abcdef0123',
    });
    try {
      const origin = new URL(await served.listening()).origin;
      const scrape = async (): Promise<Set<string>> => {
        const { body } = await callHttp({ url: `${origin}/metrics`, ca: issued.certificatePem });
        return new Set([...body.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name));
      };
      await scrape();
      served.child.kill('SIGHUP');
      await waitUntil(
        async () => (await scrape()).has('mcp_config_last_reload_timestamp_seconds'),
        20_000,
        `a reload (${served.output.stderr})`,
      );
      const found = await scrape();
      expect([...shown, ...alerted].filter((name) => !found.has(name))).toEqual([]);
      expect([...found].filter((name) => !shown.includes(name))).toEqual([]);
    } finally {
      await endServed([served]);
      await redis.close();
      rmSync(dirname(bundle), { recursive: true, force: true });
    }
  },
  60_000,
);

test('every metric of the catalogue is on a dashboard', () => {
  expect(metricCatalogue.map(({ name }) => name as string).filter((name) => !shown.includes(name))).toEqual([]);
});

// Written by us from Grafana's published model of a dashboard (schema version 37): what its page refuses or draws wrongly.
const source = z.strictObject({ type: z.literal('prometheus'), uid: z.literal('${datasource}') });
const panelModel = z.object({
  id: z.int().positive(),
  title: z.string().min(1),
  type: z.enum(['timeseries', 'stat', 'gauge', 'heatmap']),
  gridPos: z.strictObject({
    x: z.int().min(0).max(23),
    y: z.int().min(0),
    w: z.int().min(1).max(24),
    h: z.int().min(1),
  }),
  datasource: source,
  targets: z
    .array(
      z.object({
        refId: z.string().regex(/^[A-Z]$/),
        datasource: source,
        expr: z.string().min(1),
        legendFormat: z.string(),
      }),
    )
    .min(1),
  fieldConfig: z.object({
    defaults: z.object({
      unit: z.string().min(1),
      thresholds: z.object({
        mode: z.literal('absolute'),
        steps: z.array(z.object({ color: z.string(), value: z.number().nullable() })).min(1),
      }),
    }),
    overrides: z.array(z.unknown()),
  }),
  options: z.record(z.string(), z.unknown()),
});
const dashboardModel = z.object({
  uid: z.string().regex(/^[A-Za-z0-9_-]{1,40}$/),
  title: z.string().min(1),
  tags: z.array(z.string()),
  schemaVersion: z.literal(37),
  editable: z.boolean(),
  time: z.object({ from: z.string(), to: z.string() }),
  templating: z.object({
    list: z.array(
      z.object({
        name: z.string(),
        type: z.enum(['datasource', 'query']),
        query: z.union([z.string(), z.object({ query: z.string(), refId: z.string() })]),
      }),
    ),
  }),
  panels: z.array(panelModel).min(1),
});

test('every dashboard has the form that Grafana reads, panels of its own that do not overlap, and asks for its data source', () => {
  const longest = targetInput({ version: 1, name: 'a'.repeat(40) });
  for (const given of [input, longest]) {
    const files = renderTarget('grafana', given).filter(({ path }) => path.endsWith('.json'));
    expect(files.map(({ path }) => basename(path))).toEqual([
      'overview.json',
      'tools.json',
      'sessions.json',
      'upstreams.json',
      'security.json',
    ]);
    const dashboards = files.map(({ content }) => dashboardModel.parse(JSON.parse(content)));
    expect(new Set(dashboards.map(({ uid }) => uid)).size).toBe(files.length);
    for (const { panels, templating } of dashboards) {
      expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'instance']);
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
      const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
        expect(x + w).toBeLessThanOrEqual(24);
        return Array.from({ length: w * h }, (_, at) => `${x + (at % w)}/${y + Math.floor(at / w)}`);
      });
      expect(new Set(cells).size).toBe(cells.length);
      for (const { targets } of panels) expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    }
  }
});

testWithTools(['promtool'], 'Prometheus reads the expressions of every panel', () => {
  const rules = dashboardsOf(job).flatMap(({ panels }) =>
    panels.flatMap(({ queries }) => queries.map(([text]) => text)),
  );
  // As Grafana fills them.
  const filled = rules.map((text) =>
    text.replaceAll('$instance', '.*').replaceAll(/\$__(?:rate_interval|range)/g, '5m'),
  );
  const file = join(folder, 'panels.rules.yml');
  const groups = [{ name: 'panels', rules: filled.map((expr, at) => ({ record: `panel:${at}`, expr })) }];
  writeFileSync(file, stringify({ groups }));
  expect(findProgram('promtool')).not.toBeNull();
  expect(runTool('promtool', ['check', 'rules', '--lint=none', file])).toContain('SUCCESS');
  expect(readFileSync(file, 'utf8')).not.toContain('$');
});
