import { foreign, host, leaf, target, tls } from '../healthy-observations.ts';
import { failure, refusedAt, connectedAt, loopbackHttp, type Case, type Tripping } from './parts.ts';

export const wayTripping: readonly Tripping[] = [
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
    code: 'tls/alpn',
    fact: 'HTTP/2 alone is offered',
    hop: 'tls',
    change: (seen) => tls(seen, { alpn: 'h2', offers: { http1: false, http2: 'spoken' } }),
  },
  {
    code: 'tls/alpn-kept',
    fact: 'HTTP/2 is agreed on for a server that does not speak it',
    hop: 'tls',
    change: (seen) => tls(seen, { alpn: 'h2', offers: { http1: true, http2: 'something else' } }),
  },
  {
    code: 'tls/alpn-kept',
    fact: 'HTTP/2 is agreed on, and the connection closed',
    hop: 'tls',
    change: (seen) => tls(seen, { alpn: 'h2', offers: { http1: true, http2: 'closed' } }),
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
];

export const wayNearMiss: readonly Case[] = [
  {
    code: 'tls/alpn',
    fact: 'both are offered',
    change: (seen) => tls(seen, { alpn: 'h2', offers: { http1: true, http2: 'spoken' } }),
  },
  {
    code: 'tls/alpn-kept',
    fact: 'HTTP/1.1 alone is offered',
    change: (seen) => tls(seen, { offers: { http1: true, http2: 'not agreed on' } }),
  },
  { code: 'tls/key-matches', fact: 'a deployment without TLS has no pair', change: (seen) => loopbackHttp(seen) },
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
];
