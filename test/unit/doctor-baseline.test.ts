import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { ExplainedError } from '../../src/deployment/errors.ts';
import { applyBaseline } from '../../src/doctor/apply-baseline.ts';
import { exitCodeOf } from '../../src/doctor/exit-code-of.ts';
import { formatBaseline } from '../../src/doctor/format-baseline.ts';
import { parseBaseline } from '../../src/doctor/parse-baseline.ts';
import { formatReportHtml } from '../../src/doctor/report/html.ts';
import { formatReportJunit } from '../../src/doctor/report/junit.ts';
import { formatReportMarkdown } from '../../src/doctor/report/markdown.ts';
import { describeReport, doctorReportJsonSchema } from '../../src/doctor/report/report-schema.ts';
import { formatReportText } from '../../src/doctor/report/text.ts';
import { tripping } from '../helpers/doctor-cases.ts';
import { healthyObservations, host } from '../helpers/healthy-observations.ts';
import { frame, judgeAll } from '../helpers/report-cases.ts';

const open = { path: '/srv/a.key', what: 'server key', secret: true, mode: 0o644 } as const;
const found = judgeAll(host(healthyObservations(), { files: [open] }));
const healthy = judgeAll(healthyObservations());
const entries = (text: string) => parseBaseline(text, 'b.yaml');
const accepting = formatBaseline(found, { reason: 'a box for tries', expires: '2026-12-31' });
const today = '2026-11-21';

describe('a baseline', () => {
  test('what is written from a result accepts that result, whatever was found', () => {
    for (const { change } of tripping) {
      const report = judgeAll(change(healthyObservations()));
      const text = formatBaseline(report, { reason: 'known: "it" # yes', expires: '2026-12-31' });
      const after = applyBaseline(report, entries(text), today);
      expect(after.findings).toEqual([]);
      expect(after.accepted).toHaveLength(report.findings.length);
      const untold = report.notChecked.some(({ kind }) => kind === 'unknown');
      expect(untold || exitCodeOf(after) === 0, report.rootCause ?? '').toBe(true);
    }
  });

  test('an accepted error fails no more and is shown as accepted, in no other list', () => {
    const after = applyBaseline(found, entries(accepting), today);
    expect(exitCodeOf(found)).toBe(1);
    expect(exitCodeOf(after)).toBe(0);
    expect(after).toMatchObject({ ok: true, rootCause: null, findings: [], baselineProblems: [] });
    expect(after.accepted).toMatchObject([{ finding: { code: 'host/file-modes' }, reason: 'a box for tries' }]);
  });

  test('it holds through its last day and not the day after', () => {
    const on = (day: string) => applyBaseline(found, entries(accepting), day);
    expect(exitCodeOf(on('2026-12-31'))).toBe(0);
    const late = on('2027-01-01');
    expect(exitCodeOf(late)).toBe(1);
    expect(late.findings).toMatchObject([{ code: 'host/file-modes' }]);
    expect(late.baselineProblems).toEqual(['line 4: host/file-modes was accepted until 2026-12-31 and is still found']);
  });

  test('an entry of which nothing is found any more fails, or the next such finding would pass unseen', () => {
    const after = applyBaseline(healthy, entries(accepting), today);
    expect(exitCodeOf(healthy)).toBe(0);
    expect(exitCodeOf(after)).toBe(1);
    expect(after.ok).toBe(false);
    expect(after.baselineProblems).toEqual([
      'line 4: host/file-modes is accepted and not found any more; remove the entry',
    ]);
  });

  test('the same finding at one more place is a new one', () => {
    const more = judgeAll(host(healthyObservations(), { files: [open, { ...open, path: '/srv/b.key' }] }));
    const after = applyBaseline(more, entries(accepting), today);
    expect(after.findings).toMatchObject([{ code: 'host/file-modes' }]);
    expect(exitCodeOf(after)).toBe(1);
  });

  test('an entry for a check that this run left out is not called stale', () => {
    const left = { ...healthy, passed: [], notChecked: [] };
    expect(applyBaseline(left, entries(accepting), today).baselineProblems).toEqual([]);
  });

  test('every format shows what is accepted and what is out of date', () => {
    const accepted = applyBaseline(found, entries(accepting), today);
    const stale = applyBaseline(healthy, entries(accepting), today);
    const plain = (text: string): string => text;
    const style = { good: plain, bad: plain, warn: plain, dim: plain, bold: plain };
    for (const format of [
      (report: typeof found) => formatReportText(report, style),
      (report: typeof found) => formatReportHtml(report, frame),
      (report: typeof found) => formatReportMarkdown(report, frame),
      (report: typeof found) => formatReportJunit(report, frame),
      (report: typeof found) => JSON.stringify(describeReport(report)),
    ]) {
      expect(format(accepted)).toContain('a box for tries');
      expect(format(stale).replaceAll(/\s+/g, ' ')).toContain('not found any more');
    }
    expect(formatReportJunit(accepted, frame)).not.toMatch(/<failure|<error/);
    expect(formatReportJunit(stale, frame)).toMatch(/<failure/);
    const validate = new Ajv().compile(JSON.parse(doctorReportJsonSchema()) as object);
    for (const report of [accepted, stale]) expect(validate(describeReport(report))).toBe(true);
  });
});

const entry =
  'version: 1\naccepted:\n  - code: host/file-modes\n    hop: host\n    where: [x]\n    reason: y\n    expires: "2027-01-31"\n';

describe('a baseline that is wrong is refused with its line', () => {
  test.each([
    ['', /b\.yaml:1 {2}must be a map/],
    ['version: 2\naccepted: []\n', /b\.yaml:1 {2}version must be 1/],
    ['version: 1\n', /b\.yaml:1 {2}accepted must be/],
    [
      entry.replace('host/file-modes', 'host/file-mode'),
      /b\.yaml:3 {2}"host\/file-mode" .*did you mean host\/file-modes/,
    ],
    [entry.replace('hop: host', 'hop: home'), /b\.yaml:4 {2}hop must be one of/],
    [entry.replace('2027-01-31', '2027-02-30'), /b\.yaml:7 {2}expires must be a day/],
    [entry.replace('"2027-01-31"', '2027'), /b\.yaml:7 {2}expires must be a day/],
    [entry.replace('[x]', '[]'), /b\.yaml:5 {2}where must be/],
    [entry.replace('reason: y', 'reason: " "'), /b\.yaml:6 {2}reason must/],
    [`${entry}    more: 1\n`, /b\.yaml:8 {2}"more" is no setting/],
    [`${entry}${entry.slice(entry.indexOf('  - '))}`, /b\.yaml:8 {2}the same as line 3/],
    ['version: 1\naccepted: &a [*a]\n', /b\.yaml:2 /],
    ['version: 1\naccepted: [\u001b[31m', /b\.yaml:\d/],
    [`a: ${'['.repeat(5_000)}`, /b\.yaml:1/],
    ['x'.repeat(1_100_000), /b\.yaml:1 .*larger/],
  ])('%#', (text, expected) => {
    let error: unknown;
    try {
      entries(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ExplainedError);
    expect((error as ExplainedError).exitCode).toBe(2);
    expect((error as ExplainedError).excerpt.join('\n')).toMatch(expected);
    // oxlint-disable-next-line no-control-regex -- that is what must not be there
    expect((error as ExplainedError).excerpt.join('')).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });
});
