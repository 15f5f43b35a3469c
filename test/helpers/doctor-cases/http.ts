import { answer, answers, foreign, health, noAnswer, page, programs, withKey } from '../healthy-observations.ts';
import { rpcError, noClients, noKeyAnswer, type Case, type Tripping } from './parts.ts';

export const httpTripping: readonly Tripping[] = [
  {
    code: 'http/answers',
    fact: 'the server says nothing',
    hop: 'server',
    change: (seen) => withKey(seen, noAnswer('timed-out', 'no answer within 10000 ms')),
  },
  {
    code: 'http/no-redirect',
    fact: 'the path is redirected to the one with a slash',
    hop: 'proxy',
    change: (seen) => withKey(seen, page(301, 'Moved', { location: '/mcp/' })),
  },
  {
    code: 'http/json-not-html',
    fact: 'a login page answers everything',
    hop: 'proxy',
    change: (seen) => answers(withKey(seen, page(200, 'Sign in')), { noKey: page(200, 'Sign in') }),
  },
  {
    code: 'http/json-not-html',
    fact: 'a login page answers those without a key',
    hop: 'proxy',
    change: (seen) => answers(seen, { noKey: page(200, 'Sign in') }),
  },
  {
    code: 'http/host-allowed',
    fact: 'the Host name is refused with 421',
    hop: 'server',
    change: (seen) => noClients(withKey(seen, answer(421, { error: 'misdirected' }))),
  },
  {
    code: 'http/host-allowed',
    fact: 'the Host name is refused with 403 and said so',
    hop: 'server',
    change: (seen) => noClients(withKey(seen, answer(403, { error: 'Invalid Host header' }))),
  },
  {
    code: 'http/endpoint-found',
    fact: 'a JSON 404 without JSON-RPC',
    hop: 'server',
    change: (seen) => noClients(withKey(seen, answer(404, { error: 'not_found' }))),
  },
  {
    code: 'http/endpoint-found',
    fact: 'the 404 page of a proxy',
    hop: 'proxy',
    change: (seen) => noClients(withKey(seen, page(404, '404 Not Found'))),
  },
  {
    code: 'http/no-server-error',
    fact: 'the 502 page of a proxy',
    hop: 'proxy',
    change: (seen) => noClients(foreign(withKey(seen, page(502, 'Bad Gateway')))),
  },
  {
    code: 'http/no-server-error',
    fact: 'a 500 of the server',
    hop: 'server',
    change: (seen) => noClients(foreign(withKey(seen, answer(500, rpcError(-32603))))),
  },
  {
    code: 'http/well-knowns-json',
    fact: 'a web application answers with a page',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      wellKnown: {
        status: 'ok',
        resourceMetadata: null,
        answers: [{ path: '/.well-known/openid-configuration', answer: page(200, '<html>') }],
      },
    }),
  },
  {
    code: 'health/up',
    fact: '/health is not there',
    change: (seen) => health(seen, { health: answer(404, {}) }),
  },
  {
    code: 'health/ready',
    fact: 'the only upstream is down, and so nothing else works',
    change: (seen) =>
      health(noClients(withKey(seen, answer(503, { title: 'not ready' }))), {
        ready: answer(503, { upstreams: [{ name: 'files', state: 'down', reason: 'exited with 1' }] }),
        programs: programs({ state: 'down', reason: 'exited with 1' }),
      }),
  },
  {
    code: 'health/upstreams',
    fact: 'one of several is down',
    severity: 'warning',
    hop: 'server',
    change: (seen) =>
      health(seen, { programs: programs({ state: 'down', reason: 'exited with 1', lastWords: ['no such file'] }) }),
  },
  {
    code: 'health/upstreams',
    fact: 'it ends again and again, and is up just now',
    severity: 'warning',
    hop: 'server',
    change: (seen) => health(seen, { programs: programs({ restarts: 90, since: '2026-11-21T11:59:00.000Z' }) }),
  },
];

export const httpNearMiss: readonly Case[] = [
  {
    code: 'http/answers',
    fact: 'a slow answer',
    change: (seen) =>
      withKey(seen, { ...(answer(200, { jsonrpc: '2.0', result: {} }) as object), durationMs: 9_000 } as never),
  },
  {
    code: 'http/no-redirect',
    fact: 'only those without a key are sent to a login',
    change: (seen) => noKeyAnswer(foreign(seen), page(302, '', { location: '/login' })),
  },
  {
    code: 'http/json-not-html',
    fact: 'a refusal in HTML',
    change: (seen) => noKeyAnswer(seen, page(401, 'no', { 'www-authenticate': 'Bearer' })),
  },
  {
    code: 'http/host-allowed',
    fact: 'a 403 for the key alone',
    change: (seen) => noKeyAnswer(seen, answer(403, { error: 'forbidden' })),
  },
  {
    code: 'http/endpoint-found',
    fact: 'a JSON-RPC error with 404: a server that does not know server/discover',
    change: (seen) => withKey(seen, answer(404, rpcError(-32601))),
  },
  {
    code: 'http/no-server-error',
    fact: 'a 500 for the question, while clients work',
    change: (seen) => withKey(foreign(seen), answer(500, rpcError(-32603))),
  },
  {
    code: 'http/well-knowns-json',
    fact: 'a 404 page',
    change: (seen) => ({
      ...seen,
      wellKnown: {
        status: 'ok',
        resourceMetadata: null,
        answers: [{ path: '/.well-known/openid-configuration', answer: page(404, '<html>') }],
      },
    }),
  },
  { code: 'health/up', fact: 'a foreign server has no such path', change: (seen) => foreign(seen) },
  {
    code: 'health/ready',
    fact: 'one upstream of two is down',
    change: (seen) =>
      health(seen, {
        ready: answer(200, {
          upstreams: [
            { name: 'a', state: 'up' },
            { name: 'b', state: 'down' },
          ],
        }),
      }),
  },
  {
    code: 'health/upstreams',
    fact: 'three restarts, and it has run for an hour since',
    change: (seen) => health(seen, { programs: programs({ restarts: 3, since: '2026-11-21T11:00:00.000Z' }) }),
  },
  {
    code: 'health/upstreams',
    fact: 'a restart a month, and one just now',
    change: (seen) => health(seen, { programs: programs({ restarts: 3, since: '2026-11-21T11:59:00.000Z' }) }),
  },
  {
    code: 'health/upstreams',
    fact: 'one that still starts',
    change: (seen) => health(seen, { programs: programs({ state: 'starting', since: '2026-11-21T11:59:59.000Z' }) }),
  },
];
