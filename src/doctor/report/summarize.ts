import type { DoctorReport } from '../types.ts';

/** "1 error, 2 warnings, 31 passed": the counts of a report, in the order of weight. */
export function summarize(report: DoctorReport): readonly { readonly kind: SummaryKind; readonly text: string }[] {
  const errors = report.findings.filter(({ severity }) => severity === 'error').length;
  const warnings = report.findings.length - errors;
  const unknowns = report.notChecked.filter(({ kind }) => kind === 'unknown').length;
  const accepted = (report.accepted ?? []).length;
  const problems = (report.baselineProblems ?? []).length;
  return [
    ...(errors > 0 ? [{ kind: 'error' as const, text: count(errors, 'error') }] : []),
    ...(warnings > 0 ? [{ kind: 'warning' as const, text: count(warnings, 'warning') }] : []),
    ...(unknowns > 0 ? [{ kind: 'unknown' as const, text: `${unknowns} not judged` }] : []),
    ...(problems > 0 ? [{ kind: 'error' as const, text: `${problems} of the baseline out of date` }] : []),
    ...(accepted > 0 ? [{ kind: 'unknown' as const, text: `${accepted} accepted` }] : []),
    { kind: 'passed', text: `${report.passed.length} passed` },
  ];
}

export type SummaryKind = 'error' | 'warning' | 'unknown' | 'passed';

/** One sentence: what is wrong first, or that nothing is, or that it cannot be told. */
export function verdictOf(report: DoctorReport): { readonly state: 'good' | 'bad' | 'unknown'; readonly text: string } {
  const root = report.findings.find(({ code }) => code === report.rootCause);
  if (root !== undefined) return { state: 'bad', text: root.title };
  const [problem] = report.baselineProblems ?? [];
  if (problem !== undefined) return { state: 'bad', text: `the baseline is out of date: ${problem}` };
  if (!report.ok) return { state: 'unknown', text: 'not everything that matters could be judged' };
  const warnings = report.findings.length;
  return {
    state: 'good',
    text: warnings === 0 ? 'everything that was looked at is in order' : `it works, with ${count(warnings, 'warning')}`,
  };
}

/** Codes that were not judged because of this one. */
export function followersOf(code: string, report: DoctorReport): readonly string[] {
  return report.notChecked
    .filter(({ kind, reason }) => kind === 'follows' && reason === `follows from ${code}`)
    .map(({ code: follower }) => follower);
}

/** "3 ms", "1.25 s", "90 s". */
export function formatDuration(durationMs: number): string {
  if (durationMs < 10) return `${Number(durationMs.toFixed(1))} ms`;
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`;
  return `${Number((durationMs / 1_000).toFixed(durationMs < 10_000 ? 2 : 0))} s`;
}

/** "1 error", "2 errors". */
function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}
