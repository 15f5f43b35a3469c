import { resolve } from 'node:path';
import type { BreakerSetting } from '../deployment/breaker-schema.ts';
import { UserError } from '../deployment/errors.ts';
import { replicaName } from '../deployment/proxy-schema.ts';
import type { Deployment } from '../deployment/schema.ts';
import {
  parseAddress,
  parseCount,
  parseLogLevel,
  parsePairs,
  parsePort,
  parseRate,
  parseRatio,
  parseSeconds,
  parseSize,
  parseSwitch,
  splitList,
  type Parsed,
} from './environment-values.ts';
import type { ExtraKey } from './startup-checks.ts';

/** What the environment changes: parts of the deployment, and what stands beside it. */
export interface Settings {
  deployment: Deployment;
  extraKeys: ExtraKey[];
  /** Answer on standard input and output instead of listening. */
  stdio: boolean;
}

/** Parts of settings that need each other; put together when every variable was read. */
interface Pieces {
  addresses: string[];
  /** By rank: the more particular variable wins over the more general one. */
  port: { readonly rank: number; readonly port: number } | null;
  host: string | null;
  certificate: string | null;
  key: string | null;
  windowMs: number | null;
  maxRequests: number | null;
}

/** One environment variable that `serve` understands. */
export interface EnvironmentRow {
  readonly name: string;
  /** What may be in it, as shown in the help. */
  readonly form: string;
  readonly meaning: string;
  /** A value that works, and one that does not; null when every text works. */
  readonly example: string;
  readonly unusable: string | null;
  /** Puts the value into place; the text says what is wrong with it. */
  readonly take: (value: string, settings: Settings, pieces: Pieces) => string | null;
}

/**
 * The names that MCP servers are configured by in the field. In the order in which they are applied: of two that say
 * the same, the later one wins.
 */
