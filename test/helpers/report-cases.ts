import { readFileSync } from 'node:fs';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import { judgeObservations } from '../../src/doctor/judge-observations.ts';
import type { Observations } from '../../src/doctor/observations.ts';
import type { ReportFrame } from '../../src/doctor/report/report-frame.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import {
  answer,
  behindNginx,
  foreign,
  healthyObservations,
  host,
  leaf,
  limits,
  target,
  tls,
  withKey,
} from './healthy-observations.ts';

/** Templates as they are shipped; the version never changes. */
export const frame: ReportFrame = {
  version: '0.0.0',
  templates: (path) => readFileSync(new URL(`../../templates/${path}`, import.meta.url), 'utf8'),
};

export function judgeAll(observations: Observations, checks = catalogue): DoctorReport {
  return judgeObservations({
    observations,
    checks,
    selected: new Set(checks.map(({ code }) => code)),
    durationMs: 3_212,
  });
}

/** So that a new check changes no golden file of a format. */
const some = catalogue.filter(({ code }) =>
  /^(host|name|tcp|stream|tools|limits|sizes|proxy)\/(key-store|server-running|key-age|disk|resolves|reachable|first-event|compressed|idle|list|call|answers-429|retry-after|body|same-server|read-timeout)$|^(tls\/(trusted|name|expires-soon|key-matches)|http\/(answers|no-redirect|clock)|protocol\/(modern|legacy))$/.test(
    code,
  ),
);

/** A burst of so many answers, a little uneven, the last one refused. */
function answeredUntil(count: number): { atMs: number; status: number }[] {
  return Array.from({ length: count }, (_, index) => ({
    atMs: index * 0.75 + (index % 8) * 0.9 + (index > 60 ? 22 : 0),
    status: index === count - 1 ? 429 : 200,
  }));
}

function measured(seen: Observations): Observations {
  const chain = [
    leaf(),
    leaf({
      subject: 'CN=mcp-deploy private CA',
      names: [],
      isCa: true,
      selfIssued: true,
      notBefore: '2026-05-01T00:00:00.000Z',
      notAfter: '2036-05-01T00:00:00.000Z',
      daysLeft: 3_449,
    }),
  ];
  const timed = limits(tls(seen, { chain, durationMs: 11.4 }), { answered: answeredUntil(121) });
  const idle = { ...timed.idle, heardAtMs: [15_002, 30_004, 45_003, 60_006, 75_004] };
  return { ...timed, idle, name: { status: 'ok', literal: false, v4: ['192.0.2.10'], v6: [], durationMs: 4.2 } };
}

/** nginx that holds the stream back, by its configuration and by the clock. */
function buffered(): Observations {
  const seen = behindNginx(measured(foreign(healthyObservations())), (text) =>
    text.replace('      proxy_buffering off;\n', '      proxy_buffering on;\n'),
  );
  const known = withKey(seen, answer(200, { jsonrpc: '2.0', id: 1, result: {} }, { server: 'nginx/1.22.1' }));
  return {
    ...tls(known, { chain: [leaf({ daysLeft: 11, notAfter: '2026-12-03T00:00:00.000Z' })] }),
    stream: {
      status: 'ok',
      kind: 'get',
      opened: { headersMs: 2_013, firstByteMs: 2_014, watchedMs: 2_014 },
      compressed: { encoding: null, headersMs: 2_004, watchedMs: 2_304 },
    },
  };
}

/** One healthy result, one broken, and one of which a part could not be told. */
export const reportCases: readonly (readonly [name: string, report: DoctorReport])[] = [
  ['healthy', judgeAll(measured(healthyObservations()), some)],
  ['broken', judgeAll(buffered(), some)],
  [
    'partly-unknown',
    judgeAll(
      target(
        {
          ...host(measured(healthyObservations()), { keyStore: 'fine', keys: null, disk: null }),
          stream: { status: 'failed', reason: 'no session could be opened for it', failure: null },
          modern: { status: 'failed', reason: 'the look took too long', failure: null },
          legacy: { status: 'failed', reason: 'the look took too long', failure: null },
        },
        {},
      ),
      some,
    ),
  ],
];

/** Everything that a server could say to harm who reads a report of it. */
export const hostileText =
  "]]><script>alert('1')</script> `code` ``` | <img src=x onerror=alert(1)> </style></title> [a](javascript:alert(1)) " +
  '{{x}} {{{y}}} @octocat #1 <!-- --> \u001b[2J\u001b]0;x\u0007 \u0000 \u009b31m \u202egnp.exe \u2066 \u200b \ufffe \ud800 </details>\n\n# head\n\n| a |';

/** A report in which a server chose every word, one of them very long. */
export function hostileReport(length = 1_048_576): DoctorReport {
  const [, report] = reportCases[1] as (typeof reportCases)[number];
  const long = hostileText + 'A`|<'.repeat(Math.ceil(length / 4));
  const { measures } = report;
  return {
    ...report,
    path: report.path.map((hop) => ({ ...hop, label: long })),
    findings: report.findings.map((finding) => ({
      ...finding,
      title: long,
      cause: long,
      evidence: [{ source: long, observed: long, expected: long }],
      fix: { summary: long, commands: [hostileText], diff: `+${hostileText}` },
    })),
    passed: report.passed.map((each) => ({ ...each, detail: hostileText })),
    notChecked: report.notChecked.map((each) => ({ ...each, reason: hostileText })),
    measures: {
      ...measures,
      certificates: measures.certificates.map((each) => ({ ...each, subject: long, issuer: long, names: [long] })),
    },
  };
}
