import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import type { FixtureOptions } from '../fixtures/mcp-servers/fixture-server.ts';
import type { DoctorReport } from '../../src/doctor/types.ts';
import { faults as endpointFaults, type Fault } from './endpoint-faults.ts';
import { diagnose, inShort, serve } from './laboratory.ts';
import { ownFaults } from './own-faults.ts';
import { diagnoseOwn } from './own-laboratory.ts';
import { securityFaults } from './security-faults.ts';

const faults = [...endpointFaults, ...securityFaults];

/** Faults of different places that one server can have at once. */
const codes = [
  'key/well-formed',
  'tls/not-expired',
  'http/no-redirect',
  'http/json-not-html',
  'http/well-knowns-json',
  'key/none-refused',
  'protocol/legacy',
  'protocol/unknown-session',
  'tools/call',
];
/** Those that only some servers have: with the next of them, with an error before them, and with one behind. */
const rarer = ['tls/alpn-kept', 'key/scheme-case', 'cors/methods', 'limits/recovers', 'limits/other-key'];
const order = catalogue.map(({ code }) => code);
const pairs = pairsOf(codes);
const rarerPairs = [
  ...rarer.slice(1).flatMap((code, index) => pairsOf([rarer[index] ?? '', code])),
  ...rarer.flatMap((code) => [...pairsOf(['tls/not-expired', code]), ...pairsOf([code, 'protocol/unknown-session'])]),
];

function pairsOf(among: readonly string[]): readonly (readonly [Fault, Fault])[] {
  const chosen = among
    .map((code) => faults.find((fault) => fault.code === code))
    .filter((fault) => fault !== undefined)
    .toSorted((a, b) => order.indexOf(a.code) - order.indexOf(b.code));
  return chosen.flatMap((first, index) => chosen.slice(index + 1).map((second) => [first, second] as const));
}

describe('of two faults at once the first on the way is the root cause', () => {
  test.each(pairs.map(([first, second]) => [`${first.code} before ${second.code}`, first, second] as const))(
    '%s',
    async (_, first, second) => {
      const server = await serve(together(first, second));
      const report = await diagnose(server.url, { ...second.doctor, ...first.doctor, limits: false });
      expect(report.rootCause, inShort(report)).toBe(first.code);
    },
  );
});

describe('of two faults at once an error comes before a warning, then the first on the way, and neither is taken for well', () => {
  test.each(rarerPairs.map(([first, second]) => [`${first.code} and ${second.code}`, first, second] as const))(
    '%s',
    async (_, first, second) => {
      const server = await serve(together(first, second));
      expectBoth(await diagnose(server.url, { ...second.doctor, ...first.doctor }), first, second);
    },
  );

  const upstreams = ownFaults.filter(({ code, server }) => code === 'health/upstreams' && server !== undefined);
  const partners = [...faults, ...ownFaults].filter(({ code }) => ['tls/alpn-kept', 'limits/headers'].includes(code));
  const ownPairs = upstreams.flatMap((one) =>
    partners.map(
      (other) => (order.indexOf(one.code) < order.indexOf(other.code) ? [one, other] : [other, one]) as [Fault, Fault],
    ),
  );
  test.each(ownPairs.map(([first, second]) => [`${first.code} and ${second.code}`, first, second] as const))(
    '%s, of the own deployment',
    async (_, first, second) => {
      expectBoth(await diagnoseOwn({ server: together(first, second) }), first, second);
    },
  );

  test('every one of them is in a pair', () => {
    const paired = new Set([...rarerPairs, ...ownPairs].flatMap((pair) => pair.map(({ code }) => code)));
    expect([...rarer, 'health/upstreams'].filter((code) => !paired.has(code))).toEqual([]);
    expect(ownPairs.length).toBe(2);
  });
});

function expectBoth(report: DoctorReport, first: Fault, second: Fault): void {
  const byWeight = [first, second].toSorted((a, b) => weightOf(a) - weightOf(b));
  expect(report.findings[0]?.code, inShort(report)).toBe(byWeight[0]?.code);
  expect(report.passed.filter(({ code }) => code === first.code || code === second.code)).toEqual([]);
}

function weightOf({ severity = 'error' }: Fault): number {
  return severity === 'error' ? 0 : 1;
}

function together(first: Fault, second: Fault): Partial<FixtureOptions> {
  const intercepts = [first.server?.intercept, second.server?.intercept].filter((each) => each !== undefined);
  return {
    ...second.server,
    ...first.server,
    ...(first.server?.limit && second.server?.limit
      ? { limit: { ...second.server.limit, ...first.server.limit } }
      : {}),
    intercept: (request, response, body) => intercepts.some((each) => each(request, response, body)),
  };
}
