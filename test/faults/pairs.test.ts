import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/doctor/checks/catalogue.ts';
import type { FixtureOptions } from '../fixtures/mcp-servers/fixture-server.ts';
import { faults, type Fault } from './endpoint-faults.ts';
import { diagnose, inShort, serve } from './laboratory.ts';

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
const order = catalogue.map(({ code }) => code);
const chosen = codes
  .map((code) => faults.find((fault) => fault.code === code))
  .filter((fault) => fault !== undefined)
  .toSorted((a, b) => order.indexOf(a.code) - order.indexOf(b.code));
const pairs = chosen.flatMap((first, index) => chosen.slice(index + 1).map((second) => [first, second] as const));

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

function together(first: Fault, second: Fault): Partial<FixtureOptions> {
  const intercepts = [first.server?.intercept, second.server?.intercept].filter((each) => each !== undefined);
  return {
    ...second.server,
    ...first.server,
    intercept: (request, response, body) => intercepts.some((each) => each(request, response, body)),
  };
}
