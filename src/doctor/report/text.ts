import { catalogue } from '../checks/catalogue.ts';
import { categories, type Category, type DoctorReport, type Finding, type NotChecked, type PathHop } from '../types.ts';
import { categoryNames } from './category-names.ts';
import { shownText } from './shown-text.ts';
import { wrapText } from './wrap-text.ts';

/** How words are shown; plain text passes functions that change nothing. Colour only repeats what the glyphs say. */
export interface ReportStyle {
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
}

const columns = 80;
const lineIndent = 12;
const blockIndent = 15;

/** The report for a terminal: the path, a line per category, a block per finding with the root cause first, a summary. */
export function formatReportText(report: DoctorReport, style: ReportStyle): string {
  const blocks = report.findings.map((finding) => formatFinding(finding, report, style));
  const unknowns = formatUnknowns(report, style);
  return [
    formatPath(report.path, style),
    ...categories.flatMap((category) => formatCategory(category, report, style)),
    ...blocks.map((block) => `\n${block}`),
    ...(unknowns === null ? [] : [`\n${unknowns}`]),
    ...formatBaseline(report, style),
    '',
    formatSummary(report, style),
  ].join('\n');
}

function formatPath(path: readonly PathHop[], style: ReportStyle): string {
  const glyphs = { ok: style.good('✓'), warning: style.warn('!'), error: style.bad('✗'), unknown: style.dim('-') };
  const items = path.map(({ label, state }, index) => ({
    width: shownText(label).length + 2 + (index < path.length - 1 ? 3 : 0),
    text: `${shownText(label)} ${glyphs[state]}${index < path.length - 1 ? ' ->' : ''}`,
  }));
  return flow('Path', [{ width: 6, text: 'you ->' }, ...items], ' ');
}

interface Item {
  /** Columns that it takes; styled text is longer than it looks. */
  readonly width: number;
  readonly text: string;
  readonly follows?: boolean;
}

function formatCategory(category: Category, report: DoctorReport, style: ReportStyle): readonly string[] {
  const items: Item[] = [];
  for (const check of catalogue) {
    if (check.category !== category) continue;
    const item = formatItem(check.code, check.label, report, style);
    if (item !== null) items.push(item);
  }
  const notTried = report.notChecked.find(({ code, kind }) => kind === 'not-tried' && categoryOf(code) === category);
  if (items.length === 0 && notTried !== undefined) {
    const lines = wrapText(`- ${shownText(notTried.reason)}`, columns - lineIndent);
    return lines.map(
      (line, index) => (index === 0 ? head(categoryNames[category]) : ' '.repeat(lineIndent)) + style.dim(line),
    );
  }
  // The root cause lists what follows from it; a line of dashes for each would only hide it.
  const judged = items.some(({ follows }) => follows !== true);
  if (items.length > 0 && !judged) return [head(categoryNames[category]) + style.dim('- not judged')];
  // Nothing to say of a category that does not apply.
  return items.length === 0 ? [] : [flow(categoryNames[category], items, '   ')];
}

function formatItem(code: string, label: string, report: DoctorReport, style: ReportStyle): Item | null {
  const passed = report.passed.find((each) => each.code === code);
  if (passed !== undefined) return item('✓', shownText(passed.detail ?? label), style.good);
  const finding = report.findings.find((each) => each.code === code);
  if (finding !== undefined)
    return finding.severity === 'error' ? item('✗', label, style.bad) : item('!', label, style.warn);
  if (report.accepted?.some((each) => each.finding.code === code) === true) return item('~', label, style.dim);
  const kind = report.notChecked.find((each) => each.code === code)?.kind;
  if (kind === 'follows') return { width: label.length + 2, text: style.dim(`- ${label}`), follows: true };
  if (kind === 'unknown') return item('?', label, style.warn);
  return null;
}

function item(glyph: string, label: string, paint: (text: string) => string): Item {
  return { width: label.length + 2, text: `${paint(glyph)} ${label}` };
}

/** Items on as few lines as fit, under one heading. */
function flow(name: string, items: readonly Item[], gap: string): string {
  const lines: string[] = [];
  let line = head(name);
  let width = lineIndent;
  for (const [index, each] of items.entries()) {
    const needed = each.width + (width === lineIndent ? 0 : gap.length);
    if (index > 0 && width + needed > columns) {
      lines.push(line);
      line = ' '.repeat(lineIndent);
      width = lineIndent;
    }
    line += (width === lineIndent ? '' : gap) + each.text;
    width += each.width + (width === lineIndent ? 0 : gap.length);
  }
  return [...lines, line].join('\n');
}

function head(name: string): string {
  return `  ${name}`.padEnd(lineIndent);
}

