import { z } from 'zod';
import { hops, type DoctorReport, type Finding } from '../types.ts';

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
    diff: z.string().nullable().describe('in the language of the program that is wrong, or null'),
  }),
});

const reportDocumentSchema = z.strictObject({
  ok: z.boolean().describe('no error, and everything whose failure would be one could be judged'),
  target: z.string(),
  rootCause: code.nullable().describe('the first error on the way from client to tool'),
  findings: z.array(findingSchema).describe('errors in the order of the way, then warnings'),
  passed: z.array(z.strictObject({ code, title: z.string() })),
  notChecked: z
    .array(z.strictObject({ code, reason: z.string() }))
    .describe('follows from a finding, does not apply, was left out, or could not be told: the reason says which'),
  durationMs: z.int().min(0),
  accepted: z
    .array(
      z.strictObject({ finding: findingSchema, reason: z.string(), expires: z.string().regex(/^\d{4}-\d{2}-\d{2}$/) }),
    )
    .optional()
    .describe('only with --baseline: findings that it accepts; they are in no other list'),
  baselineProblems: z
    .array(z.string())
    .optional()
    .describe('only with --baseline: entries that are over or fit nothing any more; each fails the run'),
  fix: z
    .strictObject({ done: z.array(z.string()), healed: z.array(code), left: z.array(code) })
    .optional()
    .describe('only with --fix: what was done, which findings are gone, which are still there'),
});

/** What `doctor --json` writes; published as schema/doctor-report.schema.json. */
export type ReportDocument = z.output<typeof reportDocumentSchema>;

/** The published part of a report: nothing in it is for one format alone. */
export function describeReport(report: DoctorReport): ReportDocument {
  const { ok, target, rootCause, findings, passed, notChecked, durationMs, accepted, baselineProblems, fix } = report;
  return {
    ok,
    target,
    rootCause,
    findings: findings.map(describeFinding),
    passed: passed.map(({ code: of, title }) => ({ code: of, title })),
    notChecked: notChecked.map(({ code: of, reason }) => ({ code: of, reason })),
    durationMs,
    ...(accepted === undefined
      ? {}
      : { accepted: accepted.map(({ finding, ...known }) => ({ finding: describeFinding(finding), ...known })) }),
    ...(fix === undefined ? {} : { fix: { done: [...fix.done], healed: [...fix.healed], left: [...fix.left] } }),
    ...(baselineProblems === undefined ? {} : { baselineProblems: [...baselineProblems] }),
  };
}

function describeFinding({ evidence, fix, ...finding }: Finding): ReportDocument['findings'][number] {
  return {
    ...finding,
    evidence: [...evidence],
    fix: { summary: fix.summary, commands: [...fix.commands], diff: fix.diff ?? null },
  };
}

/** schema/doctor-report.schema.json: JSON Schema, draft 7. */
export function doctorReportJsonSchema(): string {
  const { $schema, ...rest } = z.toJSONSchema(reportDocumentSchema, { target: 'draft-7' });
  const document = { $schema, title: 'Report of mcp-deploy doctor --json', ...rest };
  return `${JSON.stringify(document, null, 2)}\n`;
}
