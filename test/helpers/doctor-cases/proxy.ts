import type { Observations, WaySeen } from '../../../src/doctor/observations.ts';
import { answer, answers, behindNginx, client, foreign, healthyWay, stuck } from '../healthy-observations.ts';
import { noSession, type Case, type Tripping } from './parts.ts';

/** What is seen through the proxy, while the server itself is as it should be. */
const through = (seen: Observations, change: Partial<WaySeen>): Observations => ({ ...behindNginx(seen), ...change });
const use = (change: object): WaySeen['sessionUse'] =>
  ({ ...(healthyWay().sessionUse as { status: 'ok' }), ...change }) as never;
const directly = (seen: Observations, change: Partial<WaySeen>): Observations => ({
  ...seen,
  direct: { status: 'ok', url: 'http://127.0.0.1:8080/mcp', way: { ...healthyWay(), ...change } },
});
const lost = answer(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } });
const fine = answer(200, { result: {} });

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
      sessionUse: noSession,
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
      sessionUse: noSession,
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
];
