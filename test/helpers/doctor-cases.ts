import type { Observations } from '../../src/doctor/observations.ts';
import type { Hop, Severity } from '../../src/doctor/types.ts';
import {
  answer,
  answers,
  client,
  foreign,
  host,
  leaf,
  limits,
  noAnswer,
  page,
  stuck,
  target,
  tls,
  withKey,
} from './healthy-observations.ts';

export interface Case {
  readonly code: string;
  readonly fact: string;
  readonly change: (healthy: Observations) => Observations;
}

export interface Tripping extends Case {
  readonly severity?: Severity;
  readonly hop?: Hop;
}

const failure = (
  kind: 'refused' | 'timed-out' | 'unreachable' | 'reset' | 'not-tls' | 'name-unknown',
  code: string,
) => ({
  kind,
  code,
  message: `${code} happened`,
});
const refusedAt = (address: string, family: 4 | 6 = 4) =>
  ({ address, family, outcome: { connected: false, failure: failure('refused', 'ECONNREFUSED') } }) as const;
const connectedAt = (address: string, family: 4 | 6 = 4) =>
  ({ address, family, outcome: { connected: true, durationMs: 1 } }) as const;
const rpcError = (code: number) => ({ jsonrpc: '2.0', id: null, error: { code, message: 'no' } });

