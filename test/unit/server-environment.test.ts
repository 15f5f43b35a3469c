import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { deploymentSchema, type Deployment } from '../../src/deployment/schema.ts';
import {
  applyEnvironment,
  asksToServe,
  describeEnvironment,
  environmentTable,
  type Settings,
} from '../../src/server/environment.ts';
import { parseRate, parseSeconds, parseSize } from '../../src/server/environment-values.ts';

const base = (): Settings => ({
  deployment: deploymentSchema.parse({
    version: 1,
    server: { listen: 'localhost:8080', upstreams: { main: { command: 'x' } } },
    tls: { source: 'off' },
  }),
  extraKeys: [],
  stdio: false,
});
const deploymentWith = (env: Record<string, string>): Deployment => applyEnvironment(base(), env).deployment;

const collector = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' };
const tracesOf = ({ deployment }: Settings): Partial<Exclude<Deployment['logs']['traces'], 'off'>> =>
  deployment.logs.traces === 'off' ? {} : deployment.logs.traces;

/** What the example of each row comes to; `with` is what else must be set. */
function breakerOf(all: Settings) {
  const breaker = all.deployment.server.upstreams['main']?.breaker;
  return breaker === 'off' ? undefined : breaker;
}

const outcomes: Readonly<
  Record<string, { with?: Record<string, string>; read: (all: Settings) => unknown; is: unknown }>
