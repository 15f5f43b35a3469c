import type { DoctorReport } from './types.ts';

/** What is different from one look to the next, for one check. */
export interface ReportChange {
  readonly code: string;
  readonly state: 'broken' | 'warning' | 'mended' | 'unknown';
  readonly text: string;
}

/** Findings that came and went between two looks, in the order of the way; null: everything of the first look is new. */
export function describeChanges(before: DoctorReport | null, after: DoctorReport): readonly ReportChange[] {
  const then = before === null ? new Map<string, string>() : statesOf(before);
  const now = statesOf(after);
  const titles = new Map([...(before?.findings ?? []), ...after.findings].map(({ code, title }) => [code, title]));
  const reasons = new Map(after.notChecked.map(({ code, reason }) => [code, reason]));
  return [...new Set([...now.keys(), ...then.keys()])].flatMap((code): readonly ReportChange[] => {
    const state = now.get(code);
    if (state === then.get(code)) return [];
    const title = titles.get(code) ?? '';
    if (state === 'error') return [{ code, state: 'broken', text: title }];
    if (state === 'warning') return [{ code, state: 'warning', text: title }];
    if (state === 'unknown') return [{ code, state: 'unknown', text: reasons.get(code) ?? '' }];
    // What a later look does not judge is not mended for that.
    return after.passed.some((each) => each.code === code) ? [{ code, state: 'mended', text: title }] : [];
  });
}

/** Checks that are not in order. */
function statesOf(report: DoctorReport): ReadonlyMap<string, 'error' | 'warning' | 'unknown'> {
  return new Map([
    ...report.findings.map(({ code, severity }) => [code, severity] as const),
    ...report.notChecked.flatMap(({ code, kind }) => (kind === 'unknown' ? [[code, 'unknown'] as const] : [])),
  ]);
}
