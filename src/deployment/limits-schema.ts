import { z } from 'zod';

const rateSchema = z.strictObject({
  requests: z.int().min(1).max(100_000_000).describe('calls per window'),
  windowSeconds: z.number().positive().max(86_400).default(60).describe('length of the window'),
  windowMs: z.int().min(1).max(86_400_000).optional().describe('its length in milliseconds, in place of windowSeconds'),
  form: z
    .enum(['token-bucket', 'fixed-window'])
    .optional()
    .describe('token-bucket (default) refills evenly; fixed-window counts from a first call until the window ends'),
  burst: z
    .int()
    .min(1)
    .max(100_000_000)
    .optional()
    .describe('calls at once; a tenth of requests by default, at least 20'),
});

const rate = z.union([rateSchema, z.literal('off')]);

const calls = z.int().min(1).max(20_000);
const streams = z.int().min(1).max(1_000_000);

const tierSchema = z.strictObject({
  perKey: rate.optional().describe('in place of limits.perKey'),
  freePerKey: rate.optional().describe('in place of limits.freePerKey'),
  concurrencyPerKey: calls.optional().describe('in place of limits.concurrencyPerKey'),
  streamsPerKey: streams.optional().describe('in place of limits.streamsPerKey'),
});

const toolSchema = z.strictObject({
  rate: rate.default('off').describe('calls of the tools of this name or pattern, all of them together'),
  of: z.enum(['key', 'all']).default('key').describe('key = each key has the rate for itself; all = one for all keys'),
  concurrency: calls.optional().describe('calls of them in flight at once, of all keys together'),
});

/** How much may be asked for. */
export const limitsSchema = z.strictObject({
  perKey: rate
    .default({ requests: 1_200, windowSeconds: 60 })
    .describe('tool calls and reads of one key; lists and handshakes are free'),
  global: rate.default('off').describe('all keys together'),
  perAddress: rate.default('off').describe('one client address; of IPv6 one /64'),
  tiers: z
    .record(z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'use 1 to 40 of a-z, 0-9 and -'), tierSchema)
    .default({})
    .describe('other limits for keys of a tier, by its name'),
  perTool: z
    .record(
      z
        .string()
        .regex(/^[\x21-\x2b\x2d-\x7e]{1,128}$/, 'write the name of a tool; * stands for any characters: search*'),
      toolSchema,
    )
    .default({})
    .describe('limits of tools by name or pattern, beside those of the key; an exact name goes before patterns'),
  bodyBytes: z.int().min(1_024).max(1_073_741_824).default(4_194_304).describe('largest request body'),
  streamsPerKey: streams.default(1_000).describe('open event streams of one key'),
  freePerKey: rate
    .default({ requests: 60_000, windowSeconds: 60, burst: 10_000 })
    .describe('what perKey does not count, of one key: handshakes, lists, notifications, requests that are refused'),
  concurrencyPerKey: calls
    .default(1_000)
    .describe('calls of one key in flight at once; open event streams are not calls'),
  concurrency: calls.default(20_000).describe('calls of all keys together in flight at once; more get 429'),
  headers: z
    .enum(['refusals', 'standard', 'separate', 'legacy'])
    .default('refusals')
    .describe(
      'refusals = on 429 alone; standard = RateLimit on calls; separate, legacy = also RateLimit-…, X-RateLimit-…',
    ),
  unreadBytes: z
    .int()
    .min(1_048_576)
    .max(68_719_476_736)
    .default(268_435_456)
    .describe('what may wait for slow readers, all together; beyond it the largest and slowest are cut'),
});

export type RateLimit = z.output<typeof rateSchema>;
export type Limits = z.output<typeof limitsSchema>;