/** Each of these is named first, before anything that follows from it. */
export const tripping: readonly Tripping[] = [
  {
    code: 'key/well-formed',
    fact: 'the key file says Bearer',
    hop: 'client',
    change: (seen) => target(seen, { keyFlaw: 'starts with the word Bearer' }),
  },
  {
    code: 'tls/key-matches',
    fact: 'the key is another one',
    hop: 'host',
    change: (seen) => host(seen, { keyMatches: false }),
  },
  {
    code: 'tls/key-matches',
    fact: 'the key is another one and so the server does not run',
    hop: 'host',
    change: (seen) => ({
      ...host(seen, { keyMatches: false, serverRunning: false }),
      tcp: { status: 'ok', attempts: [refusedAt('192.0.2.10')] },
    }),
  },
  {
    code: 'host/server-running',
    fact: 'the process is gone',
    hop: 'host',
    change: (seen) => ({
      ...host(seen, { serverRunning: false }),
      tcp: { status: 'ok', attempts: [refusedAt('192.0.2.10')] },
    }),
  },
  {
    code: 'name/resolves',
    fact: 'the name is unknown',
    hop: 'dns',
    change: (seen) => ({
      ...seen,
      name: { status: 'failed', reason: 'ENOTFOUND', failure: failure('name-unknown', 'ENOTFOUND') },
      tcp: { status: 'skipped', reason: 'no address' },
    }),
  },
  {
    code: 'name/resolves',
    fact: 'the look-up answers with nothing',
    hop: 'dns',
    change: (seen) => ({ ...seen, name: { status: 'ok', literal: false, v4: [], v6: [] } }),
  },
  {
    code: 'tcp/reachable',
    fact: 'every address refuses',
    hop: 'tcp',
    change: (seen) => ({
      ...seen,
      tcp: { status: 'ok', attempts: [refusedAt('192.0.2.10'), refusedAt('2001:db8::10', 6)] },
    }),
  },
  {
    code: 'tcp/every-address',
    fact: 'the IPv6 address of a public name refuses',
    severity: 'warning',
    change: (seen) => ({
      ...seen,
      tcp: { status: 'ok', attempts: [connectedAt('192.0.2.10'), refusedAt('2001:db8::10', 6)] },
    }),
  },
  {
    code: 'tls/encrypted',
    fact: 'http:// over a network with a key',
    hop: 'client',
    change: (seen) => ({
      ...foreign(target(seen, { encrypted: false, url: 'http://mcp.example.com/mcp' })),
      tls: { status: 'skipped', reason: 'http' },
      target: { ...foreign(seen).target, encrypted: false, url: 'http://mcp.example.com/mcp' },
    }),
  },
  {
    code: 'tls/handshake',
    fact: 'plain HTTP on the port',
    hop: 'tls',
    change: (seen) => tls(seen, { refused: failure('not-tls', 'EPROTO'), trustedBy: null, chain: [] }),
  },
  {
    code: 'tls/versions',
    fact: 'TLS 1.1 is accepted',
    severity: 'warning',
    change: (seen) => tls(seen, { versions: { upTo11: true, v12: true, v13: true } }),
  },
  {
    code: 'tls/chain-complete',
    fact: 'a public certificate comes without its intermediate',
    hop: 'tls',
    change: (seen) =>
      tls(foreign(seen), {
        trustedBy: null,
        trustError: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
        issuerUrl: 'http://r11.example/ca.der',
        chain: [leaf({ issuer: 'CN=R11' })],
      }),
  },
  {
    code: 'tls/trusted',
    fact: 'another CA has signed it',
    hop: 'tls',
    change: (seen) => tls(seen, { trustedBy: null, trustError: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }),
  },
  { code: 'tls/name', fact: 'it is for another name', hop: 'tls', change: (seen) => tls(seen, { nameMatches: false }) },
  {
    code: 'tls/not-expired',
    fact: 'it expired a second ago',
    hop: 'tls',
    change: (seen) =>
      tls(seen, {
        trustedBy: null,
        trustError: 'CERT_HAS_EXPIRED',
        chain: [leaf({ notAfter: '2026-11-21T11:59:59.000Z' })],
      }),
  },
  {
    code: 'tls/not-yet-valid',
    fact: 'it begins in a second',
    hop: 'tls',
    change: (seen) =>
      tls(seen, {
        trustedBy: null,
        trustError: 'CERT_NOT_YET_VALID',
        chain: [leaf({ notBefore: '2026-11-21T12:00:01.000Z' })],
      }),
  },
  {
    code: 'tls/expires-soon',
    fact: '19 of 92 days are left',
    severity: 'warning',
    change: (seen) =>
      tls(seen, { chain: [leaf({ notBefore: '2026-09-09T12:00:00.000Z', notAfter: '2026-12-10T12:00:00.000Z' })] }),
  },
  {
    code: 'tls/served-matches-file',
    fact: 'the file was renewed and not loaded',
    hop: 'tls',
    change: (seen) => host(seen, { certificateFingerprint: 'BB:BB' }),
  },
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
    code: 'key/none-refused',
    fact: 'callers without a key are answered',
    hop: 'server',
    change: (seen) => answers(seen, { noKey: answer(200, { jsonrpc: '2.0', id: 1, result: {} }) }),
  },
  {
    code: 'key/wrong-refused',
    fact: 'any key is accepted',
    hop: 'server',
    change: (seen) => answers(seen, { wrongKey: answer(200, { jsonrpc: '2.0', id: 1, result: {} }) }),
  },
  {
    code: 'key/bearer',
    fact: 'the key is refused in both shapes',
    hop: 'server',
    change: (seen) => noClients(withKey(seen, answer(401, { error: 'invalid_token' }))),
  },
  {
    code: 'key/bearer',
    fact: 'only x-api-key is accepted',
    hop: 'server',
    change: (seen) => noClients(answers(seen, { bearer: answer(401, { error: 'invalid_token' }) })),
  },
  {
    code: 'key/x-api-key',
    fact: 'our own server does not get x-api-key',
    change: (seen) => answers(seen, { xApiKey: answer(401, { error: 'invalid_request' }) }),
  },
  {
    code: 'key/x-api-key',
    fact: 'a foreign server reads Authorization only',
    severity: 'warning',
    change: (seen) => answers(foreign(seen), { xApiKey: answer(401, { error: 'invalid_request' }) }),
  },
  {
    code: 'key/challenge',
    fact: 'no WWW-Authenticate',
    severity: 'warning',
    change: (seen) => answers(seen, { noKey: answer(401, { error: 'invalid_request' }) }),
  },
  {
    code: 'key/challenge',
    fact: 'it names metadata that is not there',
    change: (seen) => challengeWith(seen, answer(404, { error: 'not_found' })),
  },
  {
    code: 'protocol/legacy',
    fact: '500 on initialize',
    change: (seen) => ({ ...seen, legacy: stuck('connect', 'initialize', 500) }),
  },
  {
    code: 'protocol/legacy',
    fact: '500 on initialize of a server of that era only',
    change: (seen) => ({
      ...seen,
      legacy: stuck('connect', 'initialize', 500),
      modern: stuck('connect', 'initialize', 500),
    }),
  },
  {
    code: 'protocol/legacy',
    fact: 'a foreign server of the modern era only',
    severity: 'warning',
    change: (seen) => ({ ...foreign(seen), legacy: stuck('connect', 'initialize', 400) }),
  },
  {
    code: 'protocol/modern',
    fact: '500 on server/discover while initialize works',
    change: (seen) => ({ ...seen, modern: stuck('connect', 'server/discover', 500) }),
  },
  {
    code: 'protocol/modern',
    fact: 'our own address answers in the legacy era only',
    change: (seen) => ({ ...seen, modern: { status: 'ok', ...client('legacy', '2025-11-25') } }),
  },
  {
    code: 'protocol/unknown-session',
    fact: 'an unknown session gets 400',
    change: (seen) => ({ ...seen, session: { status: 'ok', answer: answer(400, rpcError(-32000)) } }),
  },
  {
    code: 'tools/list',
    fact: 'tools/list fails',
    change: (seen) => ({ ...seen, modern: stuck('list', 'tools/list', 200) }),
  },
  {
    code: 'tools/call',
    fact: 'the call fails',
    change: (seen) => ({ ...seen, modern: stuck('call', 'tools/call', 200) }),
  },
  {
    code: 'tools/call',
    fact: 'the tool says isError',
    severity: 'warning',
    change: (seen) => ({
      ...seen,
      modern: {
        status: 'ok',
        ...client('modern', '2026-07-28'),
        called: { tool: 'echo', durationMs: 1, isError: true },
      },
    }),
  },
  {
    code: 'stream/first-event',
    fact: 'the head comes late',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      stream: { status: 'ok', kind: 'get', opened: { headersMs: 2_013, firstByteMs: 2_014, watchedMs: 2_014 } },
    }),
  },
  {
    code: 'stream/first-event',
    fact: 'no head comes at all',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      stream: { status: 'ok', kind: 'get', opened: { headersMs: null, firstByteMs: null, watchedMs: 4_000 } },
    }),
  },
  {
    code: 'stream/first-event',
    fact: 'the comment line of our own server is kept back',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      stream: { status: 'ok', kind: 'get', opened: { headersMs: 3, firstByteMs: null, watchedMs: 303 } },
    }),
  },
  {
    code: 'health/up',
    fact: '/health is not there',
    change: (seen) => ({ ...seen, health: { status: 'ok', health: answer(404, {}), ready: answer(200, {}) } }),
  },
  {
    code: 'health/ready',
    fact: 'the only upstream is down, and so nothing else works',
    change: (seen) => ({
      ...noClients(withKey(seen, answer(503, { title: 'not ready' }))),
      health: {
        status: 'ok',
        health: answer(200, {}),
        ready: answer(503, { upstreams: [{ name: 'files', state: 'down', reason: 'exited with 1' }] }),
      },
    }),
  },
  {
    code: 'limits/answers-429',
    fact: 'there is no limit',
    severity: 'warning',
    change: (seen) => limits(seen, { refusal: null, declared: null, sent: 200 }),
  },
  {
    code: 'limits/answers-429',
    fact: 'a declared limit is not kept',
    change: (seen) => limits(seen, { refusal: null, declared: { quota: 100, windowSeconds: 60 }, sent: 200 }),
  },
  {
    code: 'limits/answers-429',
    fact: 'a proxy answers 503',
    hop: 'proxy',
    change: (seen) => limits(seen, { refusal: null, usualStatus: 503, sent: 200 }),
  },
  {
    code: 'limits/retry-after',
    fact: 'the 429 does not say when',
    change: (seen) => limits(seen, { refusal: answer(429, {}, { ratelimit: 'x', 'ratelimit-policy': 'x' }) }),
  },
  {
    code: 'limits/retry-after',
    fact: 'the date lies in the past',
    change: (seen) =>
      limits(seen, {
        refusal: answer(
          429,
          {},
          { 'retry-after': 'Sat, 21 Nov 2026 11:00:00 GMT', ratelimit: 'x', 'ratelimit-policy': 'x' },
        ),
      }),
  },
  {
    code: 'limits/headers',
    fact: 'our own 429 has lost its RateLimit headers',
    severity: 'warning',
    change: (seen) => limits(seen, { refusal: answer(429, {}, { 'retry-after': '1' }) }),
  },
  {
    code: 'host/file-modes',
    fact: 'the group may read the server key',
    change: (seen) => host(seen, { files: [{ path: '/k', what: 'server key', secret: true, mode: 0o640 }] }),
  },
  {
    code: 'host/file-modes',
    fact: 'others may write in the state folder',
    change: (seen) => host(seen, { files: [{ path: '/k', what: 'state folder', secret: false, mode: 0o777 }] }),
  },
  {
    code: 'host/key-age',
    fact: 'a key of 91 days',
    severity: 'warning',
    change: (seen) => host(seen, { keys: [{ id: 'k-1', label: 'default', ageDays: 91 }] }),
  },
  {
    code: 'host/disk',
    fact: '199 MB are left',
    severity: 'warning',
    change: (seen) => host(seen, { disk: { freeBytes: 199 * 1_048_576, path: '/x' } }),
  },
  {
    code: 'host/disk',
    fact: '19 MB are left',
    change: (seen) => host(seen, { disk: { freeBytes: 19 * 1_048_576, path: '/x' } }),
  },
];