export const environmentTable: readonly EnvironmentRow[] = [
  row('CONFIG_PATH', 'FILE', 'deployment file, when no flag says what to serve', 'mcp-deploy.yaml', null, () => null),
  row(
    'MCP_TRANSPORT',
    'stdio|sse|http',
    'stdio: as --stdio; sse: also the HTTP+SSE pair',
    'sse',
    'tcp',
    (value, all) => {
      if (!['stdio', 'sse', 'http'].includes(value)) return 'is stdio, sse or http';
      all.stdio = value === 'stdio';
      if (value === 'sse' && all.deployment.server.legacySse === 'off') {
        change(all, 'server', { legacySse: { sse: '/sse', messages: '/messages' } });
      }
      return null;
    },
  ),
  row('MCP_HTTP_ADDRESS', 'ADDR', 'where to listen: host:port, :port', '127.0.0.1:8080', 'here', (value, _, pieces) =>
    keep(parseAddress(value), (address) => pieces.addresses.push(address)),
  ),
  row('MCP_HTTP_SOCKET', 'PATH', 'Unix socket to listen on', '/run/mcp.sock', null, (value, _, pieces) => {
    pieces.addresses.push(`unix:${resolve(value)}`);
    return null;
  }),
  portRow('PORT', 1, 'port to listen on; MCP_PORT and MCP_HTTP_PORT go first'),
  portRow('MCP_PORT', 2, 'port to listen on; MCP_HTTP_PORT goes first'),
  portRow('MCP_HTTP_PORT', 3, 'port to listen on; MCP_HTTP_ADDRESS goes first'),
  row('BIND_IP', 'ADDR', 'address for that port', '127.0.0.1', 'a b', (value, _, pieces) => {
    const host = value.includes(':') && !value.startsWith('[') ? `[${value}]` : value;
    return keep(parseAddress(`${host}:1`), () => (pieces.host = host));
  }),
  row('MCP_TLS_CERT_FILE', 'FILE', 'certificate and intermediates, PEM', 'tls.crt', null, (value, _, pieces) => {
    pieces.certificate = resolve(value);
    return null;
  }),
  row('MCP_TLS_KEY_FILE', 'FILE', 'its private key, PEM', 'tls.key', null, (value, _, pieces) => {
    pieces.key = resolve(value);
    return null;
  }),
  row('MCP_REPLICA', 'NAME', 'name among several servers; session ids end with it', 'r1', 'R 1', (value, all) => {
    if (!replicaName.safeParse(value).success) return 'is no name of 1 to 20 of a-z, 0-9 and -';
    change(all, 'server', { replica: value });
    return null;
  }),
  row('MCP_API_KEY', 'KEY', 'a key that is let in', 'mZ6Yf3c0vQ8n1bTq', null, (value, all) => {
    all.extraKeys.push({ label: 'MCP_API_KEY', key: value });
    return null;
  }),
  row('MCP_API_KEYS', 'KEY,KEY', 'keys that are let in', 'mZ6Yf3c0vQ8n1bTq,W2rXo9k4sD7u5eLp', null, (value, all) => {
    all.extraKeys.push(...splitList(value).map((key) => ({ label: 'MCP_API_KEYS', key })));
    return null;
  }),
  row('MCP_AUTH_REQUIRED', 'true|false', 'false lets everyone in; on loopback only', 'false', 'maybe', (value, all) =>
    keep(parseSwitch(value), (required) => change(all, 'auth', { required })),
  ),
  row('RATE_LIMIT_WINDOW_MS', 'MS', 'length of the rate limit window (900000)', '60000', 'soon', (value, _, pieces) =>
    keep(parseCount(value, 1, 86_400_000), (windowMs) => (pieces.windowMs = windowMs)),
  ),
  row('RATE_LIMIT_MAX_REQUESTS', 'N', 'calls of one address in that window (100)', '500', '0', (value, _, pieces) =>
    keep(parseCount(value, 1, 100_000_000), (requests) => (pieces.maxRequests = requests)),
  ),
  row('MCP_RATE_LIMIT', 'N', 'calls per second, of all keys together; 0 = off', '10', '-1', (value, all) =>
    keep(parseRate(value), (global) => change(all, 'limits', { perKey: 'off', global })),
  ),
  row(
    'REDIS_URL',
    'URL',
    'Redis that replicas share their limits in',
    'redis://127.0.0.1:6379/0',
    'localhost:6379',
    (value, all) => {
      if (!/^rediss?:\/\/\S*$/.test(value) || !URL.canParse(value))
        return 'is no URL that starts with redis:// or rediss://';
      // It is a value, not a text in which references are looked for.
      const url = value.replaceAll('${', () => '$${');
      const before = all.deployment.redis;
      const redis = before === 'off' ? { master: 'mymaster', whenDown: 'open' as const, graceSeconds: 5 } : before;
      all.deployment = { ...all.deployment, redis: { ...redis, url } };
      return null;
    },
  ),
  auditRow('AUDIT_LOG_FILE', 'file with a line for every call'),
  auditRow('MCP_AUDIT_LOG_FILE', 'the same; goes before AUDIT_LOG_FILE'),
  row(
    'MCP_CORS_ORIGIN',
    'ORIGIN,…',
    'browser pages that may call; * only with keys',
    'https://app.example.com',
    'app',
    (value, all) => {
      const origins = splitList(value);
      const wrong = origins.find((origin) => origin !== '*' && !isOrigin(origin));
      if (wrong !== undefined) return 'is scheme, host and port, like https://app.example.com, or *';
      change(all, 'server', { allowedOrigins: origins });
      return null;
    },
  ),
  heartbeatRow('SSE_HEARTBEAT_INTERVAL'),
  heartbeatRow('MCP_HEARTBEAT_INTERVAL'),
  row('SSE_SESSION_TIMEOUT', 'SECONDS', 'a session ends after this silence', '300', '1', (value, all) =>
    keep(parseSeconds(value, 1, 5, 86_400), (seconds) => {
      change(all, 'server', { sessions: { ...all.deployment.server.sessions, idleSeconds: Math.round(seconds) } });
    }),
  ),
  row('MAX_REQUEST_SIZE', 'SIZE', 'largest request body, like 10mb', '10mb', 'big', (value, all) =>
    keep(parseSize(value, 1_024, 1_073_741_824), (bodyBytes) => change(all, 'limits', { bodyBytes })),
  ),
  row('REQUEST_TIMEOUT', 'MS', 'how long one call may take', '30000', 'never', (value, all) =>
    keep(parseSeconds(value, 0.001, 0.001, 86_400), (callSeconds) => {
      const upstreams = Object.entries(all.deployment.server.upstreams);
      change(all, 'server', {
        upstreams: Object.fromEntries(upstreams.map(([name, upstream]) => [name, { ...upstream, callSeconds }])),
      });
    }),
  ),
  row(
    'CIRCUIT_BREAKER_FAILURE_THRESHOLD',
    'N',
    'failures in a row until an upstream is left alone',
    '8',
    '0',
    (value, all) => keep(parseCount(value, 1, 1_000_000), (failures) => changeBreakers(all, { failures })),
  ),
  row('CIRCUIT_BREAKER_RESET_TIMEOUT', 'MS', 'how long it is left alone', '30000', 'never', (value, all) =>
    keep(parseSeconds(value, 0.001, 0.001, 86_400), (resetSeconds) => changeBreakers(all, { resetSeconds })),
  ),
  row(
    'HEALTH_CHECK_PATH',
    'PATH',
    'a path beside /health that answers with checks',
    '/healthz',
    'healthz',
    (value, all) => {
      if (!/^\/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]$/.test(value)) return 'is no path like /healthz';
      change(all, 'server', { health: { path: value, form: 'checks' } });
      return null;
    },
  ),
  row('LOG_FILE', 'FILE', 'file of the log, in place of standard error', 'server.log', null, (value, all) => {
    change(all, 'logs', { file: resolve(value) });
    return null;
  }),
  noEffectRow('NODE_ENV', 'WORD', 'accepted; the server is always as in production', 'production'),
  noEffectRow('API_KEY_SALT', 'TEXT', 'accepted; each key in a key file has a salt of its own', 'b1946ac92492d234'),
  noEffectRow('SESSION_SECRET', 'TEXT', 'accepted; session ids are random and signed by nothing', 'c4ca4238a0b92382'),
  noEffectRow('DATABASE_URL', 'URL', 'accepted; upstreams get theirs from their own env', 'postgres://db/mcp'),
  row('LOG_LEVEL', 'debug|info|warn|error', 'what is written to the log', 'debug', 'loud', (value, all) =>
    keep(parseLogLevel(value), (level) => change(all, 'logs', { level })),
  ),
  row('METRICS_PORT', 'PORT', 'port of this machine for /metrics alone', '9090', '0', (value, all) =>
    keep(parsePort(value), (port) => change(all, 'server', { metricsListen: `localhost:${port}` })),
  ),
  row('METRICS_ENABLED', 'true|false', 'whether /metrics answers', 'false', 'maybe', (value, all) =>
    keep(parseSwitch(value), (metrics) => change(all, 'server', { metrics })),
  ),
  row(
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'URL',
    'collector that spans of calls go to',
    'http://localhost:4318',
    'here',
    (value, all) =>
      isHttpUrl(value) ? sendTraces(all, `${value.replace(/\/+$/, '')}/v1/traces`) : 'is no URL with http or https',
  ),
  row(
    'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
    'URL',
    'the same with its path; goes before the one above',
    'http://localhost:4318/v1/traces',
    'here',
    (value, all) => (isHttpUrl(value) ? sendTraces(all, value) : 'is no URL with http or https'),
  ),
  row(
    'OTEL_EXPORTER_OTLP_HEADERS',
    'NAME=VALUE,…',
    'headers for the collector',
    'x-tenant=blue',
    'blue',
    (value, all) => keep(parsePairs(value), (headers) => changeTraces(all, { headers })),
  ),
  row('OTEL_EXPORTER_OTLP_CERTIFICATE', 'FILE', 'CA of the collector, PEM', 'ca.crt', null, (value, all) => {
    changeTraces(all, { caFile: resolve(value) });
    return null;
  }),
  row('OTEL_SERVICE_NAME', 'NAME', 'service.name of the spans', 'tools-gateway', null, (value, all) => {
    changeTraces(all, { serviceName: value });
    return null;
  }),
  row('OTEL_TRACES_SAMPLER_ARG', 'RATIO', 'share of the calls that are traced, 0 to 1', '0.1', '2', (value, all) =>
    keep(parseRatio(value), (sampleRatio) => changeTraces(all, { sampleRatio })),
  ),
];