> = {
  CONFIG_PATH: { read: (all) => all, is: base() },
  MCP_TRANSPORT: { read: (all) => all.deployment.server.legacySse, is: { sse: '/sse', messages: '/messages' } },
  MCP_HTTP_ADDRESS: { read: (all) => all.deployment.server.listen, is: ['127.0.0.1:8080'] },
  MCP_HTTP_SOCKET: { read: (all) => all.deployment.server.listen, is: ['unix:/run/mcp.sock'] },
  PORT: { read: (all) => all.deployment.server.listen, is: 'localhost:3001' },
  MCP_PORT: { with: { PORT: '1' }, read: (all) => all.deployment.server.listen, is: 'localhost:3001' },
  MCP_HTTP_PORT: { with: { MCP_PORT: '1' }, read: (all) => all.deployment.server.listen, is: 'localhost:3001' },
  BIND_IP: { read: (all) => all.deployment.server.listen, is: '127.0.0.1:8080' },
  MCP_REPLICA: { read: (all) => all.deployment.server.replica, is: 'r1' },
  MCP_TLS_CERT_FILE: {
    with: { MCP_TLS_KEY_FILE: 'k' },
    read: (all) => all.deployment.tls,
    is: { source: 'files', certificate: resolve('tls.crt'), key: resolve('k') },
  },
  MCP_TLS_KEY_FILE: {
    with: { MCP_TLS_CERT_FILE: 'c' },
    read: (all) => all.deployment.tls,
    is: { source: 'files', certificate: resolve('c'), key: resolve('tls.key') },
  },
  MCP_API_KEY: { read: (all) => all.extraKeys, is: [{ label: 'MCP_API_KEY', key: 'mZ6Yf3c0vQ8n1bTq' }] },
  MCP_API_KEYS: { read: (all) => all.extraKeys.map(({ key }) => key), is: ['mZ6Yf3c0vQ8n1bTq', 'W2rXo9k4sD7u5eLp'] },
  MCP_AUTH_REQUIRED: { read: (all) => all.deployment.auth.required, is: false },
  RATE_LIMIT_WINDOW_MS: {
    read: (all) => all.deployment.limits.perAddress,
    is: { requests: 100, windowSeconds: 60, windowMs: 60_000, form: 'fixed-window' },
  },
  RATE_LIMIT_MAX_REQUESTS: {
    read: ({ deployment: { limits } }) => [limits.perAddress, limits.perKey, limits.headers],
    is: [{ requests: 500, windowSeconds: 900, windowMs: 900_000, form: 'fixed-window' }, 'off', 'separate'],
  },
  MCP_RATE_LIMIT: {
    with: { RATE_LIMIT_MAX_REQUESTS: '3' },
    read: ({ deployment: { limits } }) => [limits.global, limits.perKey],
    is: [{ requests: 10, windowSeconds: 1, burst: 10 }, 'off'],
  },
  REDIS_URL: {
    read: (all) => all.deployment.redis,
    is: { url: 'redis://127.0.0.1:6379/0', master: 'mymaster', whenDown: 'open', graceSeconds: 5 },
  },
  AUDIT_LOG_FILE: { read: (all) => all.deployment.logs.audit, is: resolve('audit.jsonl') },
  MCP_AUDIT_LOG_FILE: {
    with: { AUDIT_LOG_FILE: 'other' },
    read: (all) => all.deployment.logs.audit,
    is: resolve('audit.jsonl'),
  },
  MCP_CORS_ORIGIN: { read: (all) => all.deployment.server.allowedOrigins, is: ['https://app.example.com'] },
  SSE_HEARTBEAT_INTERVAL: { read: (all) => all.deployment.server.keepAliveSeconds, is: 30 },
  MCP_HEARTBEAT_INTERVAL: {
    with: { SSE_HEARTBEAT_INTERVAL: '5' },
    read: (all) => all.deployment.server.keepAliveSeconds,
    is: 30,
  },
  SSE_SESSION_TIMEOUT: {
    read: (all) => all.deployment.server.sessions,
    is: { idleSeconds: 300, max: 10_000, store: 'memory' },
  },
  MAX_REQUEST_SIZE: { read: (all) => all.deployment.limits.bodyBytes, is: 10 * 1_048_576 },
  CIRCUIT_BREAKER_FAILURE_THRESHOLD: { read: (all) => breakerOf(all)?.failures, is: 8 },
  CIRCUIT_BREAKER_RESET_TIMEOUT: { read: (all) => breakerOf(all)?.resetSeconds, is: 30 },
  REQUEST_TIMEOUT: { read: (all) => all.deployment.server.upstreams['main']?.callSeconds, is: 30 },
  LOG_LEVEL: { read: (all) => all.deployment.logs.level, is: 'debug' },
  METRICS_PORT: { read: (all) => all.deployment.server.metricsListen, is: 'localhost:9090' },
  METRICS_ENABLED: { read: (all) => all.deployment.server.metrics, is: false },
  HEALTH_CHECK_PATH: { read: (all) => all.deployment.server.health, is: { path: '/healthz', form: 'checks' } },
  LOG_FILE: { read: (all) => all.deployment.logs.file, is: resolve('server.log') },
  NODE_ENV: { read: (all) => all, is: base() },
  API_KEY_SALT: { read: (all) => all, is: base() },
  SESSION_SECRET: { read: (all) => all, is: base() },
  DATABASE_URL: { read: (all) => all, is: base() },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    read: (all) => all.deployment.logs.traces,
    is: { endpoint: 'http://localhost:4318/v1/traces', headers: {}, sampleRatio: 1, everyMs: 5_000 },
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    with: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://other' },
    read: (all) => tracesOf(all).endpoint,
    is: 'http://localhost:4318/v1/traces',
  },
  OTEL_EXPORTER_OTLP_HEADERS: { with: collector, read: (all) => tracesOf(all).headers, is: { 'x-tenant': 'blue' } },
  OTEL_EXPORTER_OTLP_CERTIFICATE: { with: collector, read: (all) => tracesOf(all).caFile, is: resolve('ca.crt') },
  OTEL_SERVICE_NAME: { with: collector, read: (all) => tracesOf(all).serviceName, is: 'tools-gateway' },
  OTEL_TRACES_SAMPLER_ARG: { with: collector, read: (all) => tracesOf(all).sampleRatio, is: 0.1 },
};

test('every row has an outcome here, and nothing else has', () => {
  expect(Object.keys(outcomes).toSorted()).toEqual(environmentTable.map(({ name }) => name).toSorted());
});