/** Close to a fault and none: nothing at all is found. */
export const nearMiss: readonly Case[] = [
  {
    code: 'key/well-formed',
    fact: 'no key is given to a server that asks for none',
    change: (seen) => openServer(seen),
  },
  { code: 'tls/key-matches', fact: 'a deployment without TLS has no pair', change: (seen) => loopbackHttp(seen) },
  { code: 'host/server-running', fact: 'a foreign server has no process here', change: (seen) => foreign(seen) },
  {
    code: 'name/resolves',
    fact: 'only an IPv6 address',
    change: (seen) => ({
      ...seen,
      name: { status: 'ok', literal: false, v4: [], v6: ['2001:db8::10'] },
      tcp: { status: 'ok', attempts: [connectedAt('2001:db8::10', 6)] },
    }),
  },
  {
    code: 'name/resolves',
    fact: 'an address instead of a name',
    change: (seen) => ({ ...seen, name: { status: 'ok', literal: true, v4: ['192.0.2.10'], v6: [] } }),
  },
  {
    code: 'tcp/reachable',
    fact: 'localhost, where only one family is listened on',
    change: (seen) => ({
      ...target(seen, { loopback: true, host: 'localhost' }),
      tcp: { status: 'ok', attempts: [connectedAt('127.0.0.1'), refusedAt('::1', 6)] },
    }),
  },
  {
    code: 'tcp/every-address',
    fact: 'this machine has no IPv6',
    change: (seen) => ({
      ...seen,
      tcp: {
        status: 'ok',
        attempts: [
          connectedAt('192.0.2.10'),
          {
            address: '2001:db8::10',
            family: 6,
            outcome: { connected: false, failure: failure('unreachable', 'ENETUNREACH') },
          },
        ],
      },
    }),
  },
  { code: 'tls/encrypted', fact: 'http:// on loopback', change: (seen) => loopbackHttp(seen) },
  { code: 'tls/handshake', fact: 'TLS 1.2', change: (seen) => tls(seen, { protocol: 'TLSv1.2' }) },
  {
    code: 'tls/versions',
    fact: 'TLS 1.3 alone',
    change: (seen) => tls(seen, { versions: { upTo11: false, v12: false, v13: true } }),
  },
  {
    code: 'tls/chain-complete',
    fact: 'a gap that clients close with a root they have',
    change: (seen) => tls(seen, { issuerUrl: 'http://r11.example/ca.der' }),
  },
  {
    code: 'tls/trusted',
    fact: 'by public roots although a CA was given',
    change: (seen) => tls(seen, { trustedBy: 'public roots' }),
  },
  {
    code: 'tls/name',
    fact: 'by a wildcard',
    change: (seen) => tls(seen, { chain: [leaf({ names: ['*.example.com'] })] }),
  },
  {
    code: 'tls/not-expired',
    fact: 'three weeks of a year are left',
    change: (seen) =>
      tls(seen, { chain: [leaf({ notBefore: '2025-12-01T00:00:00.000Z', notAfter: '2026-12-12T12:00:01.000Z' })] }),
  },
  {
    code: 'tls/not-yet-valid',
    fact: 'it began a second ago',
    change: (seen) => tls(seen, { chain: [leaf({ notBefore: '2026-11-21T11:59:59.000Z' })] }),
  },
  {
    code: 'tls/expires-soon',
    fact: '25 of 90 days are left: renewal is due and not late',
    change: (seen) =>
      tls(seen, { chain: [leaf({ notBefore: '2026-09-17T12:00:00.000Z', notAfter: '2026-12-16T12:00:00.000Z' })] }),
  },
  {
    code: 'tls/expires-soon',
    fact: 'two of six days are left',
    change: (seen) =>
      tls(seen, { chain: [leaf({ notBefore: '2026-11-17T12:00:00.000Z', notAfter: '2026-11-23T12:00:00.000Z' })] }),
  },
  {
    code: 'tls/served-matches-file',
    fact: 'a foreign server, whose files are elsewhere',
    change: (seen) => foreign(seen),
  },
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
  { code: 'key/none-refused', fact: 'a public server without keys', change: (seen) => openServer(seen) },
  {
    code: 'key/none-refused',
    fact: 'our own with auth.required false',
    change: (seen) =>
      answers(target(seen, { keysRequired: false, keyGiven: false }), {
        noKey: answer(200, { jsonrpc: '2.0', id: 1, result: {} }),
        wrongKey: null,
        bearer: null,
        xApiKey: null,
      }),
  },
  {
    code: 'key/wrong-refused',
    fact: 'guessing is slowed down with 429',
    change: (seen) => answers(seen, { wrongKey: answer(429, { status: 429 }) }),
  },
  {
    code: 'key/bearer',
    fact: 'the key is accepted and the request is not',
    change: (seen) => withKey(seen, answer(400, rpcError(-32000))),
  },
  {
    code: 'key/x-api-key',
    fact: 'a public server without keys',
    change: (seen) => openServer(seen),
  },
  {
    code: 'key/challenge',
    fact: 'OAuth whose metadata is there',
    change: (seen) => challengeWith(seen, answer(200, { authorization_servers: ['https://as.example'] })),
  },
  {
    code: 'protocol/legacy',
    fact: 'it connects and lists no tools',
    change: (seen) => ({ ...seen, legacy: { status: 'ok', ...client('legacy', '2025-03-26'), toolCount: null } }),
  },
  {
    code: 'protocol/modern',
    fact: 'a foreign server of the legacy era only',
    change: (seen) => ({
      ...foreign(seen),
      modern: {
        status: 'ok',
        ...client('legacy', '2025-11-25'),
        called: { tool: 'echo', durationMs: 4, isError: false },
      },
    }),
  },
  {
    code: 'protocol/unknown-session',
    fact: 'a server without sessions',
    change: (seen) => ({
      ...seen,
      legacy: { status: 'ok', ...client('legacy', '2025-11-25'), session: false },
      session: { status: 'ok', answer: answer(200, {}) },
    }),
  },
  {
    code: 'tools/list',
    fact: 'a server without tools',
    change: (seen) => ({
      ...seen,
      modern: { status: 'ok', ...client('modern', '2026-07-28'), toolCount: null },
      legacy: { status: 'ok', ...client('legacy', '2025-11-25'), toolCount: null },
    }),
  },
  {
    code: 'tools/call',
    fact: 'no tool is safe',
    change: (seen) => ({ ...seen, modern: { status: 'ok', ...client('modern', '2026-07-28') } }),
  },
  {
    code: 'stream/first-event',
    fact: 'the server has no GET stream',
    change: (seen) => ({ ...seen, stream: { status: 'ok', kind: 'get', opened: null } }),
  },
  {
    code: 'stream/first-event',
    fact: 'a foreign server that sends nothing yet',
    change: (seen) => ({
      ...foreign(seen),
      stream: { status: 'ok', kind: 'get', opened: { headersMs: 1_400, firstByteMs: null, watchedMs: 1_700 } },
    }),
  },
  { code: 'health/up', fact: 'a foreign server has no such path', change: (seen) => foreign(seen) },
  {
    code: 'health/ready',
    fact: 'one upstream of two is down',
    change: (seen) => ({
      ...seen,
      health: {
        status: 'ok',
        health: answer(200, {}),
        ready: answer(200, {
          upstreams: [
            { name: 'a', state: 'up' },
            { name: 'b', state: 'down' },
          ],
        }),
      },
    }),
  },
  {
    code: 'limits/answers-429',
    fact: 'our own limit is larger than what is sent',
    change: (seen) => unlimited(host(seen, { callLimit: { atOnce: 10_000, perSecond: 1_600 } }), 400),
  },
  {
    code: 'limits/answers-429',
    fact: 'our own limit fills up as quickly as calls are answered',
    change: (seen) => unlimited(seen, 4_001),
  },
  {
    code: 'limits/answers-429',
    fact: 'the owner has switched it off',
    change: (seen) => unlimited(host(seen, { callLimit: 'off' }), 400),
  },
  {
    code: 'limits/answers-429',
    fact: 'the declared limit of a foreign server lies above what is sent',
    change: (seen) => limits(unlimited(foreign(seen), 400), { declared: { quota: 100_000, windowSeconds: 60 } }),
  },
  {
    code: 'limits/answers-429',
    fact: 'it may not be tried',
    change: (seen) => ({ ...foreign(target(seen, {})), target: { ...foreign(seen).target, limitsAllowed: false } }),
  },
  {
    code: 'limits/retry-after',
    fact: 'as a date',
    change: (seen) =>
      limits(seen, {
        refusal: answer(
          429,
          {},
          { 'retry-after': 'Sat, 21 Nov 2026 12:00:30 GMT', ratelimit: 'x', 'ratelimit-policy': 'x' },
        ),
      }),
  },
  {
    code: 'limits/headers',
    fact: 'a foreign server without them',
    change: (seen) => limits(foreign(seen), { refusal: answer(429, {}, { 'retry-after': '1' }) }),
  },
  {
    code: 'host/file-modes',
    fact: '0400, and a certificate that all may read',
    change: (seen) =>
      host(seen, {
        files: [
          { path: '/k', what: 'server key', secret: true, mode: 0o400 },
          { path: '/c', what: 'certificate', secret: false, mode: 0o644 },
        ],
      }),
  },
  {
    code: 'host/key-age',
    fact: '90 days',
    change: (seen) => host(seen, { keys: [{ id: 'k-1', label: 'default', ageDays: 90 }] }),
  },
  {
    code: 'host/disk',
    fact: '200 MB',
    change: (seen) => host(seen, { disk: { freeBytes: 200 * 1_048_576, path: '/x' } }),
  },
];

