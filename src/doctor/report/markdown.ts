import { compileTemplate } from '../../render/compile-template.ts';
import { categoryNames } from './category-names.ts';
import { categories, type DoctorReport, type Finding, type PathHop } from '../types.ts';
import { quoteMarkdown, quoteMarkdownBlock, quoteMarkdownCode } from './quote-markdown.ts';
import type { ReportFrame } from './report-frame.ts';
import { shareableReport } from './shareable-report.ts';
import { shownText } from './shown-text.ts';
import { followersOf, summarize, verdictOf } from './summarize.ts';

const longestCell = 400;

/** The report for an issue: the root cause first, everything else folded away; nothing in it is a secret. */
export function formatReportMarkdown(report: DoctorReport, frame: ReportFrame): string {
  return compileTemplate(frame.templates('report/report.md.hbs'))(describeMarkdown(report, frame));
}

const glyphs = { good: '✅', bad: '❌', unknown: '❔' } as const;
const hopGlyphs: Readonly<Record<PathHop['state'], string>> = { ok: '✓', warning: '⚠', error: '✗', unknown: '–' };

function describeMarkdown(given: DoctorReport, { version }: ReportFrame): object {
  const report = shareableReport(given);
  const verdict = verdictOf(report);
  const root = report.findings.find(({ code }) => code === report.rootCause);
  const others = report.findings.filter(({ code }) => code !== report.rootCause);
  return {
    glyph: glyphs[verdict.state],
    verdict: quoteMarkdown(verdict.text),
    target: quoteMarkdownCode(report.target),
    summary: summarize(report)
      .map(({ text }) => text)
      .join(', '),
    seconds: (report.durationMs / 1_000).toFixed(1),
    at: `${report.measures.at.slice(0, 16).replace('T', ' ')} UTC`,
    version,
    path: ['you', ...report.path.map(describeHop)].join(' → '),
    root: root === undefined ? false : describeFinding(root, report),
    others: others.map((finding) => describeFinding(finding, report)),
    accepted: (report.accepted ?? []).map(({ finding, reason, expires }) => ({
      code: quoteMarkdownCode(finding.code),
      title: quoteMarkdown(finding.title),
      expires,
      reason: quoteMarkdown(reason),
    })),
    baselineProblems: (report.baselineProblems ?? []).map((text) => ({ text: quoteMarkdown(text) })),
    passedCount: report.passed.length,
    passed: categories.flatMap((category) => {
      const items = report.passed.filter((each) => each.category === category);
      if (items.length === 0) return [];
      const shown = items.map(({ code, detail }) =>
        detail === undefined ? quoteMarkdownCode(code) : `${quoteMarkdownCode(code)} ${quoteMarkdown(detail)}`,
      );
      return [{ category: categoryNames[category], items: shown.join(', ') }];
    }),
    notCheckedCount: report.notChecked.length,
    notChecked: groupByReason(report),
  };
}

function describeHop({ hop, label, state }: PathHop): string {
  const text = `${quoteMarkdown(label)} ${hopGlyphs[state]}`;
  return state === 'error' ? `**${text}**${label === hop ? '' : ` (${hop})`}` : text;
}

function describeFinding(finding: Finding, report: DoctorReport): object {
  const { diff, commands } = finding.fix;
  return {
    glyph: finding.severity === 'error' ? '❌' : '⚠️',
    severity: finding.severity,
    code: quoteMarkdownCode(finding.code),
    hop: finding.hop,
    title: quoteMarkdown(finding.title),
    // A heading within <summary> is HTML, where Markdown does not apply.
    titleMarkup: escapeMarkup(finding.title),
    codeMarkup: escapeMarkup(finding.code),
    cause: finding.cause === 'undetermined' ? '' : quoteMarkdown(finding.cause),
    evidence: finding.evidence.map(({ source, observed, expected }) => ({
      source: quoteMarkdown(shownText(source, longestCell)),
      observed: quoteMarkdownCode(shownText(observed, longestCell)),
      expected: quoteMarkdown(shownText(expected, longestCell)),
    })),
    fix: quoteMarkdown(finding.fix.summary),
    diff: diff === undefined || diff === '' ? '' : quoteMarkdownBlock(diff, 'diff'),
    commands: commands.length === 0 ? '' : quoteMarkdownBlock(commands.join('\n'), 'sh'),
    follows: followersOf(finding.code, report).map(quoteMarkdownCode).join(', '),
  };
}

function groupByReason(report: DoctorReport): readonly { readonly reason: string; readonly codes: string }[] {
  const byReason = new Map<string, string[]>();
  for (const { code, reason } of report.notChecked) byReason.set(reason, [...(byReason.get(reason) ?? []), code]);
  return [...byReason].map(([reason, codes]) => ({
    reason: quoteMarkdown(reason),
    codes: codes.map(quoteMarkdownCode).join(', '),
  }));
}

function escapeMarkup(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll(/[@#](?=\w)/g, '$&<!-- -->');
}
