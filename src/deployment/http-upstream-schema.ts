import { z } from 'zod';
import { breakerSchema } from './breaker-schema.ts';

/** Name of a header (RFC 9110, token). */
export const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'use the characters of a header name, for example: Authorization');

/** Less time for calls of some tools. */
export const toolSecondsSchema = z
  .record(
    z.string().regex(/^[\x21-\x7e]{1,128}$/, 'use 1 to 128 printable characters; * stands for any run of them'),
    z.number().positive().max(86_400),
  )
  .optional()
  .describe("how long calls of some tools may take, shorter than callSeconds: the upstream's names, which may hold *");

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
  callSeconds: z.number().positive().max(86_400).default(300).describe('how long one call may take'),
  maxConcurrency: z
    .int()
    .min(1)
    .max(10_000)
    .default(256)
    .describe('calls in flight at once; more wait in a bounded queue'),
  toolSeconds: toolSecondsSchema,
  breaker: breakerSchema,
});

export type HttpUpstream = z.output<typeof httpUpstreamSchema>;
