import type { CertificateDescription } from '../../src/pki/describe-certificate.ts';
import type { MachineSeen } from '../../src/doctor/machine-observations.ts';
import type {
  Answer,
  AnswersSeen,
  ClientObserved,
  ClientSeen,
  HealthSeen,
  HostSeen,
  LimitsSeen,
  Observations,
  TlsSeen,
  WaySeen,
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
      limitsNotTried: null,
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
      alpn: 'h2',
      offers: { http1: true, http2: 'spoken' },
      versions: { upTo11: false, v12: true, v13: true },
      trustedBy: 'given CA',
      trustError: null,
      nameMatches: true,
      issuerUrl: null,
      chain: [leaf()],
      constrainsAddresses: false,
      problems: [],
    },
    ...healthyWay(),
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
      otherKey: answer(200, { jsonrpc: '2.0', id: 'doctor', result: {} }),
      recovery: { waitedMs: 1_000, answer: answer(200, { jsonrpc: '2.0', id: 'doctor', result: {} }) },
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
      keyStore: 'fine',
      keys: [{ id: 'k-00000001', label: 'default', ageDays: 3 }],
      callLimit: { atOnce: 120, perSecond: 20 },
      disk: { freeBytes: 5e9, path: '/srv/x/.mcp-deploy' },
    },
    machine: {
      status: 'ok',
      secrets: [],
      drifted: [],
      process: { pid: 812, descriptors: { open: 41, limit: 1_024 }, nodeVersion: 'v20.19.4' },
      strangers: [],
      backup: {
        newest: { file: '/srv/x/.mcp-deploy-backups/mcp.tar.gz.age', ageDays: 1 },
        file: 'as written',
        takenAway: false,
        deployedDays: 30,
      },
      timer: {
        files: [{ path: '/etc/systemd/system/mcp-deploy-renew-mcp.timer', state: 'as written' }],
        unit: { name: 'mcp-deploy-renew-mcp.timer', state: 'active' },
      },
      backupTimer: { files: [{ path: '/etc/cron.d/mcp-backup', state: 'as written' }], unit: null },
      unit: { name: 'mcp.service', active: 'active', enabled: true, restarts: 0, upSeconds: 90_000 },
      clients: [],
      foreignOwners: [],
      firewall: { port: 443, droppedBy: null },
    },
    audit: {
      status: 'ok',
      file: '/srv/x/audit.log',
      before: { size: 4_000, inode: 7 },
      after: { size: 4_900, inode: 7 },
    },
    direct: { status: 'skipped', reason: 'no proxy' },
    proxyConfig: { status: 'skipped', reason: 'no proxy' },
  };
}

/** The same looks at the server itself find the same. */
export function healthyWay(): WaySeen {
  return {
    answers: {
      status: 'ok',
      noKey: answer(401, { error: 'invalid_request' }, { 'www-authenticate': 'Bearer realm="mcp"' }),
      wrongKey: answer(401, { error: 'invalid_token' }, { 'www-authenticate': 'Bearer realm="mcp"' }),
      bearer: answer(
        200,
        { jsonrpc: '2.0', id: 'doctor', result: {} },
        { date: 'Sat, 21 Nov 2026 12:00:00 GMT', connection: 'keep-alive' },
      ),
      xApiKey: answer(200, { jsonrpc: '2.0', id: 'doctor', result: {} }),
      smallBearer: answer(200, { jsonrpc: '2.0', id: 'doctor', result: {} }),
      discovered: answer(200, { jsonrpc: '2.0', id: 'doctor', result: {} }),
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
      programs: programs({}),
    },
    metrics: { status: 'ok', open: answer(403, { error: 'access_denied' }), withKey: metricsText() },
    modern: {
      status: 'ok',
      ...client('modern', '2026-07-28'),
      called: { tool: 'echo', durationMs: 4, isError: false },
    },
    legacy: { status: 'ok', ...client('legacy', '2025-11-25') },
    session: { status: 'ok', answer: answer(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'x' } }) },
    sessionUse: {
      status: 'ok',
      initialized: true,
      refusal: null,
      opened: true,
      answers: [answer(200, { result: {} }), answer(200, { result: {} })],
      withoutKey: answer(401, { error: 'invalid_request' }),
      wrongKey: answer(401, { error: 'invalid_token' }),
      otherKey: answer(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'x' } }),
      second: {
        opened: true,
        sameId: false,
        inFirst: answer(200, { result: {} }),
        inSecond: answer(200, { result: {} }),
      },
      badRevision: answer(400, { jsonrpc: '2.0', id: null, error: { code: -32000, message: 'x' } }),
    },
    stream: {
      status: 'ok',
      kind: 'get',
      opened: { headersMs: 3, firstByteMs: 3, watchedMs: 3 },
      compressed: { encoding: null, headersMs: 3, watchedMs: 3 },
    },
    idle: { status: 'ok', watchedMs: 90_000, endedAfterMs: null, longestSilenceMs: 15_000 },
    sizes: {
      status: 'ok',
      bodyBytes: 1_200_000,
      body: answer(200, { result: {} }),
      headerBytes: 6_000,
      header: answer(200, { result: {} }),
    },
    errors: {
      status: 'ok',
      malformed: answer(400, { jsonrpc: '2.0', id: null, error: { code: -32700, message: 'x' } }),
    },
    guards: { status: 'ok', foreignOrigin: answer(403, { error: 'access_denied' }), foreignHost: answer(403, {}) },
    cors: {
      status: 'ok',
      origin: pageOrigin,
      promised: true,
      preflight: answer(204, null, {
        'access-control-allow-origin': pageOrigin,
        'access-control-allow-headers':
          'accept, authorization, content-type, mcp-method, mcp-name, mcp-protocol-version, mcp-session-id',
      }),
      preflightDelete: answer(204, null, {
        'access-control-allow-origin': pageOrigin,
        'access-control-allow-methods': 'GET, POST, DELETE, OPTIONS',
      }),
      actual: answer(
        200,
        { result: {} },
        {
          'access-control-allow-origin': pageOrigin,
          'access-control-expose-headers': 'mcp-session-id, retry-after',
        },
      ),
    },
  };
}

