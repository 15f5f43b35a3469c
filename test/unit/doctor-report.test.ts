import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import { judgeObservations } from '../../src/doctor/judge-observations.ts';
import type { Observations } from '../../src/doctor/observations.ts';
import { describeReport, doctorReportJsonSchema } from '../../src/doctor/report/report-schema.ts';
import { formatReportText } from '../../src/doctor/report/text.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { nearMiss, tripping } from '../helpers/doctor-cases.ts';
import {
  answer,
  answers,
  foreign,
  healthyObservations,
  host,
  leaf,
  page,
  target,
  tls,
  withKey,
} from '../helpers/healthy-observations.ts';

const update = process.env['UPDATE_GOLDEN'] === '1';
const plain = (text: string): string => text;
const noStyle = { good: plain, bad: plain, warn: plain, dim: plain, bold: plain };

function judge(observations: Observations): DoctorReport {
  return judgeObservations({
    observations,
    checks: catalogue,
    selected: new Set(catalogue.map(({ code }) => code)),
    durationMs: 412,
  });
}

const reports: readonly (readonly [name: string, observations: Observations])[] = [
  ['healthy-own', healthyObservations()],
  [
    'healthy-foreign',
    target(foreign(healthyObservations()), {
      limitsNotTried: 'not tried on a server that is not yours (--limits allows up to 200 requests)',
    }),
  ],
  [
    'wrong-name',
    tls(healthyObservations(), { nameMatches: false, chain: [leaf({ names: ['localhost', '127.0.0.1'] })] }),
  ],
  [
    'behind-nginx',
    {
      ...withKey(foreign(healthyObservations()), page(502, '<h1>502 Bad Gateway</h1>', { server: 'nginx/1.22.1' })),
      modern: { status: 'skipped', reason: 'closed' },
      legacy: { status: 'skipped', reason: 'closed' },
      session: { status: 'skipped', reason: 'closed' },
      stream: { status: 'skipped', reason: 'closed' },
      limits: { status: 'skipped', reason: 'closed' },
    },
  ],
  [
    'two-errors-and-a-warning',
    host(answers(healthyObservations(), { noKey: answer(200, { jsonrpc: '2.0', id: 1, result: {} }) }), {
      files: [{ path: "/srv/my app's/server.key", what: 'server key', secret: true, mode: 0o644 }],
      keys: [{ id: 'k-00000001', label: 'default', ageDays: 120 }],
    }),
  ],
];

describe('the report for a terminal', () => {
  test.each(reports)('%s is as in test/golden/doctor (UPDATE_GOLDEN=1 writes it)', (name, observations) => {
    const file = new URL(`../golden/doctor/${name}.txt`, import.meta.url).pathname;
    const text = `${formatReportText(judge(observations), noStyle)}\n`;
    if (update) {
      mkdirSync(new URL('../golden/doctor/', import.meta.url).pathname, { recursive: true });
      writeFileSync(file, text);
    }
    expect(text).toBe(readFileSync(file, 'utf8'));
  });

  test('no line is wider than 80 columns, commands apart', () => {
    for (const { change } of [...tripping, ...nearMiss]) {
      const report = judge(change(healthyObservations()));
      const commands = report.findings.flatMap(({ fix }) => fix.commands);
      const wide = formatReportText(report, noStyle)
        .split('\n')
        .filter((line) => line.length > 80 && !commands.some((command) => line.endsWith(command)));
      expect(wide).toEqual([]);
    }
  });

  test('colour only repeats what the glyphs say', () => {
    const paint = (code: number) => (text: string) => `\u001b[${code}m${text}\u001b[0m`;
    const style = { good: paint(32), bad: paint(31), warn: paint(33), dim: paint(2), bold: paint(1) };
    for (const [, observations] of reports) {
      const report = judge(observations);
      const coloured = formatReportText(report, style);
      expect(coloured).toContain('\u001b[32m');
      expect(coloured.replaceAll(/\u001b\[\d+m/g, '')).toBe(formatReportText(report, noStyle));
    }
  });

  test('control characters of a server cannot steer the terminal', () => {
    const evil = answer(200, {}, { server: 'nginx\u001b[2J', 'content-type': 'text/html\u009b31m' });
    const report = judge(answers(healthyObservations(), { noKey: evil, bearer: evil }));
    expect(formatReportText(report, noStyle)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  });
});

describe('the JSON report', () => {
  const file = new URL('../../schema/doctor-report.schema.json', import.meta.url).pathname;

  test('schema/doctor-report.schema.json is what the code gives (UPDATE_GOLDEN=1 writes it)', () => {
    if (update) writeFileSync(file, doctorReportJsonSchema());
    expect(readFileSync(file, 'utf8')).toBe(doctorReportJsonSchema());
  });

  test('the document has the published members and no other', () => {
    const document = describeReport(judge(tls(healthyObservations(), { nameMatches: false })));
    expect(Object.keys(document)).toEqual([
      'ok',
      'target',
      'rootCause',
      'findings',
      'passed',
      'notChecked',
      'durationMs',
    ]);
    expect(document.findings[0]?.fix).toMatchObject({ diff: null });
    expect(Object.keys(document.notChecked[0] ?? {})).toEqual(['code', 'reason']);
  });

  test('every report fits the schema', () => {
    const validate = new Ajv().compile(JSON.parse(doctorReportJsonSchema()) as object);
    for (const { change } of [...tripping, ...nearMiss]) {
      const fits = validate(describeReport(judge(change(healthyObservations()))));
      expect(validate.errors ?? []).toEqual([]);
      expect(fits).toBe(true);
    }
  });

  test('the schema refuses what is not a report', () => {
    const validate = new Ajv().compile(JSON.parse(doctorReportJsonSchema()) as object);
    const report = describeReport(judge(healthyObservations()));
    expect(validate({ ...report, more: 1 })).toBe(false);
    expect(validate({ ...report, rootCause: 'no code' })).toBe(false);
  });
});