/**
 * Settings with what the environment says in their place. Empty variables count as absent. Pure but for the working
 * folder, from which relative paths count.
 * @throws UserError that names the variable, also for what only goes together.
 */
export function applyEnvironment(settings: Settings, env: NodeJS.ProcessEnv): Settings {
  const all: Settings = { ...settings, extraKeys: [...settings.extraKeys] };
  const pieces: Pieces = {
    addresses: [],
    port: null,
    host: null,
    certificate: null,
    key: null,
    windowMs: null,
    maxRequests: null,
  };
  for (const { name, form, example, take } of environmentTable) {
    const value = env[name]?.trim() ?? '';
    if (value === '') continue;
    const problem = take(value, all, pieces);
    if (problem === null) continue;
    // Never the value itself: it may be a key that stands in the wrong variable.
    throw new UserError(`The environment variable ${name} cannot be used`, {
      why: `It ${problem}.`,
      next: `Set it like ${name}=${example} (${form}), or unset it.`,
    });
  }
  placeAddresses(all, pieces);
  placeTls(all, pieces);
  if (pieces.windowMs !== null || pieces.maxRequests !== null) {
    const requests = pieces.maxRequests ?? 100;
    const windowMs = pieces.windowMs ?? 900_000;
    const perAddress = { requests, windowSeconds: windowMs / 1_000, windowMs, form: 'fixed-window' as const };
    // Servers with this pair have no other limit, and tell on every answer what is left.
    change(all, 'limits', { perKey: 'off', perAddress, headers: 'separate' });
  }
  return all;
}

