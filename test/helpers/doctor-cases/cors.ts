import type { Observations } from '../../../src/doctor/observations.ts';
import { answer, foreign, healthyWay, pageOrigin } from '../healthy-observations.ts';
import { noSession, type Case, type Tripping } from './parts.ts';

const cors = (seen: Observations, change: object): Observations => ({
  ...seen,
  cors: { ...(healthyWay().cors as { status: 'ok' }), ...change } as never,
});
const allowAll = { 'access-control-allow-origin': pageOrigin };
const fine = answer(200, { result: {} });

/** What a page of a browser is told. */
export const corsTripping: readonly Tripping[] = [
  {
    code: 'cors/single-origin',
    fact: 'both add it',
    hop: 'proxy',
    change: (seen) => cors(seen, { actual: answer(200, {}, { 'access-control-allow-origin': `${pageOrigin}, *` }) }),
  },
  {
    code: 'cors/preflight',
    fact: 'MCP-Protocol-Version may not be sent',
    change: (seen) =>
      cors(seen, {
        preflight: answer(204, null, { ...allowAll, 'access-control-allow-headers': 'authorization, content-type' }),
      }),
  },
  {
    code: 'cors/preflight',
    fact: 'the preflight is asked for a key',
    severity: 'warning',
    change: (seen) => cors(foreign(seen), { promised: false, preflight: answer(401, {}) }),
  },
  {
    code: 'cors/exposed',
    fact: 'the session id is not exposed',
    change: (seen) => cors(seen, { actual: answer(200, {}, allowAll) }),
  },
  {
    code: 'cors/methods',
    fact: 'a page may not send DELETE',
    hop: 'server',
    change: (seen) =>
      cors(seen, { preflightDelete: answer(204, null, { ...allowAll, 'access-control-allow-methods': 'GET, POST' }) }),
  },
  {
    code: 'cors/methods',
    fact: 'a server of somebody else refuses the preflight of a DELETE',
    severity: 'warning',
    change: (seen) => cors(foreign(seen), { promised: false, preflightDelete: answer(405, {}) }),
  },
];

export const corsNearMiss: readonly Case[] = [
  {
    code: 'cors/single-origin',
    fact: 'a star',
    change: (seen) =>
      cors(foreign(seen), {
        promised: false,
        preflight: answer(204, null, {
          'access-control-allow-origin': '*',
          'access-control-allow-headers': '*, Authorization',
        }),
        actual: answer(200, {}, { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' }),
      }),
  },
  {
    code: 'cors/preflight',
    fact: 'no page is let in, and none was promised',
    change: (seen) => cors(seen, { promised: false, preflight: answer(401, {}), actual: fine }),
  },
  {
    code: 'cors/exposed',
    fact: 'a server without sessions has none to expose',
    change: (seen) => ({ ...cors(foreign(seen), { actual: answer(200, {}, allowAll) }), sessionUse: noSession }),
  },
  {
    code: 'cors/methods',
    fact: 'a star stands for every method',
    change: (seen) =>
      cors(seen, { preflightDelete: answer(200, null, { ...allowAll, 'access-control-allow-methods': '*' }) }),
  },
  {
    code: 'cors/methods',
    fact: 'a server without sessions has none to end',
    change: (seen) => ({ ...cors(foreign(seen), { preflightDelete: answer(405, {}) }), sessionUse: noSession }),
  },
];