function formatFinding(finding: Finding, report: DoctorReport, style: ReportStyle): string {
  const isRoot = finding.code === report.rootCause;
  const paint = finding.severity === 'error' ? style.bad : style.warn;
  const rank = isRoot ? 'ROOT CAUSE' : finding.severity.toUpperCase();
  const title = shownText(finding.title);
  const fits = 2 + rank.length + 3 + finding.code.length + 3 + title.length <= columns;
  return [
    `  ${paint(rank)}   ${style.bold(finding.code)}${fits ? `   ${title}` : ''}`,
    ...(fits ? [] : wrapText(title, columns - 4).map((line) => `    ${line}`)),
    ...finding.evidence.flatMap(({ source, observed, expected }, index) => [
      ...row(index === 0 ? 'seen' : '', `${source.trim()}: ${observed}`),
      ...row('', `expected ${expected}`),
    ]),
    ...(finding.cause === 'undetermined' ? [] : row('because', finding.cause)),
    ...row('fix', finding.fix.summary),
    ...(finding.fix.diff ?? '')
      .split('\n')
      .flatMap((line) => (line === '' ? [] : [' '.repeat(blockIndent) + shownText(line)])),
    // Commands are never broken: they are there to be copied.
    ...finding.fix.commands.map(
      (command, index) => (index === 0 ? '    then' : '').padEnd(blockIndent) + shownText(command),
    ),
    ...formatFollowers(finding, report),
  ].join('\n');
}

function formatFollowers(finding: Finding, report: DoctorReport): readonly string[] {
  const followers = report.notChecked.filter(
    ({ kind, reason }) => kind === 'follows' && reason === `follows from ${finding.code}`,
  );
  if (followers.length === 0) return [];
  const shown = followers.slice(0, 6).map(({ code }) => code);
  const rest = followers.length - shown.length;
  const verb = followers.length === 1 ? 'was' : 'were';
  return row('follows', `${shown.join(', ')}${rest > 0 ? ` and ${rest} more` : ''} ${verb} not judged`);
}

function row(name: string, text: string): readonly string[] {
  return wrapText(shownText(text), columns - blockIndent).map(
    (line, index) => (index === 0 && name !== '' ? `    ${name}` : '').padEnd(blockIndent) + line,
  );
}

function formatUnknowns(report: DoctorReport, style: ReportStyle): string | null {
  const unknowns = report.notChecked.filter(({ kind }) => kind === 'unknown');
  if (unknowns.length === 0) return null;
  const byReason = new Map<string, NotChecked[]>();
  for (const each of unknowns) byReason.set(each.reason, [...(byReason.get(each.reason) ?? []), each]);
  const lines = [...byReason].flatMap(([reason, checks]) =>
    wrapText(`${shownText(reason)}: ${checks.map(({ code }) => code).join(', ')}`, columns - blockIndent),
  );
  return lines
    .map((line, index) => (index === 0 ? `  ${style.warn('NOT JUDGED')}   ` : ' '.repeat(blockIndent)) + line)
    .join('\n');
}

function formatBaseline(report: DoctorReport, style: ReportStyle): readonly string[] {
  const accepted = (report.accepted ?? []).map(({ finding, reason, expires }) =>
    wrapText(`${finding.code} until ${expires}: ${shownText(reason)}`, columns - blockIndent),
  );
  const problems = (report.baselineProblems ?? []).map((text) => wrapText(shownText(text), columns - blockIndent));
  const block = (name: string, paint: (text: string) => string, groups: readonly (readonly string[])[]): string[] =>
    groups
      .flat()
      .map(
        (line, index) =>
          (index === 0
            ? `\n  ${paint(name)}`.padEnd(blockIndent + paint(name).length - name.length + 1)
            : ' '.repeat(blockIndent)) + line,
      );
  return [...block('ACCEPTED', style.dim, accepted), ...block('BASELINE', style.bad, problems)];
}

function formatSummary(report: DoctorReport, style: ReportStyle): string {
  const count = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`;
  const errors = report.findings.filter(({ severity }) => severity === 'error').length;
  const warnings = report.findings.length - errors;
  const unknowns = report.notChecked.filter(({ kind }) => kind === 'unknown').length;
  const problems = (report.baselineProblems ?? []).length;
  const parts = [
    ...(errors > 0 ? [style.bad(count(errors, 'error'))] : []),
    ...(warnings > 0 ? [style.warn(count(warnings, 'warning'))] : []),
    ...(unknowns > 0 ? [style.warn(`${unknowns} not judged`)] : []),
    ...(problems > 0 ? [style.bad(`${problems} of the baseline out of date`)] : []),
    ...((report.accepted ?? []).length > 0 ? [`${report.accepted?.length ?? 0} accepted`] : []),
    `${report.passed.length} passed`,
  ];
  const topic = report.rootCause ?? report.findings[0]?.code;
  const more = topic === undefined ? '' : `   ${style.dim(`mcp-deploy explain ${topic}`)}`;
  return `  ${parts.join(', ')} in ${(report.durationMs / 1000).toFixed(1)} s.${more}`;
}

function categoryOf(code: string): string {
  return code.slice(0, code.indexOf('/'));
}
