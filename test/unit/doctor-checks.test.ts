import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import { judgeObservations } from '../../src/doctor/judge-observations.ts';
import type { Observations } from '../../src/doctor/observations.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { nearMiss, tripping } from '../helpers/doctor-cases.ts';
import type { Case } from '../helpers/doctor-cases/parts.ts';
import {
  answer,
  answers,
  behindNginx,
  foreign,
  healthyObservations,
  host,
  leaf,
  stuck,
  target,
  tls,
} from '../helpers/healthy-observations.ts';

function judge(observations: Observations): DoctorReport {
  return judgeObservations({
    observations,
    checks: catalogue,
    selected: new Set(catalogue.map(({ code }) => code)),
    durationMs: 1,
  });
}

test('nothing is found on a healthy deployment, and everything is judged', () => {
  const report = judge(healthyObservations());
  expect(report.findings).toEqual([]);
  // Without a proxy there is none to judge.
  expect(report.notChecked.filter(({ code }) => !code.startsWith('proxy/'))).toEqual([]);
  expect(report.ok).toBe(true);
});

test('nothing is found on a healthy deployment behind a proxy, and everything is judged', () => {
  const report = judge(behindNginx(healthyObservations()));
  expect(report.findings).toEqual([]);
  expect(report.notChecked).toEqual([]);
});

test('nothing is found on a healthy foreign server', () => {
  const report = judge(foreign(healthyObservations()));
  expect(report.findings).toEqual([]);
  expect(report.notChecked.filter(({ kind }) => kind !== 'not-applicable')).toEqual([]);
  expect(report.ok).toBe(true);
});

describe('trips', () => {
  test.each(tripping.map((each) => [`${each.code}: ${each.fact}`, each] as const))(
    '%s',
    (_, { code, change, severity = 'error', hop }) => {
      const report = judge(change(healthyObservations()));
      expect(report.findings[0]?.code, JSON.stringify(report.findings, null, 1)).toBe(code);
      expect(report.findings[0]?.severity).toBe(severity);
      expect(report.rootCause).toBe(severity === 'error' ? code : null);
      expect(report.ok).toBe(severity === 'warning');
      if (hop !== undefined) expect(report.findings[0]?.hop).toBe(hop);
      // One fault is one finding: the rest follows, or is fine.
      expect(report.findings).toHaveLength(1);
    },
  );
});

describe('stays silent', () => {
  test.each(nearMiss.map((each) => [`${each.code}: ${each.fact}`, each] as const))('%s', (_, { change }) => {
    const report = judge(change(healthyObservations()));
    expect(report.findings).toEqual([]);
    expect(report.ok, JSON.stringify(report.notChecked)).toBe(true);
  });
});

test('every code has a case that trips it and one that nearly does', () => {
  const codes = catalogue.map(({ code }) => code).toSorted();
  const covered = (cases: readonly Case[]): string[] => [...new Set(cases.map(({ code }) => code))].toSorted();
  expect(covered(tripping)).toEqual(codes);
  expect(covered(nearMiss)).toEqual(codes);
});

test('every finding says what was seen, what was expected and what to do', () => {
  for (const { change } of tripping) {
    for (const { title, evidence, fix, cause } of judge(change(healthyObservations())).findings) {
      expect(title).not.toBe('');
      expect(cause).not.toBe('');
      expect(evidence.length).toBeGreaterThan(0);
      expect(fix.summary).not.toBe('');
    }
  }
});

test('codes are unique, of their category, and come after those that explain them', () => {
  const seen = new Set<string>();
  for (const { code, category, after } of catalogue) {
    expect(seen.has(code), `${code} twice`).toBe(false);
    expect(code).toMatch(new RegExp(`^${category}/[a-z0-9-]+$`));
    for (const earlier of after) {
      expect(seen.has(earlier), `${code} is judged before ${earlier}`).toBe(true);
    }
    seen.add(code);
  }
});

test('a look that failed never gives a tick', () => {
  const lost = { status: 'failed', reason: 'lost', failure: null } as const;
  const { target: of } = healthyObservations();
  const report = judge({
    target: of,
    name: lost,
    tcp: lost,
    tls: lost,
    answers: lost,
    wellKnown: lost,
    health: lost,
    metrics: lost,
    modern: lost,
    legacy: lost,
    session: lost,
    stream: lost,
    limits: lost,
    host: lost,
    machine: lost,
    audit: lost,
    sessionUse: lost,
    idle: lost,
    sizes: lost,
    errors: lost,
    guards: lost,
    cors: lost,
    direct: lost,
    proxyConfig: lost,
  });
  expect(report.ok).toBe(false);
  expect(report.passed.map(({ code }) => code)).toEqual(['key/well-formed', 'tls/encrypted']);
});

test('of two faults the first on the way is the root cause', () => {
  const report = judge(
    host(tls({ ...healthyObservations(), legacy: stuck('connect', 'initialize', 500) }, { nameMatches: false }), {
      files: [{ path: '/k', what: 'server key', secret: true, mode: 0o644 }],
    }),
  );
  expect(report.rootCause).toBe('tls/name');
  expect(report.findings.map(({ code }) => code)).toEqual(['tls/name', 'host/file-modes']);
  expect(report.notChecked).toContainEqual({
    code: 'protocol/legacy',
    kind: 'follows',
    reason: 'follows from tls/name',
  });
});

test('the own deployment shows a certificate of the user: nothing of ours could issue it anew', () => {
  const untrusted = tls(healthyObservations(), { trustedBy: null, trustError: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  const [ofUser] = judge(target(untrusted, { own: true, caGiven: false })).findings;
  expect(ofUser?.fix.commands.join()).not.toContain('apply');
  const [ofOurCa] = judge(target(untrusted, { own: true, caGiven: true })).findings;
  expect(ofOurCa?.fix.commands.join()).toContain('apply');
});

test('a certificate that has expired and is of another CA is both, trust first', () => {
  const report = judge(
    tls(healthyObservations(), {
      trustedBy: null,
      trustError: 'CERT_HAS_EXPIRED',
      chain: [leaf({ notAfter: '2026-11-20T00:00:00.000Z' })],
      problems: [{ code: 'chain-incomplete', observed: 'x', expected: 'y' }],
    }),
  );
  expect(report.findings.map(({ code }) => code)).toEqual(['tls/trusted', 'tls/not-expired']);
});

test('a warning explains nothing', () => {
  const report = judge(answers(foreign(healthyObservations()), { xApiKey: answer(401, {}) }));
  expect(report.notChecked.filter(({ kind }) => kind === 'follows')).toEqual([]);
});

test('what was not selected is neither found nor passed', () => {
  const report = judgeObservations({
    observations: tls(healthyObservations(), { nameMatches: false }),
    checks: catalogue,
    selected: new Set(['protocol/legacy']),
    durationMs: 1,
  });
  expect(report.findings).toEqual([]);
  expect(report.ok).toBe(false);
  expect(report.notChecked).toContainEqual({
    code: 'protocol/legacy',
    kind: 'follows',
    reason: 'follows from tls/name',
  });
});