/** Whether the environment alone says that something is to be served. Names that any program may have do not count. */
export function asksToServe(env: NodeJS.ProcessEnv): boolean {
  return environmentTable.some(({ name }) => name.startsWith('MCP_') && (env[name] ?? '') !== '');
}

/** The table as lines of the help. Pure. */
export function describeEnvironment(): string {
  const width = Math.max(...environmentTable.map(({ name, form }) => name.length + form.length)) + 3;
  return environmentTable.map(({ name, form, meaning }) => `  ${`${name}=${form}`.padEnd(width)}${meaning}\n`).join('');
}

function placeAddresses(all: Settings, { addresses, port, host }: Pieces): void {
  if (addresses.length > 0) {
    change(all, 'server', { listen: addresses });
  } else if (port !== null || host !== null) {
    const [first = ''] = [all.deployment.server.listen].flat();
    const colon = first.startsWith('unix:') ? -1 : first.lastIndexOf(':');
    const listen = `${host ?? (colon === -1 ? 'localhost' : first.slice(0, colon))}:${port?.port ?? (colon === -1 ? 8080 : first.slice(colon + 1))}`;
    change(all, 'server', { listen });
  }
}

function placeTls(all: Settings, { certificate, key }: Pieces): void {
  if (certificate === null && key === null) return;
  if (certificate === null || key === null) {
    const [given, missing] =
      certificate === null ? ['MCP_TLS_KEY_FILE', 'MCP_TLS_CERT_FILE'] : ['MCP_TLS_CERT_FILE', 'MCP_TLS_KEY_FILE'];
    throw new UserError(`The environment variable ${given} cannot be used alone`, {
      why: `A certificate needs its key: ${missing} is not set.`,
      next: 'Set both, or neither for plain HTTP on loopback.',
    });
  }
  all.deployment = { ...all.deployment, tls: { source: 'files', certificate, key } };
}

