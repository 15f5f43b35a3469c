import { z } from 'zod';
import { authSchema } from './auth-schema.ts';
import { backupSchema } from './backup-schema.ts';
import { breakerSchema } from './breaker-schema.ts';
import { cacheSchema } from './cache-schema.ts';
import { acmeTlsSchema } from './acme-schema.ts';
import { containerSchema } from './container-schema.ts';
import { hostsSchema } from './hosts-schema.ts';
import { headerName, httpUpstreamSchema, toolSecondsSchema } from './http-upstream-schema.ts';
import { limitsSchema } from './limits-schema.ts';
import { proxySchema, replicaName } from './proxy-schema.ts';
import { redisSchema } from './redis-schema.ts';
import { serviceLimits } from './service-schema.ts';
import { contentSchema, denyPatterns, toolName, toolSchema } from './tool-schema.ts';

/**
 * The shape of `mcp-deploy.yaml`: the one file that says what the user wants.
 * Every setting has a default, so that `version: 1` alone is a deployment.
 * Objects are strict: an unknown setting is a mistake to name, never ignored.
 * `describe()` texts become the comments of the written file and the
 * descriptions of schema/mcp-deploy.schema.json.
 */

/** Names that end up in file names, unit names and metric labels. */
const slug = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'use 1 to 40 of a-z, 0-9 and -, not starting or ending with -');

/** `host:port`, `[v6]:port`, `:port` (all addresses) or `unix:/path`. `localhost:port` means both loopback addresses. */
export const listenAddress = z
  .string()
  .regex(
    /^(?:unix:\/.+|(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.*-]*):[0-9]{1,5})$/,
    'write host:port, [IPv6]:port or unix:/path, for example localhost:8443',
  );

/** Processes of an upstream whose clients have one each. */
export const defaultMaxInstances = 64;

/** A program started by the server that speaks MCP on its standard input and output. */
export const stdioUpstreamSchema = z.strictObject({
  command: z
    .string()
    .min(1, 'give the program to start, for example: npx')
    .describe('program to start (found on PATH)'),
  args: z.array(z.string()).default([]).describe('its arguments, one item each; no shell is involved'),
  env: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'use letters, digits and _, not starting with a digit'),
      z.string(),
    )
    .default({})
    .describe(
      'its environment beside PATH, HOME, LANG, TMPDIR, proxies and CAs; ${NAME} is filled when the server starts',
    ),
  cwd: z.string().optional().describe('folder to start it in; the folder of this file by default'),
  instances: z
    .enum(['shared', 'per-session', 'per-key'])
    .default('shared')
    .describe('one process for all clients (quick), or one per client session, or one per key'),
  startSeconds: z.number().positive().max(600).default(60).describe('how long it may take until it answers initialize'),
  callSeconds: z.number().positive().max(86_400).default(300).describe('how long one call may take'),
  maxConcurrency: z
    .int()
    .min(1)
    .max(10_000)
    .default(256)
    .describe('calls in flight at once; more wait in a bounded queue'),
  maxInstances: z
    .int()
    .min(1)
    .max(10_000)
    .optional()
    .describe('processes at once with per-session or per-key, 64 by default; who finds no place within 5 s gets 503'),
  warm: z
    .int()
    .min(0)
    .max(1_000)
    .optional()
    .describe('processes started before they are asked for, with per-session or per-key'),
  maxMemoryMegabytes: z
    .int()
    .min(1)
    .max(16_777_216)
    .optional()
    .describe('memory of one process and all it starts (Linux); over it, another takes its place'),
  toolSeconds: toolSecondsSchema,
  breaker: breakerSchema,
});

const httpPath = z
  .string()
  .regex(/^\/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]$/, 'start with / and do not end with /, for example /mcp');

const corsHeaderName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'+.^_`|~-]{1,100}$/, 'write the name of a header, for example: X-Session-ID');

/** More processes than this have no cores to run on. */
export const mostWorkers = 64;

