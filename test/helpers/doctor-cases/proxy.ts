import type { Observations, WaySeen } from '../../../src/doctor/observations.ts';
import {
  answer,
  answers,
  behindNginx,
  client,
  foreign,
  healthyWay,
  page,
  pageOrigin,
  stuck,
} from '../healthy-observations.ts';
import type { Case, Tripping } from './parts.ts';

/** What is seen through the proxy, while the server itself is as it should be. */
const through = (seen: Observations, change: Partial<WaySeen>): Observations => ({ ...behindNginx(seen), ...change });
const sizes = (change: object): WaySeen['sizes'] =>
  ({ ...(healthyWay().sizes as { status: 'ok' }), ...change }) as never;
const cors = (change: object): WaySeen['cors'] => ({ ...(healthyWay().cors as { status: 'ok' }), ...change }) as never;
const use = (change: object): WaySeen['sessionUse'] =>
  ({ ...(healthyWay().sessionUse as { status: 'ok' }), ...change }) as never;
const directly = (seen: Observations, change: Partial<WaySeen>): Observations => ({
  ...seen,
  direct: { status: 'ok', url: 'http://127.0.0.1:8080/mcp', way: { ...healthyWay(), ...change } },
});
const lost = answer(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } });
const fine = answer(200, { result: {} });
const allowAll = { 'access-control-allow-origin': pageOrigin };