type Section = 'server' | 'auth' | 'limits' | 'logs';

function change<Name extends Section>(all: Settings, section: Name, part: Partial<Deployment[Name]>): void {
  all.deployment = { ...all.deployment, [section]: { ...all.deployment[section], ...part } };
}

/** Those that are off stay off. */
function changeBreakers(all: Settings, part: { failures?: number; resetSeconds?: number }): void {
  const { upstreams, tools } = all.deployment.server;
  change(all, 'server', { upstreams: withBreakers(upstreams, part), tools: withBreakers(tools, part) });
}

function withBreakers<One extends { readonly breaker: BreakerSetting }>(
  named: Readonly<Record<string, One>>,
  part: { failures?: number; resetSeconds?: number },
): Record<string, One> {
  const changed = ([name, one]: [string, One]) =>
    [name, one.breaker === 'off' ? one : { ...one, breaker: { ...one.breaker, ...part } }] as const;
  return Object.fromEntries(Object.entries(named).map(changed));
}

function keep<Value>(parsed: Parsed<Value>, put: (value: Value) => unknown): string | null {
  if ('problem' in parsed) return parsed.problem;
  put(parsed.value);
  return null;
}

function row(
  name: string,
  form: string,
  meaning: string,
  example: string,
  unusable: string | null,
  take: EnvironmentRow['take'],
): EnvironmentRow {
  return { name, form, meaning, example, unusable, take };
}

/** Names that people have set for other servers: here they need not be taken away, and change nothing. */
function noEffectRow(name: string, form: string, meaning: string, example: string): EnvironmentRow {
  return row(name, form, meaning, example, null, () => null);
}

function portRow(name: string, rank: number, meaning: string): EnvironmentRow {
  return row(name, 'PORT', meaning, '3001', '99999', (value, _, pieces) =>
    keep(parsePort(value), (port) => {
      if (pieces.port === null || pieces.port.rank < rank) pieces.port = { rank, port };
    }),
  );
}

function auditRow(name: string, meaning: string): EnvironmentRow {
  return row(name, 'FILE', meaning, 'audit.jsonl', null, (value, all) => {
    change(all, 'logs', { audit: value === 'off' ? 'off' : resolve(value) });
    return null;
  });
}

function heartbeatRow(name: string): EnvironmentRow {
  return row(name, 'SECONDS', 'comment line on silent streams', '30s', 'often', (value, all) =>
    keep(parseSeconds(value, 1, 0.05, 3_600), (keepAliveSeconds) => change(all, 'server', { keepAliveSeconds })),
  );
}

function sendTraces(all: Settings, endpoint: string): null {
  const { traces } = all.deployment.logs;
  const others = traces === 'off' ? { headers: {}, sampleRatio: 1, everyMs: 5_000 } : traces;
  change(all, 'logs', { traces: { ...others, endpoint } });
  return null;
}

/** What is said of traces counts only where there is somebody to send them to. */
function changeTraces(all: Settings, part: Partial<Exclude<Deployment['logs']['traces'], 'off'>>): void {
  const { traces } = all.deployment.logs;
  if (traces !== 'off') change(all, 'logs', { traces: { ...traces, ...part } });
}

function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

function isOrigin(text: string): boolean {
  if (URL.canParse(text) && new URL(text).origin === text) return true;
  return /^(?!https?:)[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/.test(text);
}
