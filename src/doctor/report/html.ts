import { createHash } from 'node:crypto';
import { compileTemplate } from '../../render/compile-template.ts';
import { catalogue } from '../checks/catalogue.ts';
import { categories, type DoctorReport, type Finding } from '../types.ts';
import { categoryNames } from './category-names.ts';
import { drawCertificates, drawLimits, drawSteps, drawStreams } from './draw-measures.ts';
import { drawPath } from './draw-path.ts';
import type { ReportFrame } from './report-frame.ts';
import { shareableReport } from './shareable-report.ts';
import { followersOf, summarize, verdictOf } from './summarize.ts';

/** The report as one page that needs nothing else: no script, no outside resource, readable in light, dark and on paper. */
export function formatReportHtml(report: DoctorReport, frame: ReportFrame): string {
  const page = compileTemplate(frame.templates('report/report.html.hbs'), 'markup');
  return page(describePage(shareableReport(report), frame));
}

const marks = { good: '✓', bad: '✗', unknown: '?' } as const;

function describePage(report: DoctorReport, { version, templates }: ReportFrame): object {
  const draw = (name: string, view: object | false): string =>
    view === false ? '' : compileTemplate(templates(`report/${name}.svg.hbs`), 'markup')(view);
  const style = templates('report/report.css');
  const verdict = verdictOf(report);
  const root = report.findings.find(({ code }) => code === report.rootCause);
  const others = report.findings.filter(({ code }) => code !== report.rootCause);
  const path = drawPath(report);
  const certificates = drawCertificates(report.measures);
  const limits = drawLimits(report.measures);
  return {
    style,
    styleHash: createHash('sha256').update(style).digest('base64'),
    state: verdict.state,
    mark: marks[verdict.state],
    verdict: verdict.text,
    target: report.target,
    at: `${report.measures.at.slice(0, 19).replace('T', ' ')} UTC`,
    seconds: (report.durationMs / 1_000).toFixed(1),
    version,
    summary: summarize(report),
    pathWords: path.words,
    path: draw('path', path),
    root: root === undefined ? false : describeFinding(root, report),
    others: others.map((finding) => describeFinding(finding, report)),
    othersTitle: root === undefined ? 'Findings' : 'Also found',
    accepted: (report.accepted ?? []).map(({ finding, reason, expires }) => ({
      code: finding.code,
      title: finding.title,
      reason,
      expires,
    })),
    baselineProblems: (report.baselineProblems ?? []).map((text) => ({ text })),
    steps: report.measures.steps.length === 0 ? false : drawSteps(report.measures),
    streams: drawStreams(report.measures).map((view) => ({ drawing: draw('streams', view) })),
    certificates,
    certificatesDrawing: draw('certificates', certificates),
    limits,
    limitsDrawing: draw('limits', limits),
    categories: describeCategories(report),
    notChecked: report.notChecked.map(({ code, reason, kind }) => ({
      code,
      // A flag is not broken at its hyphens.
      reason: reason.split(/(--[a-z][a-z-]*)/).map((text, index) => ({ text, flag: index % 2 === 1 })),
      mark: kind === 'unknown' ? '?' : '–',
    })),
  };
}

function describeFinding(finding: Finding, report: DoctorReport): object {
  const { code, severity, hop, title, cause, evidence, fix } = finding;
  return {
    id: code.replace('/', '-'),
    code,
    isError: severity === 'error',
    severity,
    mark: severity === 'error' ? '✗' : '!',
    hop,
    title,
    cause: cause === 'undetermined' ? '' : cause,
    evidence,
    fix: fix.summary,
    diff: (fix.diff ?? '')
      .trimEnd()
      .split('\n')
      .flatMap((line) =>
        line === '' ? [] : [{ line, kind: line.startsWith('+') ? 'add' : line.startsWith('-') ? 'del' : 'same' }],
      ),
    commands: fix.commands.map((command) => ({ command })),
    follows: followersOf(code, report).join(', '),
  };
}

/** Every check in the order of the way: what passed, what did not, what was not judged. */
function describeCategories(report: DoctorReport): readonly object[] {
  return categories.flatMap((category) => {
    const checks = catalogue.flatMap((check) => (check.category === category ? describeCheck(check, report) : []));
    return checks.length === 0 ? [] : [{ name: categoryNames[category], checks }];
  });
}

function describeCheck({ code, title }: { code: string; title: string }, report: DoctorReport): readonly object[] {
  const passed = report.passed.find((each) => each.code === code);
  if (passed !== undefined)
    return [{ code, title, state: 'good', mark: '✓', word: 'passed', detail: passed.detail ?? '' }];
  const finding = report.findings.find((each) => each.code === code);
  if (finding?.severity === 'error') {
    return [{ code, title, state: 'bad', mark: '✗', word: 'error', detail: finding.title }];
  }
  if (finding !== undefined) return [{ code, title, state: 'warn', mark: '!', word: 'warning', detail: finding.title }];
  const known = report.accepted?.find((each) => each.finding.code === code);
  if (known !== undefined) {
    return [{ code, title, state: 'dim', mark: '~', word: 'accepted', detail: known.finding.title }];
  }
  const left = report.notChecked.find((each) => each.code === code);
  if (left?.kind !== 'follows' && left?.kind !== 'unknown') return [];
  const mark = left.kind === 'unknown' ? '?' : '–';
  return [{ code, title, state: 'dim', mark, word: 'not judged', detail: left.reason }];
}
