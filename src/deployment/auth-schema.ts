import { z } from 'zod';

/** Names that limits are chosen by. */
const tier = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'use 1 to 40 of a-z, 0-9 and -');

const toolPatterns = z
  .array(
    z.string().regex(/^[\x21-\x2b\x2d-\x7e]{1,128}$/, 'write the name of a tool; * stands for any characters: search*'),
  )
  .min(1)
  .max(200);

const upstreamNames = z
  .array(z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/, 'write the name of an upstream'))
  .min(1)
  .max(200);

/** What an identity may reach; the same for keys and mapped certificates. */
const powers = {
  tools: toolPatterns.optional().describe('tools that it may see and call, e.g. search*; every tool by default'),
  upstreams: upstreamNames.optional().describe('upstreams that it may reach; every one by default'),
  tier: tier.optional().describe('name that limits are chosen by'),
};

const label = z
  .string()
  .regex(
    /^[A-Za-z0-9._@](?:[A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9._@-])?$/,
    'use 1 to 64 of letters, digits, space and . _ @ -, with no space at either end',
  );

const keySchema = z.strictObject({
  label: label.describe('who uses it, as the audit names it'),
  secret: z
    .string()
    .regex(
      /^(?:(?:file|exec):.*\S.*|.*\$\{[^{}]+\}.*)$/s,
      'say where the key is kept, never the key: file:PATH, exec:COMMAND or ${NAME}',
    )
    .describe('where the key is kept: file:PATH, exec:COMMAND ARGS (no shell) or ${NAME}; read by the server alone'),
  ...powers,
  expires: z.iso
    .datetime({ offset: true, error: 'write a time like 2030-01-31T00:00:00Z' })
    .optional()
    .describe('when it stops working'),
});

/** Who may call. */
export const authSchema = z.strictObject({
  required: z.boolean().default(true).describe('false lets everyone in; loopback only'),
  keys: z
    .array(keySchema)
    .max(1_000)
    .default([])
    .describe('keys that are kept elsewhere, beside those of mcp-deploy keys'),
});

export type Auth = z.output<typeof authSchema>;