const serverSchema = z.strictObject({
  listen: z
    .union([listenAddress, z.array(listenAddress).min(1)])
    .default('localhost:8443')
    .describe('where to listen; localhost means 127.0.0.1 and ::1'),
  workers: z
    .union([z.int().min(1).max(mostWorkers), z.literal('auto')])
    .default(1)
    .describe('processes that share the work behind one port; auto = one for each core'),
  replica: replicaName
    .optional()
    .describe(
      'name of this server among those of proxy.servers, on its own machine MCP_REPLICA; session ids end with it, so that proxies find it',
    ),
  path: httpPath.default('/mcp').describe('path of the MCP endpoint; both eras of the protocol answer there'),
  aliases: z
    .array(httpPath)
    .default([])
    .describe('further paths of the same endpoint, for clients that were set up for another server, e.g. /message'),
  legacySse: z
    .union([
      z.literal('off'),
      z.strictObject({
        sse: httpPath.default('/sse').describe('path of the event stream (GET)'),
        messages: httpPath.default('/messages').describe('path that messages are posted to'),
      }),
    ])
    .default('off')
    .describe('the HTTP+SSE transport of 2024-11-05 beside the endpoint, for clients that know no other; off = none'),
  toolPath: z
    .string()
    .regex(
      /^(?:off|\/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-])$/,
      'write off, or a path that starts with /, for example /tools',
    )
    .default('off')
    .describe(
      'path where programs without MCP call tools: POST /tools/NAME with the arguments as JSON, GET /tools lists them; off = none',
    ),
  metrics: z.boolean().default(true).describe('whether /metrics answers'),
  health: z
    .strictObject({
      path: httpPath.default('/health').describe('a path beside /health that answers the same, e.g. /healthz'),
      form: z
        .enum(['status', 'text', 'checks'])
        .default('status')
        .describe(
          'status = {"status":"ok"}; text = OK; checks = JSON with timestamp, uptime, memory and a check for each upstream, 503 when one fails',
        ),
    })
    .prefault({}),
  metricsFrom: z
    .array(z.string())
    .default(['loopback'])
    .describe('who may read /metrics without a key: addresses (CIDR); loopback does not count behind a proxy'),
  metricsListen: listenAddress
    .optional()
    .describe('address for /metrics alone, plain HTTP, in place of the main one; metricsFrom says who may read'),
  statusListen: listenAddress
    .optional()
    .describe('address of this machine for /status beside the main one, plain HTTP'),
  healthListen: listenAddress
    .optional()
    .describe('address for /health, /livez and /readyz beside the main one, plain HTTP'),
  publicUrl: z
    .url({ protocol: /^https?$/, error: 'write a full URL, for example https://mcp.example.com/mcp' })
    .optional()
    .describe('URL that clients use, when a proxy stands in front'),
  upstreams: z
    .record(slug, z.union([stdioUpstreamSchema, httpUpstreamSchema]))
    .default({})
    .describe('the MCP servers behind this endpoint'),
  tools: z.record(toolName, toolSchema).default({}).describe('tools of this endpoint itself, without an MCP server'),
  safety: z
    .strictObject({
      deny: denyPatterns.describe(
        'no command tool runs with a command line that matches one, e.g. "rm -rf*"; * stands for any characters',
      ),
      approvalSeconds: z
        .number()
        .positive()
        .max(600)
        .default(120)
        .describe('how long the user of a client may think about a tool of tier confirm; then the call is refused'),
    })
    .prefault({}),
  content: contentSchema
    .optional()
    .describe('module that exports resources, prompts and completions of this endpoint itself'),
  cache: cacheSchema,
  compression: z
    .enum(['off', 'auto'])
    .default('off')
    .describe('JSON answers above 1 KB in the coding that the client takes; event streams never'),
  idleConnectionSeconds: z
    .number()
    .min(5)
    .max(3_600)
    .default(80)
    .describe('how long a connection without requests is kept; longer than the proxy in front keeps it'),
  builtinTools: z
    .enum(['auto', 'on', 'off'])
    .default('auto')
    .describe('server_info, echo and current_time; auto = only while there is no upstream and no tool'),
  allowedHosts: z
    .array(z.string())
    .default([])
    .describe('Host names accepted beside the certificate names and the listen addresses'),
  allowedOrigins: z
    .array(z.string())
    .default([])
    .describe('browser origins that may call, exact; none by default; * = every page, only where keys are required'),
  cors: z
    .strictObject({
      allowHeaders: z
        .array(corsHeaderName)
        .default([])
        .describe('headers that pages may send beside those of the protocol, e.g. X-Session-ID'),
      exposeHeaders: z
        .array(corsHeaderName)
        .default([])
        .describe('headers that pages may read beside those of the protocol'),
      maxAgeSeconds: z.int().min(0).max(86_400).default(86_400).describe('how long a browser keeps a preflight'),
    })
    .prefault({})
    .describe('what pages of allowedOrigins may do; they never send cookies'),
  allowFrom: z
    .array(z.string())
    .default([])
    .describe('addresses (CIDR, or loopback) that may connect; empty = all; others get 403 before a key is looked at'),
  denyFrom: z.array(z.string()).default([]).describe('addresses (CIDR) that may not connect, whatever allowFrom says'),
  healthFrom: z
    .union([z.literal('everyone'), z.array(z.string()).min(1)])
    .default('everyone')
    .describe('who may ask /livez, /readyz and /health, whatever allowFrom says: everyone, or addresses (CIDR)'),
  info: z
    .boolean()
    .default(false)
    .describe('whether a plain GET of the endpoint tells name, version and paths, also without a key'),
  page: z
    .boolean()
    .default(false)
    .describe('a page for browsers at / and at the endpoint: how to connect each client, and live numbers for a key'),
  trustedProxies: z.array(z.string()).default([]).describe('addresses (CIDR) whose X-Forwarded-For is believed'),
  proxyProtocol: z
    .enum(['off', 'optional', 'required'])
    .default('off')
    .describe(
      'connections begin with a PROXY protocol header (v1, v2) of one of trustedProxies; optional = also without one',
    ),
  tlsProfile: z
    .enum(['intermediate', 'modern'])
    .default('intermediate')
    .describe("Mozilla's names: intermediate = TLS 1.2 and 1.3, modern = TLS 1.3 alone"),
  behindProxy: z.boolean().default(false).describe('true when a proxy ends TLS in front of this server'),
  sessions: z
    .strictObject({
      idleSeconds: z.int().min(5).max(86_400).default(1_800).describe('a legacy session ends after this silence'),
      max: z.int().min(1).max(1_000_000).default(10_000).describe('open legacy sessions at once'),
      store: z
        .enum(['memory', 'redis'])
        .default('memory')
        .describe('redis: another replica goes on with a session whose server is gone, through the Redis of `redis`'),
    })
    .prefault({}),
  keepAliveSeconds: z
    .number()
    .positive()
    .max(3_600)
    .default(15)
    .describe('comment line on open streams, so that no proxy cuts them'),
  drainSeconds: z.number().min(0).max(3_600).default(30).describe('how long calls in flight may finish on stop'),
});

