import { z } from 'zod';
import { breakerSchema } from './breaker-schema.ts';
import { callSettings, toolSecondsSchema } from './upstream-settings.ts';

/** Name of a header (RFC 9110, token). */
export const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'use the characters of a header name, for example: Authorization');

/** An MCP server that is reached over Streamable HTTP. */
export const httpUpstreamSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: 'write a full URL, for example https://mcp.example.com/mcp' })
    .describe('its MCP endpoint'),
  headers: z
    .record(headerName, z.string())
    .default({})
    .describe("sent with every request, such as the gateway's own key; ${NAME} is filled when the server starts"),
  caFile: z
    .string()
    .min(1, 'give the path of a PEM file')
    .optional()
    .describe('PEM file of the authority that signed its certificate, beside the well-known ones'),
  startSeconds: z.number().positive().max(600).default(30).describe('how long it may take until it answers'),
  ...callSettings,
  toolSeconds: toolSecondsSchema,
  breaker: breakerSchema,
});

export type HttpUpstream = z.output<typeof httpUpstreamSchema>;
