import { z } from 'zod';
import { breakerSchema } from './breaker-schema.ts';
import { headerName } from './http-upstream-schema.ts';
import { childEnvironment } from './upstream-settings.ts';

/** A JSON Schema (draft 2020-12), as written. */
const jsonSchema = z.record(z.string(), z.unknown());

const about = {
  description: z.string().min(1, 'say what the tool does; the model chooses by it').describe('what the tool does'),
  inputSchema: jsonSchema
    .default({ type: 'object', properties: {}, additionalProperties: false })
    .describe('JSON Schema 2020-12 of its arguments'),
  outputSchema: jsonSchema.optional().describe('JSON Schema 2020-12 of its structured result'),
  annotations: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('hints for clients: readOnlyHint, destructiveHint, idempotentHint, openWorldHint, title'),
  breaker: breakerSchema,
  tier: z
    .enum(['auto', 'confirm', 'forbidden'])
    .default('auto')
    .describe('auto = runs; confirm = the user of the client is asked before each call; forbidden = never runs'),
};

const timeoutSeconds = z.number().positive().max(3_600).default(30).describe('how long one call may take');

const httpCall = z.strictObject({
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).default('GET').describe('HTTP method'),
  url: z
    .string()
    .regex(/^https?:\/\/[^/?#{}\s]+(?:[/?].*)?$/, 'write http:// or https://, a fixed host, then the path')
    .describe('where to; {{name}} in its path or query is replaced by the argument, percent-encoded'),
  headers: z
    .record(headerName, z.string())
    .default({})
    .describe('headers; {{name}} is replaced by the argument, ${NAME} from the environment when the server starts'),
  caFile: z
    .string()
    .min(1, 'give the path of a PEM file')
    .optional()
    .describe('PEM file of the authority that signed its certificate, beside the well-known ones'),
  body: z.unknown().optional().describe('JSON body; "{{name}}" is replaced by the argument; all arguments by default'),
  timeoutSeconds,
});

/** Globs, not regular expressions: what a client sends is matched in one pass, whatever the pattern. */
export const denyPatterns = z
  .array(z.string().min(1, 'give the beginning of a command line, for example: rm -rf*').max(500))
  .max(200)
  .default([]);

const commandCall = z.strictObject({
  command: z.string().min(1, 'give the program to run').describe('program to run (found on PATH)'),
  args: z
    .array(z.string())
    .default([])
    .describe('its arguments, no shell is involved; {{name}} is replaced by the argument of the call'),
  env: childEnvironment,
  cwd: z.string().optional().describe('folder to run it in; the folder of this file by default'),
  timeoutSeconds,
  maxOutputBytes: z.int().min(1).max(1_073_741_824).default(1_048_576).describe('what it may print; more is an error'),
  deny: denyPatterns.describe('a call whose command line matches one is refused; * stands for any characters'),
});

const moduleCall = z.strictObject({
  path: z.string().min(1, 'give the path of a JavaScript module').describe('JavaScript module (ESM)'),
  export: z.string().min(1, 'give the name of an export').default('default').describe('the function in it'),
  timeoutSeconds,
});

/** A module with the resources and prompts of the endpoint itself. */
export const contentSchema = z.strictObject({
  path: z.string().min(1, 'give the path of a JavaScript module').describe('JavaScript module (ESM)'),
  timeoutSeconds,
});
export type ContentModule = z.output<typeof contentSchema>;

/** A tool that the deployment itself declares: an HTTP request, a command or a function. */
export const toolSchema = z.union([
  z.strictObject({ ...about, http: httpCall.describe('an HTTP request') }),
  z.strictObject({ ...about, command: commandCall.describe('a program, without a shell') }),
  z.strictObject({ ...about, module: moduleCall.describe('a JavaScript function') }),
]);

/** Name of a tool (MCP 2025-11-25, "Tool Names"). */
export const toolName = z.string().regex(/^[A-Za-z0-9_.-]{1,128}$/, 'use 1 to 128 of A-Z, a-z, 0-9, _, - and .');

export type DeclaredTool = z.output<typeof toolSchema>;
export type HttpToolCall = z.output<typeof httpCall>;
export type CommandToolCall = z.output<typeof commandCall>;
export type ModuleToolCall = z.output<typeof moduleCall>;