const tlsSchema = z.discriminatedUnion('source', [
  z.strictObject({
    source: z.literal('private-ca').describe('a private certificate authority made for this deployment'),
    names: z
      .array(z.string().min(1, 'give a DNS name or an IP address'))
      .min(1)
      .optional()
      .describe('DNS names and IP addresses of the certificate'),
    validDays: z.int().min(1).max(824).default(397).describe('life of the server certificate in days'),
  }),
  z.strictObject({
    source: z.literal('files').describe('a certificate you already have'),
    certificate: z
      .string()
      .min(1, 'give the path of a PEM file')
      .describe('PEM file: the certificate, then its intermediates'),
    key: z.string().min(1, 'give the path of a PEM file').describe('PEM file: its private key, mode 0600'),
  }),
  acmeTlsSchema,
  z.strictObject({ source: z.literal('off').describe('plain HTTP, on loopback or behind a proxy only') }),
]);

const tracesSchema = z.strictObject({
  endpoint: z
    .url({ protocol: /^https?$/, error: 'write a full URL, for example http://localhost:4318/v1/traces' })
    .describe('URL that spans are posted to as OTLP in JSON, e.g. http://localhost:4318/v1/traces'),
  headers: z
    .record(headerName, z.string())
    .default({})
    .describe('sent along; secrets as ${NAME}, ${file:PATH} or ${exec:COMMAND}'),
  sampleRatio: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe('share of the calls that are traced, 0 to 1; a call whose caller has decided follows its caller'),
  serviceName: z
    .string()
    .min(1, 'give a name, for example: tools-gateway')
    .max(255)
    .optional()
    .describe('service.name; the name of the deployment by default'),
  caFile: z.string().min(1, 'give the path of a PEM file').optional().describe('CA of the collector, PEM'),
  everyMs: z.int().min(1).max(60_000).default(5_000).describe('how long spans wait for each other'),
});

