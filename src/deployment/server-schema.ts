import { z } from 'zod';
import { cacheSchema } from './cache-schema.ts';
import { httpUpstreamSchema } from './http-upstream-schema.ts';
import { listenAddress } from './listen-schema.ts';
import { replicaName } from './proxy-schema.ts';
import { slug } from './slug-schema.ts';
import { stdioUpstreamSchema } from './stdio-upstream-schema.ts';
import { contentSchema, denyPatterns, toolName, toolSchema } from './tool-schema.ts';

const httpPath = z
  .string()
  .regex(/^\/[A-Za-z0-9._~/-]*[A-Za-z0-9._~-]$/, 'start with / and do not end with /, for example /mcp');

const corsHeaderName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'+.^_`|~-]{1,100}$/, 'write the name of a header, for example: X-Session-ID');

/** More processes than this have no cores to run on. */
export const mostWorkers = 64;

/** `server` of mcp-deploy.yaml: where it listens, what stands behind it, and who may come near. */
export const serverSchema = z.strictObject({
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