describe.each(environmentTable)('$name', ({ name, example, unusable, form }) => {
  const outcome = outcomes[name];

  test(`does what it says with ${example}`, () => {
    const settings = applyEnvironment(base(), { ...outcome?.with, [name]: example });
    expect(outcome?.read(settings)).toEqual(outcome?.is);
    expect(deploymentSchema.safeParse(settings.deployment).success).toBe(true);
  });

  test('empty is as if it were absent', () => {
    expect(applyEnvironment(base(), { [name]: ' ' })).toEqual(base());
  });

  test('is in the help', () => {
    expect(describeEnvironment()).toContain(`  ${name}=${form} `);
  });

  test.skipIf(unusable === null)(`refuses ${unusable ?? ''} by its name, without repeating the value`, () => {
    const value = unusable ?? '';
    expect(() => applyEnvironment(base(), { ...outcome?.with, [name]: value })).toThrow(
      expect.objectContaining({
        exitCode: 2,
        message: expect.stringContaining(name) as string,
        next: expect.stringContaining(`${name}=`) as string,
      }),
    );
  });
});

describe('several variables together', () => {
  test.each([
    [{ MCP_HTTP_ADDRESS: ':8080', PORT: '3001' }, [':8080']],
    [{ MCP_HTTP_ADDRESS: '127.0.0.1:1', MCP_HTTP_SOCKET: '/s' }, ['127.0.0.1:1', 'unix:/s']],
    [{ BIND_IP: '::1', PORT: '3001' }, '[::1]:3001'],
    [{ BIND_IP: '0.0.0.0', MCP_PORT: '8000' }, '0.0.0.0:8000'],
    [{ PORT: '1', MCP_PORT: '2', MCP_HTTP_PORT: '3' }, 'localhost:3'],
  ])('%j listen on %j', (env, listen) => {
    expect(deploymentWith(env).server.listen).toEqual(listen);
  });

  test.each([['MCP_TLS_CERT_FILE'], ['MCP_TLS_KEY_FILE']])('%s alone is refused by its name', (name) => {
    expect(() => deploymentWith({ [name]: 'f' })).toThrow(name);
  });

  test('stdio is asked for by MCP_TRANSPORT', () => {
    expect(applyEnvironment(base(), { MCP_TRANSPORT: 'stdio' }).stdio).toBe(true);
    expect(applyEnvironment(base(), { MCP_TRANSPORT: 'http' })).toEqual(base());
  });

  test('a wrong value is never repeated: it may be a key in the wrong place', () => {
    let said = '';
    try {
      deploymentWith({ MCP_HTTP_PORT: 'key-5b8e2f1c9a7d4e60' });
    } catch (error) {
      said = `${String(error)} ${JSON.stringify(error)}`;
    }
    expect(said).toContain('MCP_HTTP_PORT');
    expect(said).not.toContain('5b8e2f1c');
  });
});

test('only names that are about MCP ask for a server on their own', () => {
  expect(asksToServe({ PORT: '1', LOG_LEVEL: 'debug', CONFIG_PATH: '/x' })).toBe(false);
  expect(asksToServe({ MCP_HTTP_PORT: '1' })).toBe(true);
});

describe('values', () => {
  test.each([
    ['0', 'off'],
    ['0.5', { requests: 30, windowSeconds: 60, burst: 1 }],
    ['100', { requests: 100, windowSeconds: 1, burst: 100 }],
  ])('a rate of %s', (text, value) => {
    expect(parseRate(text)).toEqual({ value });
  });
  test.each(['1e3', '-1', 'ten', '0.001', '', '1/s'])('no rate: %s', (text) => {
    expect(parseRate(text)).toHaveProperty('problem');
  });
  test.each([
    ['30', 1, 30],
    ['30s', 1, 30],
    ['500ms', 1, 0.5],
    ['1m', 1, 60],
    ['1h', 1, 3_600],
    ['30000', 0.001, 30],
    ['30s', 0.001, 30],
  ])('%s with a bare unit of %s s is %s s', (text, unit, value) => {
    expect(parseSeconds(text, unit, 0, 86_400)).toEqual({ value });
  });
  test.each([
    ['10mb', 10 * 1_048_576],
    ['512KB', 524_288],
    ['4096', 4_096],
    ['1.5m', 1_572_864],
  ])('%s are %s bytes', (text, value) => {
    expect(parseSize(text, 1_024, 1_073_741_824)).toEqual({ value });
  });
  test.each(['1', '2gb', '10 megabytes', 'mb'])('no size: %s', (text) => {
    expect(parseSize(text, 1_024, 1_073_741_824)).toHaveProperty('problem');
  });
});
