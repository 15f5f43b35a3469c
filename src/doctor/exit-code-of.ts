import type { DoctorReport } from './types.ts';

/** 0 healthy, warnings allowed; 1 an error was found, or a baseline is out of date; 3 something that matters could not be judged. The same in every format. */
export function exitCodeOf(report: DoctorReport): 0 | 1 | 3 {
  if (report.findings.some((finding) => finding.severity === 'error')) return 1;
  if ((report.baselineProblems ?? []).length > 0) return 1;
  return report.ok ? 0 : 3;
}
