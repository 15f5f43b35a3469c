import { z } from 'zod';
import { breakerSchema } from './breaker-schema.ts';
import { callSettings, childEnvironment, toolSecondsSchema } from './upstream-settings.ts';

/** Processes of an upstream whose clients have one each. */
export const defaultMaxInstances = 64;

/** A program started by the server that speaks MCP on its standard input and output. */
export const stdioUpstreamSchema = z.strictObject({
  command: z
    .string()
    .min(1, 'give the program to start, for example: npx')
    .describe('program to start (found on PATH)'),
  args: z.array(z.string()).default([]).describe('its arguments, one item each; no shell is involved'),
  env: childEnvironment,
  cwd: z.string().optional().describe('folder to start it in; the folder of this file by default'),
  instances: z
    .enum(['shared', 'per-session', 'per-key'])
    .default('shared')
    .describe('one process for all clients (quick), or one per client session, or one per key'),
  startSeconds: z.number().positive().max(600).default(60).describe('how long it may take until it answers initialize'),
  ...callSettings,
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

/** One of them, every default filled in. */
export type StdioUpstream = z.output<typeof stdioUpstreamSchema>;
