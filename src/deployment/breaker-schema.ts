import { z } from 'zod';

/** When calls that keep failing are held back, so that what is ill is left alone. */
export const breakerSchema = z
  .union([
    z.strictObject({
      failures: z.int().min(1).max(1_000_000).default(5).describe('calls in a row that fail until no more are sent'),
      resetSeconds: z.number().positive().max(86_400).default(60).describe('so long none is sent, then a few to try'),
      trials: z.int().min(1).max(1_000).default(1).describe('calls that are sent to try; they have to go well'),
    }),
    z.literal('off'),
  ])
  .prefault({})
  .describe('circuit breaker: after many failures in a row calls are answered with an error at once; off = never');

export type BreakerSetting = z.output<typeof breakerSchema>;
