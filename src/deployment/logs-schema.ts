import { z } from 'zod';
import { headerName } from './http-upstream-schema.ts';

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

/** `logs` of mcp-deploy.yaml: log, audit file and traces. */
export const logsSchema = z
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
  .prefault({});
