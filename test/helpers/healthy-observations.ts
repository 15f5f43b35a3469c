import type { CertificateDescription } from '../../src/pki/describe-certificate.ts';
import type {
  Answer,
  AnswersSeen,
  ClientObserved,
  ClientSeen,
  HostSeen,
  LimitsSeen,
  Observations,
  TlsSeen,
} from '../../src/doctor/observations.ts';

/** What the probes see of a deployment in order: the ground from which every test changes one thing. */
export function healthyObservations(): Observations {
  return {
    target: {
      url: 'https://mcp.example.com/mcp',
      encrypted: true,
      host: 'mcp.example.com',
      port: 443,
      loopback: false,
      own: true,
      keysRequired: true,
      keyGiven: true,
      keyFlaw: null,
      caGiven: true,
      limitsAllowed: true,
      at: '2026-11-21T12:00:00.000Z',
    },
    name: { status: 'ok', literal: false, v4: ['192.0.2.10'], v6: ['2001:db8::10'] },
    tcp: {
      status: 'ok',
      attempts: [
        { address: '192.0.2.10', family: 4, outcome: { connected: true, durationMs: 1 } },
        { address: '2001:db8::10', family: 6, outcome: { connected: true, durationMs: 1 } },
      ],
    },
    tls: {
      status: 'ok',
      address: '192.0.2.10',
      refused: null,
      protocol: 'TLSv1.3',
      alpn: 'http/1.1',
      versions: { upTo11: false, v12: true, v13: true },
      trustedBy: 'given CA',
      trustError: null,
      nameMatches: true,
      issuerUrl: null,
      chain: [leaf()],
      problems: [],
    },
    answers: {
      status: 'ok',
      noKey: answer(401, { error: 'invalid_request' }, { 'www-authenticate': 'Bearer realm="mcp"' }),
      wrongKey: answer(401, { error: 'invalid_token' }, { 'www-authenticate': 'Bearer realm="mcp"' }),
      bearer: answer(200, { jsonrpc: '2.0', id: 'doctor', result: {} }),
      xApiKey: answer(200, { jsonrpc: '2.0', id: 'doctor', result: {} }),
    },
    wellKnown: {
      status: 'ok',
      answers: [
        { path: '/.well-known/oauth-protected-resource', answer: answer(404, { error: 'not_found' }) },
        { path: '/.well-known/oauth-authorization-server', answer: answer(404, { error: 'not_found' }) },
      ],
      resourceMetadata: null,
    },
    health: {
      status: 'ok',
      health: answer(200, { status: 'ok' }),
      ready: answer(200, { status: 'ready', upstreams: [] }),
    },
    modern: {
      status: 'ok',
      ...client('modern', '2026-07-28'),
      called: { tool: 'echo', durationMs: 4, isError: false },
    },
    legacy: { status: 'ok', ...client('legacy', '2025-11-25') },
    session: { status: 'ok', answer: answer(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'x' } }) },
    stream: { status: 'ok', kind: 'get', opened: { headersMs: 3, firstByteMs: 3, watchedMs: 3 } },
    limits: {
      status: 'ok',
      sent: 121,
      durationMs: 90,
      refusal: answer(
        429,
        { status: 429 },
        { 'retry-after': '1', ratelimit: '"default";r=0;t=1', 'ratelimit-policy': '"default";q=1200;w=60' },
      ),
      declared: { quota: 1_200, windowSeconds: 60 },
      usualStatus: 200,
    },
    host: {
      status: 'ok',
      serverRunning: true,
      files: [
        { path: '/srv/x/.mcp-deploy', what: 'state folder', secret: false, mode: 0o755 },
        { path: '/srv/x/.mcp-deploy/pki/server.key', what: 'server key', secret: true, mode: 0o600 },
        { path: '/srv/x/.mcp-deploy/pki/server.crt', what: 'certificate', secret: false, mode: 0o644 },
      ],
      certificateFingerprint: 'AA:AA',
      keyMatches: true,
      keys: [{ id: 'k-00000001', label: 'default', ageDays: 3 }],
      callLimit: { atOnce: 120, perSecond: 20 },
      disk: { freeBytes: 5e9, path: '/srv/x/.mcp-deploy' },
    },
  };
}

