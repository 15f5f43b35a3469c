import type { Observations, WaySeen } from '../../../src/doctor/observations.ts';
import { answer, answers, foreign, healthyWay, metricsText, page, target, withKey } from '../healthy-observations.ts';
import { noClients, type Case, type Tripping } from './parts.ts';

const use = (seen: Observations, change: object): Observations => ({
  ...seen,
  sessionUse: { ...(healthyWay().sessionUse as { status: 'ok' }), ...change } as WaySeen['sessionUse'],
});
const metrics = (seen: Observations, change: object): Observations => ({
  ...seen,
  metrics: { ...(healthyWay().metrics as { status: 'ok' }), ...change } as WaySeen['metrics'],
});
const fine = answer(200, { result: {} });
const lost = answer(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } });
const busy = answer(400, { jsonrpc: '2.0', id: null, error: { code: -32600, message: 'Server already initialized' } });

export const securityTripping: readonly Tripping[] = [
  {
    code: 'sizes/body',
    fact: 'the body parser of the server refuses it, in a page of Express',
    severity: 'warning',
    hop: 'server',
    change: (seen) => ({
      ...foreign(seen),
      sizes: {
        ...(healthyWay().sizes as { status: 'ok' } & object),
        body: page(413, '<title>Error</title></head><body><pre>PayloadTooLargeError'),
      } as WaySeen['sizes'],
    }),
  },
  {
    code: 'http/not-challenged',
    fact: 'a challenge, told by its header',
    hop: 'proxy',
    change: (seen) => noClients(withKey(seen, page(403, 'x', { 'cf-mitigated': 'challenge' }))),
  },
  {
    code: 'http/not-parked',
    fact: 'the page of a dealer',
    hop: 'dns',
    change: (seen) => noClients(withKey(seen, page(200, '<script src="//www.sedoparking.com/x.js">'))),
  },
  {
    code: 'health/metrics-private',
    fact: 'a stranger reads them',
    severity: 'warning',
    change: (seen) => metrics(seen, { open: metricsText() }),
  },
  {
    code: 'health/metrics',
    fact: 'a page in their place',
    severity: 'warning',
    change: (seen) => metrics(seen, { withKey: page(200, '<html>') }),
  },
  {
    code: 'session/foreign-key',
    fact: 'any key reads on',
    hop: 'server',
    change: (seen) => use(seen, { wrongKey: fine, otherKey: null }),
  },
  {
    code: 'session/foreign-key',
    fact: 'another good key reads on',
    hop: 'server',
    change: (seen) => use(seen, { otherKey: fine }),
  },
  {
    code: 'session/parallel',
    fact: 'the second is refused',
    hop: 'server',
    change: (seen) => use(seen, { second: { opened: false, answer: busy } }),
  },
  {
    code: 'session/parallel',
    fact: 'the second has the id of the first',
    hop: 'server',
    change: (seen) => use(seen, { second: { opened: true, sameId: true, inFirst: fine, inSecond: fine } }),
  },
  {
    code: 'session/parallel',
    fact: 'the second ends the first',
    hop: 'server',
    change: (seen) => use(seen, { second: { opened: true, sameId: false, inFirst: lost, inSecond: fine } }),
  },
];

export const securityNearMiss: readonly Case[] = [
  {
    code: 'http/not-challenged',
    fact: 'a CDN that passes everything on',
    change: (seen) =>
      answers(seen, { bearer: answer(200, { jsonrpc: '2.0', id: 1, result: {} }, { server: 'cloudflare' }) }),
  },
  {
    code: 'http/not-parked',
    fact: 'JSON that speaks of a domain for sale',
    change: (seen) =>
      withKey(seen, answer(200, { jsonrpc: '2.0', id: 1, result: { instructions: 'this domain is for sale' } })),
  },
  {
    code: 'health/metrics-private',
    fact: 'asked on the machine itself',
    change: (seen) => metrics(target(foreign(seen), { loopback: true }), { open: metricsText(), withKey: null }),
  },
  {
    code: 'health/metrics',
    fact: 'switched off',
    change: (seen) => metrics(seen, { withKey: answer(404, { error: 'not_found' }) }),
  },
  {
    code: 'session/foreign-key',
    fact: 'there is no second key',
    change: (seen) => use(seen, { otherKey: null }),
  },
  {
    code: 'session/parallel',
    fact: 'the limit is reached right now',
    change: (seen) =>
      use(foreign(seen), { second: { opened: true, sameId: false, inFirst: answer(429, {}), inSecond: fine } }),
  },
];
