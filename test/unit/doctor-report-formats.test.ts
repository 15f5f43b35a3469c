import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import { exitCodeOf } from '../../src/doctor/exit-code-of.ts';
import { formatReportHtml } from '../../src/doctor/report/html.ts';
import { formatReportJunit } from '../../src/doctor/report/junit.ts';
import { formatReportMarkdown } from '../../src/doctor/report/markdown.ts';
import { quoteMarkdown, quoteMarkdownBlock, quoteMarkdownCode } from '../../src/doctor/report/quote-markdown.ts';
import { describeReport } from '../../src/doctor/report/report-schema.ts';
import { shareableReport } from '../../src/doctor/report/shareable-report.ts';
import { formatReportText } from '../../src/doctor/report/text.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { runProgram } from '../helpers/cli.ts';
import { nearMiss, tripping } from '../helpers/doctor-cases.ts';
import { healthyObservations } from '../helpers/healthy-observations.ts';
import { frame, hostileReport, hostileText, judgeAll, reportCases } from '../helpers/report-cases.ts';
import { testWithTools } from '../helpers/tools.ts';

const update = process.env['UPDATE_GOLDEN'] === '1';
/** The looks of the page are judged in a browser; its golden files would only repeat them. */
const goldenFrame = {
  ...frame,
  templates: (path: string) => (path.endsWith('.css') ? '/* report.css */' : frame.templates(path)),
};
const plain = (text: string): string => text;
const formats: readonly (readonly [ending: string, format: (report: DoctorReport) => string])[] = [
  ['xml', (report) => formatReportJunit(report, goldenFrame)],
  ['md', (report) => formatReportMarkdown(report, goldenFrame)],
  ['html', (report) => formatReportHtml(report, goldenFrame)],
  ['json', (report) => `${JSON.stringify(describeReport(report), null, 2)}\n`],
  [
    'txt',
    (report) => `${formatReportText(report, { good: plain, bad: plain, warn: plain, dim: plain, bold: plain })}\n`,
  ],
];
const cells = formats.flatMap(([ending, format]) =>
  reportCases.map(([name, report]) => [`${name}.${ending}`, format, report] as const),
);

test.each(cells)('%s is as in test/golden/doctor-formats (UPDATE_GOLDEN=1 writes it)', (name, format, report) => {
  const file = new URL(`../golden/doctor-formats/${name}`, import.meta.url).pathname;
  const text = format(report);
  if (update) writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, 'utf8'));
});

describe('hostile text of a server', () => {
  test.each(formats)('%s: nothing steers what shows it, and a megabyte is cut', (_ending, format) => {
    const shown = format(hostileReport());
    if (_ending !== 'json') {
      expect(shown).not.toMatch(
        /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/,
      );
      expect(shown.length).toBeLessThan(600_000);
    }
  });

  test('Markdown keeps it within code or quoted', () => {
    const shown = formatReportMarkdown(hostileReport(), frame);
    const outsideCode = shown.replaceAll(/(`+)(?!`)[\s\S]*?(?<!`)\1(?!`)/g, '');
    expect(outsideCode).not.toMatch(/(?<!\\)<(?!\/?details>|\/?summary>|\/?code>|!-- -->)/);
    expect(outsideCode).not.toMatch(/@octocat/);
    // A pipe that is not quoted would end a cell.
    for (const line of shown.split('\n').filter((each) => each.startsWith('| '))) {
      expect(line.match(/(?<!\\)\|/g)?.length).toBeLessThanOrEqual(4);
    }
  });

  test.each([
    ['a `tick`', '`` a `tick` ``'],
    ['``', '``` `` ```'],
    ['a | b', '`a \\| b`'],
    ['two\nlines', '`two lines`'],
  ])('the code span of %j', (text, expected) => {
    expect(quoteMarkdownCode(text)).toBe(expected);
  });

  test('words of Markdown are words', () => {
    expect(quoteMarkdown('<img src=x> [a](javascript:1) **b** @octocat #12 https://evil.example')).toBe(
      String.raw`\<img src=x\> \[a\](javascript:1) \*\*b\*\* @<!-- -->octocat #<!-- -->12 https\://evil.example`,
    );
    expect(quoteMarkdown('1. first')).toBe(String.raw`1\. first`);
    expect(quoteMarkdown('192.0.2.10')).toBe('192.0.2.10');
    expect(quoteMarkdownBlock('```\n</details>', 'sh')).toBe('````sh\n```\n</details>\n````');
  });

  testWithTools(['python3'], 'the XML is well-formed, and a reader finds the text as it was', async () => {
    const script = [
      'import sys, json, xml.etree.ElementTree as E',
      'root = E.fromstring(sys.argv[1])',
      'print(json.dumps({"tag": root.tag, "suites": [dict(s.attrib, cases=[dict(c.attrib, kinds=[k.tag for k in c], text="".join(k.text or "" for k in c)) for c in s.findall("testcase")]) for s in root], **root.attrib}))',
    ].join('\n');
    const report = hostileReport(2_000);
    const read = await runProgram('python3', ['-c', script, formatReportJunit(report, frame)], { cwd: '/' });
    expect(read.stderr).toBe('');
    const document = JSON.parse(read.stdout) as JunitDocument;
    expect(document.tag).toBe('testsuites');
    const cases = document.suites.flatMap((suite) => suite.cases);
    expect(Number(document.tests)).toBe(cases.length);
    for (const kind of ['failure', 'error', 'skipped'] as const) {
      const attribute = { failure: 'failures', error: 'errors', skipped: 'skipped' } as const;
      expect(Number(document[attribute[kind]])).toBe(cases.filter(({ kinds }) => kinds.includes(kind)).length);
    }
    const failed = cases.find(({ kinds }) => kinds.includes('failure'));
    expect(failed?.text).toContain("]]><script>alert('1')</script>");
  });
});