export const deploymentSchema = z.strictObject({
  version: z.literal(1).describe('format of this file'),
  name: slug.default('mcp').describe('names the service, its folders and its unit'),
  server: serverSchema.prefault({}),
  tls: tlsSchema.default({ source: 'private-ca', validDays: 397 }),
  auth: authSchema.prefault({}),
  limits: limitsSchema.prefault({}),
  redis: redisSchema.default('off').describe('what replicas of this deployment share; off = nothing'),
  logs: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('what the server writes to its log'),
      audit: z
        .string()
        .min(1, 'give the path of a file, or off')
        .default('off')
        .describe('file with a JSON line for every call and every refused request; off = none'),
      file: z
        .string()
        .min(1, 'give the path of a file')
        .optional()
        .describe('file of the log; .mcp-deploy/logs/server.log after up, standard error with serve'),
      rotate: z
        .union([
          z.literal('off'),
          z.strictObject({
            megabytes: z.number().positive().max(1_000_000).default(20).describe('the log is moved away at this size'),
            keep: z.int().min(1).max(100_000).default(5).describe('how many old logs are kept'),
          }),
        ])
        .prefault({})
        .describe('when the log file is moved away; off = something else does it'),
      errorHook: z
        .union([
          z.literal('off'),
          z.strictObject({
            command: z.array(z.string()).min(1, 'give the program to run').describe('program and arguments, no shell'),
            everySeconds: z.number().min(0).max(86_400).default(10).describe('at least this long between two runs'),
          }),
          z.strictObject({
            url: z
              .url({ protocol: /^https?$/, error: 'write a full URL, for example https://hooks.example.com/mcp' })
              .describe('address that the log line is posted to'),
            everySeconds: z.number().min(0).max(86_400).default(10).describe('at least this long between two posts'),
          }),
        ])
        .default('off')
        .describe('told of every error in the log: a command gets the line on its input, a URL gets it as a POST'),
      traces: z
        .union([z.literal('off'), tracesSchema])
        .default('off')
        .describe('a span for every call and for the part of its upstream, to an OpenTelemetry collector; off = none'),
      auditFlushMs: z
        .int()
        .min(1)
        .max(60_000)
        .default(100)
        .describe('how long audit lines wait for each other: what a kill -9 can cost'),
      auditFailure: z
        .enum(['fail-open', 'fail-closed'])
        .default('fail-open')
        .describe(
          'when audit lines cannot be written: fail-open lets calls go on and counts lost lines, fail-closed answers calls with 503',
        ),
      auditRotate: z
        .union([
          z.literal('off'),
          z.strictObject({
            megabytes: z.number().positive().max(1_000_000).default(100).describe('a file is moved away at this size'),
            days: z.number().positive().max(3_660).default(30).describe('or at this age of its first line'),
            keep: z
              .union([z.literal('all'), z.int().min(1).max(100_000)])
              .default('all')
              .describe('how many old files are kept; all = none is ever removed'),
            gzip: z.boolean().default(false).describe('compress old files, all but the newest'),
          }),
        ])
        .prefault({})
        .describe('when the audit file is moved away; off = something else does it, and sends SIGHUP'),
      auditKeyFile: z
        .string()
        .min(1, 'give the path of a file')
        .optional()
        .describe('file with a secret: only who has it can write a valid chain of audit lines'),
    })
    .prefault({}),
  proxy: proxySchema.prefault({}),
  service: z
    .strictObject({
      manager: z
        .enum(['none', 'systemd', 'systemd-user', 'launchd', 'docker', 'swarm', 'kubernetes'])
        .default('none')
        .describe(
          'systemd = apply installs a service of the host below /etc, /opt and /var; systemd-user, launchd = one of yours, without root; docker = containers of Docker Compose; swarm = a stack of the Docker Swarm that this engine manages; kubernetes = a Deployment in a cluster that kubectl reaches; none = a process of this folder',
        ),
      trial: z
        .boolean()
        .default(true)
        .describe(
          'a new release is started beside the running one first; false for upstreams of which there may be only one',
        ),
      keepReleases: z.int().min(2).max(1_000).default(10).describe('how many releases are kept to roll back to'),
      user: z
        .string()
        .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'use 1 to 32 of a-z, 0-9, - and _, starting with a letter or _')
        .default('mcp')
        .describe('system user that runs the server under systemd'),
      ...serviceLimits,
    })
    .prefault({}),
  hosts: hostsSchema,
  container: containerSchema.prefault({}),
  backup: backupSchema.describe('what mcp-deploy backup keeps, for how long, and who can open it'),
});

/** What may be written in the file: everything but `version` can be left out. */
export type DeploymentInput = z.input<typeof deploymentSchema>;
/** What the user wants, every default filled in. */
export type Deployment = z.output<typeof deploymentSchema>;
export type StdioUpstream = z.output<typeof stdioUpstreamSchema>;
export type Upstream = Deployment['server']['upstreams'][string];
export type { RateLimit } from './limits-schema.ts';