/** 200 calls without a refusal. */
function unlimited(seen: Observations, durationMs: number): Observations {
  return limits(seen, { refusal: null, declared: null, sent: 200, durationMs });
}

/** What is seen when no client gets through. */
function noClients(seen: Observations): Observations {
  return {
    ...seen,
    modern: { status: 'skipped', reason: 'closed' },
    legacy: { status: 'skipped', reason: 'closed' },
    session: { status: 'skipped', reason: 'closed' },
    stream: { status: 'skipped', reason: 'closed' },
    limits: { status: 'skipped', reason: 'closed' },
  };
}

function noKeyAnswer(seen: Observations, given: ReturnType<typeof answer>): Observations {
  return answers(seen, { noKey: given });
}

function challengeWith(seen: Observations, metadata: ReturnType<typeof answer>): Observations {
  const url = 'https://mcp.example.com/.well-known/oauth-protected-resource';
  return {
    ...answers(seen, { noKey: answer(401, {}, { 'www-authenticate': `Bearer resource_metadata="${url}"` }) }),
    wellKnown: { status: 'ok', answers: [], resourceMetadata: { url, answer: metadata } },
  };
}

function openServer(seen: Observations): Observations {
  const open = answer(200, { jsonrpc: '2.0', id: 1, result: {} });
  return answers(target(foreign(seen), { keyGiven: false }), {
    noKey: open,
    wrongKey: null,
    bearer: null,
    xApiKey: null,
  });
}

function loopbackHttp(seen: Observations): Observations {
  return {
    ...target(seen, { encrypted: false, loopback: true, url: 'http://127.0.0.1:8080/mcp', host: '127.0.0.1' }),
    tls: { status: 'skipped', reason: 'http' },
  };
}