/** The same way to a server of somebody else. */
export function foreign(seen: Observations): Observations {
  return {
    ...seen,
    target: { ...seen.target, own: false, keysRequired: false, caGiven: false },
    tls: tls(seen, { trustedBy: 'public roots' }).tls,
    health: { status: 'skipped', reason: 'foreign' },
    host: { status: 'skipped', reason: 'foreign' },
  };
}

export function target(seen: Observations, change: Partial<Observations['target']>): Observations {
  return { ...seen, target: { ...seen.target, ...change } };
}

export function tls(seen: Observations, change: Partial<TlsSeen>): Observations {
  return { ...seen, tls: { ...(seen.tls as TlsSeen & { status: 'ok' }), ...change } };
}

export function answers(seen: Observations, change: Partial<AnswersSeen>): Observations {
  return { ...seen, answers: { ...(seen.answers as AnswersSeen & { status: 'ok' }), ...change } };
}

/** Every answer that the right key gets. */
export function withKey(seen: Observations, given: Answer): Observations {
  return answers(seen, { bearer: given, xApiKey: given });
}

export function host(seen: Observations, change: Partial<HostSeen>): Observations {
  return { ...seen, host: { ...(seen.host as HostSeen & { status: 'ok' }), ...change } };
}

export function limits(seen: Observations, change: Partial<LimitsSeen>): Observations {
  return { ...seen, limits: { ...(seen.limits as LimitsSeen & { status: 'ok' }), ...change } };
}

export function leaf(change: Partial<CertificateDescription> = {}): CertificateDescription {
  return {
    subject: 'CN=mcp.example.com',
    issuer: 'CN=mcp-deploy private CA',
    names: ['mcp.example.com'],
    notBefore: '2026-10-01T00:00:00.000Z',
    notAfter: '2027-01-01T00:00:00.000Z',
    daysLeft: 40,
    serial: '01',
    fingerprint256: 'AA:AA',
    keyType: 'EC P-256',
    isCa: false,
    selfIssued: false,
    chainLength: 1,
    usages: ['serverAuth'],
    permittedNames: null,
    ...change,
  };
}

export function answer(status: number, json: unknown, headers: Record<string, string> = {}): Answer {
  return {
    kind: 'answered',
    to: 'POST server/discover',
    status,
    headers: { 'content-type': 'application/json', ...headers },
    bodyStart: JSON.stringify(json),
    json,
    durationMs: 2,
  };
}

export function page(status: number, text: string, headers: Record<string, string> = {}): Answer {
  return {
    kind: 'answered',
    to: 'POST server/discover',
    status,
    headers: { 'content-type': 'text/html; charset=utf-8', ...headers },
    bodyStart: text,
    json: undefined,
    durationMs: 2,
  };
}

export function noAnswer(kind: 'timed-out' | 'reset' | 'other', message: string): Answer {
  return { kind: 'failed', to: 'POST server/discover', failure: { kind, code: null, message } };
}

export function client(era: 'modern' | 'legacy', protocolVersion: string): ClientSeen {
  return {
    era,
    protocolVersion,
    server: { name: 'fixture', version: '1' },
    toolCount: 3,
    called: null,
    session: era === 'legacy',
    connectMs: 5,
  };
}

export function stuck(
  stage: 'connect' | 'list' | 'call',
  rpcMethod: string,
  status: number | null,
  message = 'it did not work',
): ClientObserved {
  return {
    status: 'stuck',
    stage,
    tool: stage === 'call' ? 'echo' : null,
    message,
    last: { rpcMethod, status, contentType: 'application/json', retryAfter: null, failure: null },
  };
}
