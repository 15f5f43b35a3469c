import { z } from 'zod';

const rule = z.strictObject({
  ttlSeconds: z.number().positive().max(86_400).describe('how long an answer is kept'),
  public: z.boolean().default(false).describe('true: one answer for all keys; false: each key has its own'),
});

const pattern = z
  .string()
  .regex(/^[\x21-\x7e]{1,256}$/, 'use 1 to 256 printable characters; * stands for any run of them');

/** Which answers are kept for a while instead of asking an upstream again. */
export const cacheSchema = z
  .union([
    z.strictObject({
      tools: z
        .record(pattern, rule)
        .default({})
        .describe('by name; a pattern with * takes only tools whose annotations say readOnlyHint: true'),
      resources: z.record(pattern, rule).default({}).describe('by URI, which may hold *'),
      maxMegabytes: z.number().positive().max(65_536).default(64).describe('of all kept answers; the oldest go'),
      store: z
        .enum(['memory', 'redis'])
        .default('memory')
        .describe('redis: replicas give each other their answers, through the Redis of `redis`'),
      storeWaitMs: z
        .int()
        .min(1)
        .max(1_000)
        .default(25)
        .describe('with redis: a call waits this long for what a replica may have kept, then the upstream is asked'),
      maxEntries: z.int().min(1).max(10_000_000).default(10_000).describe('kept answers'),
    }),
    z.literal('off'),
  ])
  .default('off')
  .describe('answers of upstreams that are kept for a while; off = none');

export type CacheSetting = z.output<typeof cacheSchema>;