/** Faults that lie in front of the server, or are seen by comparing. */
export const proxyTripping: readonly Tripping[] = [
  {
    code: 'proxy/same-server',
    fact: 'another server answers through the proxy',
    change: (seen) =>
      through(seen, {
        modern: { status: 'ok', ...client('modern', '2026-07-28'), server: { name: 'other', version: '1' } },
      }),
  },
  {
    code: 'proxy/read-timeout',
    fact: 'nginx waits for a minute',
    severity: 'warning',
    change: (seen) => behindNginx(seen, (text) => text.replace('proxy_read_timeout 1h;', 'proxy_read_timeout 60s;')),
  },
  {
    code: 'proxy/http-version',
    fact: 'nginx does not say 1.1',
    severity: 'warning',
    change: (seen) => behindNginx(seen, (text) => text.replace('proxy_http_version 1.1;', '')),
  },
  {
    code: 'proxy/limit-status',
    fact: 'limit_req without a status',
    severity: 'warning',
    change: (seen) =>
      behindNginx(seen, (text) => text.replace('proxy_buffering', 'limit_req zone=a;\nproxy_buffering')),
  },
  {
    code: 'proxy/lost-headers',
    fact: 'an add_header in the location',
    severity: 'warning',
    change: (seen) =>
      behindNginx(seen, (text) => text.replace('proxy_buffering', 'add_header X-A b;\nproxy_buffering')),
  },
  {
    code: 'protocol/headers-kept',
    fact: 'the server misses a header that was sent',
    hop: 'proxy',
    change: (seen) =>
      answers(seen, {
        discovered: answer(400, { error: { code: -32020, message: 'the Mcp-Method header is missing' } }),
      }),
  },
  {
    code: 'protocol/headers-kept',
    fact: 'the answer has lost its session id',
    hop: 'proxy',
    change: (seen) => ({
      ...through(seen, {}),
      sessionUse: {
        status: 'ok',
        initialized: true,
        refusal: null,
        opened: false,
        answers: [],
        withoutKey: null,
        wrongKey: null,
        otherKey: null,
        second: null,
        badRevision: null,
      },
    }),
  },
  {
    code: 'protocol/headers-kept',
    fact: 'a revision that never was is accepted by our own server',
    hop: 'proxy',
    change: (seen) => ({ ...seen, sessionUse: use({ badRevision: fine }) }),
  },
  {
    code: 'session/kept',
    fact: 'half of the requests do not find the session',
    hop: 'proxy',
    change: (seen) => ({ ...foreign(seen), sessionUse: use({ answers: [fine, lost, fine, lost] }) }),
  },
  {
    code: 'session/kept',
    fact: 'no request finds it, and directly each does',
    hop: 'proxy',
    change: (seen) =>
      through(seen, { sessionUse: use({ answers: [lost, lost] }), legacy: stuck('connect', 'initialize', 404) }),
  },
  {
    code: 'session/kept',
    fact: 'no request finds it, directly neither',
    hop: 'server',
    change: (seen) =>
      directly(
        { ...foreign(seen), sessionUse: use({ answers: [lost, lost] }) },
        { sessionUse: use({ answers: [lost, lost] }) },
      ),
  },
  {
    code: 'session/key-required',
    fact: 'the session id alone is let in',
    hop: 'server',
    change: (seen) => ({ ...seen, sessionUse: use({ withoutKey: fine }) }),
  },
  {
    code: 'stream/compressed',
    fact: 'held back with gzip only',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      stream: {
        status: 'ok',
        kind: 'get',
        opened: { headersMs: 3, firstByteMs: 3, watchedMs: 3 },
        compressed: { encoding: null, headersMs: null, watchedMs: 4_000 },
      },
    }),
  },
  {
    code: 'stream/idle',
    fact: 'cut after a minute',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      idle: { status: 'ok', watchedMs: 60_010, endedAfterMs: 60_010, longestSilenceMs: 60_000 },
    }),
  },
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
    code: 'cors/single-origin',
    fact: 'both add it',
    hop: 'proxy',
    change: (seen) => ({
      ...seen,
      cors: cors({ actual: answer(200, {}, { 'access-control-allow-origin': `${pageOrigin}, *` }) }),
    }),
  },
  {
    code: 'cors/preflight',
    fact: 'MCP-Protocol-Version may not be sent',
    change: (seen) => ({
      ...seen,
      cors: cors({
        preflight: answer(204, null, { ...allowAll, 'access-control-allow-headers': 'authorization, content-type' }),
      }),
    }),
  },
  {
    code: 'cors/preflight',
    fact: 'the preflight is asked for a key',
    severity: 'warning',
    change: (seen) => ({ ...foreign(seen), cors: cors({ promised: false, preflight: answer(401, {}) }) }),
  },
  {
    code: 'cors/exposed',
    fact: 'the session id is not exposed',
    change: (seen) => ({ ...seen, cors: cors({ actual: answer(200, {}, allowAll) }) }),
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

export const proxyNearMiss: readonly Case[] = [
  { code: 'proxy/same-server', fact: 'the same server both ways', change: (seen) => behindNginx(seen) },
  {
    code: 'proxy/read-timeout',
    fact: 'five minutes',
    change: (seen) => behindNginx(seen, (text) => text.replace('proxy_read_timeout 1h;', 'proxy_read_timeout 5m;')),
  },
  {
    code: 'proxy/http-version',
    fact: 'said once for the whole server',
    change: (seen) =>
      behindNginx(seen, (text) =>
        text.replace('proxy_http_version 1.1;', '').replace('client_max', 'proxy_http_version 1.1;\nclient_max'),
      ),
  },
  {
    code: 'proxy/limit-status',
    fact: 'limit_req that answers 429',
    change: (seen) =>
      behindNginx(seen, (text) =>
        text.replace('proxy_buffering', 'limit_req zone=a;\nlimit_req_status 429;\nproxy_buffering'),
      ),
  },
  {
    code: 'proxy/lost-headers',
    fact: 'the location says all of them again',
    change: (seen) =>
      behindNginx(seen, (text) =>
        text.replace('proxy_buffering', 'add_header X-Content-Type-Options nosniff;\nproxy_buffering'),
      ),
  },
  {
    code: 'protocol/headers-kept',
    fact: 'a server of somebody else accepts any revision, directly too',
    change: (seen) =>
      directly(
        { ...foreign(seen), sessionUse: use({ badRevision: fine }) },
        { sessionUse: use({ badRevision: fine }) },
      ),
  },
  {
    code: 'session/kept',
    fact: 'a server without sessions',
    change: (seen) => ({
      ...foreign(seen),
      sessionUse: {
        status: 'ok',
        initialized: true,
        refusal: null,
        opened: false,
        answers: [],
        withoutKey: null,
        wrongKey: null,
        otherKey: null,
        second: null,
        badRevision: null,
      },
    }),
  },
  {
    code: 'session/key-required',
    fact: 'refused with 404, since the session belongs to a key',
    change: (seen) => ({ ...seen, sessionUse: use({ withoutKey: lost }) }),
  },
  {
    code: 'stream/compressed',
    fact: 'compressed and not late',
    change: (seen) => ({
      ...seen,
      stream: {
        status: 'ok',
        kind: 'get',
        opened: { headersMs: 3, firstByteMs: 3, watchedMs: 3 },
        compressed: { encoding: 'gzip', headersMs: 5, watchedMs: 8 },
      },
    }),
  },
  {
    code: 'stream/idle',
    fact: 'not watched',
    change: (seen) => ({ ...seen, idle: { status: 'skipped', reason: '--deep' } }),
  },
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
    code: 'cors/single-origin',
    fact: 'a star',
    change: (seen) => ({
      ...foreign(seen),
      cors: cors({
        promised: false,
        preflight: answer(204, null, {
          'access-control-allow-origin': '*',
          'access-control-allow-headers': '*, Authorization',
        }),
        actual: answer(200, {}, { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' }),
      }),
    }),
  },
  {
    code: 'cors/preflight',
    fact: 'no page is let in, and none was promised',
    change: (seen) => ({ ...seen, cors: cors({ promised: false, preflight: answer(401, {}), actual: fine }) }),
  },
  {
    code: 'cors/exposed',
    fact: 'a server without sessions has none to expose',
    change: (seen) => ({
      ...foreign(seen),
      cors: cors({ actual: answer(200, {}, allowAll) }),
      sessionUse: {
        status: 'ok',
        initialized: true,
        refusal: null,
        opened: false,
        answers: [],
        withoutKey: null,
        wrongKey: null,
        otherKey: null,
        second: null,
        badRevision: null,
      },
    }),
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