/** /status of a server that has run for a day, with one program behind it. */
export function programs(change: Readonly<Record<string, unknown>>): Answer {
  const since = '2026-11-20T12:00:00.000Z';
  return answer(200, {
    uptimeSeconds: 86_400,
    upstreams: [{ name: 'files', state: 'up', since, restarts: 0, inFlight: 0, ...change }],
  });
}

/** The same with other answers of the health paths. */
export function health(seen: Observations, change: Partial<HealthSeen>): Observations {
  return { ...seen, health: { ...(seen.health as HealthSeen & { status: 'ok' }), ...change } };
}

/** A page that the deployment lets in. */
export const pageOrigin = 'https://app.example.com';

/** nginx as it should be in front of an MCP server. */
const goodNginx = `http {
  server {
    listen 443 ssl;
    server_name mcp.example.com;
    ssl_protocols TLSv1.2 TLSv1.3;
    add_header X-Content-Type-Options nosniff always;
    client_max_body_size 10m;
    location = /mcp {
      proxy_pass http://127.0.0.1:8080;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_buffering off;
      proxy_read_timeout 1h;
    }
  }
}
`;

/** The same way to a server of somebody else. */
export function foreign(seen: Observations): Observations {
  return {
    ...seen,
    target: { ...seen.target, own: false, keysRequired: false, caGiven: false },
    tls: tls(seen, { trustedBy: 'public roots' }).tls,
    health: { status: 'skipped', reason: 'foreign' },
    host: { status: 'skipped', reason: 'foreign' },
    machine: { status: 'skipped', reason: 'foreign' },
    audit: { status: 'skipped', reason: 'foreign' },
    direct: { status: 'skipped', reason: 'foreign' },
    proxyConfig: { status: 'skipped', reason: 'foreign' },
  };
}

/** The same with nginx in front, whose configuration is known, and the server asked directly as well. */
export function behindNginx(seen: Observations, change: (text: string) => string = (text) => text): Observations {
  return {
    ...seen,
    direct: { status: 'ok', url: 'http://127.0.0.1:8080/mcp', way: healthyWay() },
    proxyConfig: {
      status: 'ok',
      program: 'nginx',
      files: [{ path: '/etc/nginx/nginx.conf', text: change(goodNginx) }],
    },
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
  return answers(seen, { bearer: given, xApiKey: given, smallBearer: given });
}

export function host(seen: Observations, change: Partial<HostSeen>): Observations {
  return { ...seen, host: { ...(seen.host as HostSeen & { status: 'ok' }), ...change } };
}

export function machine(seen: Observations, change: Partial<MachineSeen>): Observations {
  return { ...seen, machine: { ...(seen.machine as MachineSeen & { status: 'ok' }), ...change } };
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
    receivedAt: '2026-11-21T12:00:00.100Z',
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
    receivedAt: '2026-11-21T12:00:00.100Z',
  };
}

/** As Prometheus reads it. */
export function metricsText(): Answer {
  const text = '# HELP mcp_requests_total Requests.\n# TYPE mcp_requests_total counter\nmcp_requests_total 1\n';
  return { ...page(200, text, { 'content-type': 'text/plain; version=0.0.4' }), to: 'GET /metrics' };
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
