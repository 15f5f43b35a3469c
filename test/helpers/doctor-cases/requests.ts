import type { WaySeen } from '../../../src/doctor/observations.ts';
import { answer, answers, foreign, healthyWay, page } from '../healthy-observations.ts';
import type { Case, Tripping } from './parts.ts';

const sizes = (change: object): WaySeen['sizes'] =>
  ({ ...(healthyWay().sizes as { status: 'ok' }), ...change }) as never;
const fine = answer(200, { result: {} });

/** What single requests get that are large, wrong or of a stranger. */
export const requestsTripping: readonly Tripping[] = [
  {
    code: 'sizes/body',
    fact: 'the 413 page of nginx',
    hop: 'proxy',
    change: (seen) => ({ ...seen, sizes: sizes({ body: page(413, '<h1>413</h1>') }) }),
  },
  {
    code: 'sizes/body',
    fact: 'a page of a server of somebody else, which may be meant so',
    severity: 'warning',
    change: (seen) => ({ ...foreign(seen), sizes: sizes({ body: page(413, 'too large') }) }),
  },
  {
    code: 'sizes/header',
    fact: 'the 400 page of nginx',
    hop: 'proxy',
    change: (seen) => ({ ...seen, sizes: sizes({ header: page(400, 'Request Header Or Cookie Too Large') }) }),
  },
  {
    code: 'http/errors-json',
    fact: 'a page for a malformed body',
    change: (seen) => ({ ...seen, errors: { status: 'ok', malformed: page(400, '<h1>Bad Request</h1>') } }),
  },
  {
    code: 'http/origin-refused',
    fact: 'a page of a stranger is answered',
    change: (seen) => ({ ...seen, guards: { status: 'ok', foreignOrigin: fine, foreignHost: null } }),
  },
  {
    code: 'http/host-refused',
    fact: 'any Host is answered on loopback',
    severity: 'warning',
    change: (seen) => ({
      ...foreign(seen),
      guards: { status: 'ok', foreignOrigin: answer(403, {}), foreignHost: fine },
    }),
  },
  {
    code: 'http/keep-alive',
    fact: 'every answer closes the connection',
    severity: 'warning',
    change: (seen) => answers(seen, { bearer: answer(200, { result: {} }, { connection: 'close' }) }),
  },
  {
    code: 'http/clock',
    fact: 'the server is an hour behind',
    severity: 'warning',
    change: (seen) => answers(seen, { bearer: answer(200, { result: {} }, { date: 'Sat, 21 Nov 2026 11:00:00 GMT' }) }),
  },
];

export const requestsNearMiss: readonly Case[] = [
  {
    code: 'sizes/body',
    fact: 'the server itself says in JSON that it is too much',
    change: (seen) => ({ ...seen, sizes: sizes({ body: answer(413, { title: 'Too large' }) }) }),
  },
  {
    code: 'sizes/header',
    fact: 'a 400 in JSON is about something else',
    change: (seen) => ({ ...seen, sizes: sizes({ header: answer(400, { error: {} }) }) }),
  },
  {
    code: 'http/errors-json',
    fact: 'plain text',
    change: (seen) => ({
      ...seen,
      errors: { status: 'ok', malformed: answer(400, undefined, { 'content-type': 'text/plain' }) },
    }),
  },
  {
    code: 'http/origin-refused',
    fact: 'open to every page on purpose',
    change: (seen) => ({
      ...foreign(seen),
      guards: {
        status: 'ok',
        foreignOrigin: answer(200, {}, { 'access-control-allow-origin': '*' }),
        foreignHost: null,
      },
    }),
  },
  {
    code: 'http/host-refused',
    fact: '421',
    change: (seen) => ({
      ...seen,
      guards: { status: 'ok', foreignOrigin: answer(403, {}), foreignHost: answer(421, {}) },
    }),
  },
  {
    code: 'http/keep-alive',
    fact: 'only the refusal closes the connection',
    change: (seen) => answers(seen, { noKey: answer(401, {}, { connection: 'close', 'www-authenticate': 'Bearer' }) }),
  },
  {
    code: 'http/clock',
    fact: 'half a minute behind',
    change: (seen) => answers(seen, { bearer: answer(200, { result: {} }, { date: 'Sat, 21 Nov 2026 11:59:30 GMT' }) }),
  },
];
