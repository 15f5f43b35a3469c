import { z } from 'zod';

/** How long a call of an upstream may take and how many run at once, whatever kind of upstream it is. */
export const callSettings = {
  callSeconds: z.number().positive().max(86_400).default(300).describe('how long one call may take'),
  maxConcurrency: z
    .int()
    .min(1)
    .max(10_000)
    .default(256)
    .describe('calls in flight at once; more wait in a bounded queue'),
};

/** Less time for calls of some tools. */
export const toolSecondsSchema = z
  .record(
    z.string().regex(/^[\x21-\x7e]{1,128}$/, 'use 1 to 128 printable characters; * stands for any run of them'),
    z.number().positive().max(86_400),
  )
  .optional()
  .describe("how long calls of some tools may take, shorter than callSeconds: the upstream's names, which may hold *");

/** Variables of a program that the server starts: an upstream, or the command of a tool. */
export const childEnvironment = z
  .record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'use letters, digits and _, not starting with a digit'),
    z.string(),
  )
  .default({})
  .describe(
    'its environment beside PATH, HOME, LANG, TMPDIR, proxies and CAs; ${NAME} is filled when the server starts',
  );
