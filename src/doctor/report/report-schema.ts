import { z } from 'zod';
import { categories, hops } from '../types.ts';

const code = z
  .string()
  .regex(/^[a-z]+\/[a-z0-9-]+$/)
  .describe('permanent; docs/findings.md has a section for each');

const findingSchema = z.strictObject({
  code,
  severity: z.enum(['error', 'warning']),
  hop: z.enum(hops).describe('the place on the way that has to be mended'),
  title: z.string(),
  cause: z.string().describe('one sentence, or "undetermined"'),
  evidence: z.array(z.strictObject({ source: z.string(), observed: z.string(), expected: z.string() })),
  fix: z.strictObject({
    summary: z.string(),
    commands: z.array(z.string()),
    diff: z.string().optional(),
  }),
});

/** What `doctor --json` writes; published as schema/doctor-report.schema.json. */
const doctorReportSchema = z.strictObject({
  ok: z.boolean().describe('no error, and everything whose failure would be one could be judged'),
  target: z.string(),
  rootCause: code.nullable().describe('the first error on the way from client to tool'),
  path: z.array(
    z.strictObject({
      hop: z.enum(hops),
      label: z.string(),
      state: z.enum(['ok', 'warning', 'error', 'unknown']),
    }),
  ),
  findings: z.array(findingSchema).describe('errors in the order of the way, then warnings'),
  passed: z.array(
    z.strictObject({ code, title: z.string(), category: z.enum(categories), detail: z.string().optional() }),
  ),
  notChecked: z.array(
    z.strictObject({
      code,
      kind: z.enum(['follows', 'not-applicable', 'not-tried', 'left-out', 'unknown']),
      reason: z.string(),
    }),
  ),
  durationMs: z.int().min(0),
});

/** schema/doctor-report.schema.json: JSON Schema, draft 7. */
export function doctorReportJsonSchema(): string {
  const { $schema, ...rest } = z.toJSONSchema(doctorReportSchema, { target: 'draft-7' });
  const document = { $schema, title: 'Report of mcp-deploy doctor --json', ...rest };
  return `${JSON.stringify(document, null, 2)}\n`;
}