interface JunitDocument {
  readonly tag: string;
  readonly tests: string;
  readonly failures: string;
  readonly errors: string;
  readonly skipped: string;
  readonly suites: readonly {
    readonly cases: readonly { readonly name: string; readonly kinds: readonly string[]; readonly text: string }[];
  }[];
}

describe('JUnit', () => {
  test('every check is a case of its own name in every run, and nothing unknown passes', () => {
    for (const { change } of [...tripping.slice(0, 12), ...nearMiss.slice(0, 4)]) {
      const report = judgeAll(change(healthyObservations()));
      const shown = formatReportJunit(report, frame);
      const names = [...shown.matchAll(/<testcase classname="[^"]*" name="([^:"]+):/g)].map(([, code]) => code);
      expect(new Set(names)).toEqual(new Set(catalogue.map(({ code }) => code)));
      expect(names).toHaveLength(catalogue.length);
      const isRed = /<failure |<error /.test(shown);
      expect(isRed).toBe(exitCodeOf(report) !== 0);
      for (const { code } of report.notChecked) {
        const body = new RegExp(`name="${code}:[^>]*>([\\s\\S]*?)</testcase>`).exec(shown)?.[1];
        expect(body).toMatch(/<skipped |<error /);
      }
    }
  });
});

describe('what is handed to others', () => {
  test('values of the query of the URL, which may be keys, are hidden in every format but JSON', () => {
    const [, report] = reportCases[1] as readonly [string, DoctorReport];
    const target = 'https://mcp.example.com/mcp?api_key=s3cret-of%20mine&v=1';
    const [finding] = report.findings;
    const evidence = [{ source: `GET ${target}`, observed: 's3cret-of mine', expected: 'no' }];
    const leaking = { ...report, target, findings: finding === undefined ? [] : [{ ...finding, evidence }] };
    for (const [ending, format] of formats) {
      if (ending === 'json' || ending === 'txt') continue;
      expect(format(leaking), ending).not.toMatch(/s3cret/);
    }
    expect(shareableReport(leaking).target).toBe('https://mcp.example.com/mcp?api_key=[hidden]&v=1');
  });

  test('what has no such values stays as it is', () => {
    for (const [, report] of reportCases) expect(shareableReport(report)).toEqual(report);
  });

  test('hostile text is not changed in JSON, where it is quoted', () => {
    const { findings } = describeReport(hostileReport(100));
    expect(findings[0]?.evidence[0]?.observed).toContain(hostileText);
  });
});
