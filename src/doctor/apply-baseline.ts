import { catalogue } from './checks/catalogue.ts';
import type { BaselineEntry } from './parse-baseline.ts';
import type { AcceptedFinding, DoctorReport, Finding } from './types.ts';

/**
 * The same report with what a baseline accepts set apart. An entry whose day is over, or whose check found nothing any
 * more, is a problem: otherwise the next finding of that kind would pass unseen.
 *
 * @param today YYYY-MM-DD, UTC
 */
export function applyBaseline(report: DoctorReport, entries: readonly BaselineEntry[], today: string): DoctorReport {
  const problems: string[] = [];
  const accepted: AcceptedFinding[] = [];
  const used = new Set<BaselineEntry>();
  const findings = report.findings.filter((finding) => {
    const entry = entries.find((each) => accepts(each, finding));
    if (entry === undefined) return true;
    used.add(entry);
    if (entry.expires < today) {
      problems.push(`line ${entry.line}: ${entry.code} was accepted until ${entry.expires} and is still found`);
      return true;
    }
    accepted.push({ finding, reason: entry.reason, expires: entry.expires });
    return false;
  });
  for (const entry of entries) {
    if (used.has(entry)) continue;
    const { code, line } = entry;
    if (report.passed.some((each) => each.code === code)) {
      problems.push(`line ${line}: ${code} is accepted and not found any more; remove the entry`);
    } else if (report.findings.some((each) => each.code === code)) {
      problems.push(
        `line ${line}: ${code} is accepted at another place than where it is found; the entry fits nothing`,
      );
    } else if (entry.expires < today) problems.push(`line ${line}: ${code} was accepted until ${entry.expires}`);
  }
  const errors = findings.filter(({ severity }) => severity === 'error');
  const roots = new Set(accepted.map(({ finding }) => finding.code));
  return {
    ...report,
    ok: errors.length === 0 && problems.length === 0 && !isUndecided(report, roots),
    rootCause: errors[0]?.code ?? null,
    path: report.path.map((hop) =>
      hop.state === 'error' && !errors.some((each) => each.hop === hop.hop) ? { ...hop, state: 'warning' } : hop,
    ),
    findings,
    accepted,
    baselineProblems: problems,
  };
}

function accepts(entry: BaselineEntry, finding: Finding): boolean {
  return (
    entry.code === finding.code &&
    entry.hop === finding.hop &&
    finding.evidence.every(({ source }) => entry.where.includes(source.trim()))
  );
}

/** What follows from something that is accepted is accepted with it. */
function isUndecided(report: DoctorReport, acceptedRoots: ReadonlySet<string>): boolean {
  return report.notChecked.some(({ code, kind, reason }) => {
    if (catalogue.find((check) => check.code === code)?.severity !== 'error') return false;
    if (kind === 'follows') return !acceptedRoots.has(reason.replace('follows from ', ''));
    return kind === 'unknown';
  });
}
