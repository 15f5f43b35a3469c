import { compileTemplate } from '../../render/compile-template.ts';
import { catalogue } from '../checks/catalogue.ts';
import { categories, type DoctorReport, type Finding, type NotChecked } from '../types.ts';
import type { ReportFrame } from './report-frame.ts';
import { shareableReport } from './shareable-report.ts';
import { followersOf } from './summarize.ts';

/**
 * JUnit XML as CI systems read it: a suite per category, a case per check under the same name in every run. A warning
 * passes and says so in system-out; what should have been judged and could not be is an error, never a pass.
 */
export function formatReportJunit(report: DoctorReport, frame: ReportFrame): string {
  return compileTemplate(frame.templates('report/report.junit.xml.hbs'), 'markup')(describeJunit(report, frame));
}

interface Case {
  readonly name: string;
  readonly className: string;
  readonly failure: Message | false;
  readonly error: Message | false;
  readonly skipped: Message | false;
  readonly output: string;
}

interface Message {
  readonly message: string;
  readonly type: string;
  readonly text: string;
}

function describeJunit(given: DoctorReport, { version }: ReportFrame): object {
  const report = shareableReport(given);
  const suites = categories.flatMap((category) => {
    const cases = catalogue.flatMap((check) => (check.category === category ? describeCase(check.code, report) : []));
    return cases.length === 0
      ? []
      : [{ name: `mcp-deploy doctor: ${category}`, ...countsOf(cases), cases: [...cases] }];
  });
  const outdated = (report.baselineProblems ?? []).map((text): Case => ({
    name: `baseline: ${text}`,
    className: 'mcp-deploy.doctor.baseline',
    failure: { message: text, type: 'baseline', text },
    error: false,
    skipped: false,
    output: '',
  }));
  if (outdated.length > 0) suites.push({ name: 'mcp-deploy doctor: baseline', ...countsOf(outdated), cases: outdated });
  return {
    ...countsOf(suites.flatMap(({ cases }) => cases)),
    seconds: (report.durationMs / 1_000).toFixed(3),
    timestamp: report.measures.at.slice(0, 19),
    target: report.target,
    version,
    rootCause: report.rootCause ?? 'none',
    ok: String(report.ok),
    suites,
  };
}

function describeCase(code: string, report: DoctorReport): readonly Case[] {
  const check = catalogue.find((each) => each.code === code);
  const empty = {
    name: `${code}: ${check?.title ?? code}`,
    className: `mcp-deploy.doctor.${code.slice(0, code.indexOf('/'))}`,
    failure: false as const,
    error: false as const,
    skipped: false as const,
    output: '',
  };
  const finding = report.findings.find((each) => each.code === code);
  if (finding?.severity === 'error') {
    return [{ ...empty, failure: { message: finding.title, type: code, text: describeFinding(finding, report) } }];
  }
  if (finding !== undefined) return [{ ...empty, output: `WARNING ${describeFinding(finding, report)}` }];
  const passed = report.passed.find((each) => each.code === code);
  if (passed !== undefined) return [{ ...empty, output: passed.detail ?? '' }];
  const known = report.accepted?.find((each) => each.finding.code === code);
  if (known !== undefined) {
    const message = `accepted until ${known.expires}: ${known.reason}`;
    return [
      { ...empty, skipped: { message, type: 'accepted', text: '' }, output: describeFinding(known.finding, report) },
    ];
  }
  const left = report.notChecked.find((each) => each.code === code);
  if (left === undefined) return [];
  const message = { message: `${wordOf(left)}: ${left.reason}`, type: left.kind, text: '' };
  return left.kind === 'unknown' && check?.severity === 'error'
    ? [{ ...empty, error: message }]
    : [{ ...empty, skipped: message }];
}

function wordOf({ kind }: NotChecked): string {
  return kind === 'unknown' ? 'could not be judged' : kind === 'follows' ? 'not judged' : kind.replace('-', ' ');
}

function describeFinding(finding: Finding, report: DoctorReport): string {
  const followers = followersOf(finding.code, report);
  return [
    `${finding.title} (hop: ${finding.hop})`,
    ...finding.evidence.map(({ source, observed, expected }) => `seen: ${source}: ${observed}; expected ${expected}`),
    ...(finding.cause === 'undetermined' ? [] : [`because: ${finding.cause}`]),
    `fix: ${finding.fix.summary}`,
    ...(finding.fix.diff === undefined ? [] : [finding.fix.diff.trimEnd()]),
    ...finding.fix.commands.map((command) => `then: ${command}`),
    ...(followers.length === 0 ? [] : [`follows, not judged: ${followers.join(', ')}`]),
    `mcp-deploy explain ${finding.code}`,
  ].join('\n');
}

function countsOf(cases: readonly Case[]): Readonly<Record<string, number>> {
  return {
    tests: cases.length,
    failures: cases.filter(({ failure }) => failure !== false).length,
    errors: cases.filter(({ error }) => error !== false).length,
    skipped: cases.filter(({ skipped }) => skipped !== false).length,
  };
}
