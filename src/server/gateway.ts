import { createRegistry, type Registry } from './backends/registry.ts';
import { readAcceptedHosts } from './accepted-hosts.ts';
import { createCallLimits } from './call-limits.ts';
import { createBackends } from './create-backends.ts';
import { sendProblem } from './http/answers.ts';
import type { ServedCertificate } from './http/certificate-files.ts';
import { OpenStreams } from './http/event-stream.ts';
import { Front } from './http/front.ts';
import { createPageAccess } from './http/page-access.ts';
import { peerAddress } from './http/peer-address.ts';
import { createRequestIds } from './http/request-id.ts';
import { UnreadBytes } from './http/unread-bytes.ts';
import { StatusPages } from './http/status-pages.ts';
import { WaitingExchanges } from './http/waiting-exchanges.ts';
import { boundRefusals } from './observe/bounded-refusals.ts';
import { createAuditTrail, type RefusedRequest } from './observe/audit-trail.ts';
import { describeReadiness, describeStatus } from './observe/health.ts';
import type { Log } from './observe/log.ts';
import { throttledWarning } from './observe/throttled-warning.ts';
import { createMetrics, metricsContentType } from './observe/metrics.ts';
import { createAddressReader } from './policy/client-address.ts';
import { createKeyCheck } from './policy/key-check.ts';
import { createTokens } from './policy/create-tokens.ts';
import { describeProtectedResource } from './policy/protected-resource.ts';
import { createOriginGuard, type OriginGuard } from './policy/origin-guard.ts';
import { CallsInFlight, payerOf } from './protocol/calls-in-flight.ts';
import { describeServerInfo, HandshakeGate } from './protocol/handshake.ts';
import { ListenStreams } from './protocol/listen-streams.ts';
import { ParameterHeaders } from './protocol/parameter-headers.ts';
import { ParkedCalls } from './protocol/parked-calls.ts';
import type { ChargedRequest, ProtocolHost } from './protocol/protocol-host.ts';
import { renderNotification } from './protocol/rpc-text.ts';
import { SessionStore } from './protocol/session-store.ts';
import { openAudit } from './open-audit.ts';
import type { ServerConfig } from './server-config.ts';
import type { ExtraKey } from './startup-checks.ts';
import { createStreamQuota } from './stream-quota.ts';
import type { Backend } from './types.ts';
import type { Siblings } from './workers/siblings.ts';

export interface GatewayOptions {
  readonly version: string;
  /** Environment for upstreams' `${NAME}` and PATH. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  /** Keys from outside of the key file. */
  readonly extraKeys: readonly ExtraKey[];
  /** Reads `extraKeys` anew, where some are kept in a secret store. */
  readonly readKeys?: () => Promise<readonly ExtraKey[]>;
  /** In place of those that the deployment names. */
  readonly backends?: readonly Backend[];
  /** After this long a POST without an answer becomes an event stream. */
  readonly upgradeAfterMs?: number;
  /** The other workers of this server; null or absent when it is the only process. */
  readonly siblings?: Siblings | null;
}

/** Everything between a transport and the backends: protocol, policy, what is counted and written down. */
export interface Gateway {
  readonly front: Front;
  readonly protocol: ProtocolHost;
  readonly registry: Registry;
  /** What waits for readers on the connections of the listeners. */
  readonly unread: UnreadBytes;
  /** What came on a connection was no request that could be read; it was answered with this status. */
  clientRefused(status: number, address: string | undefined): void;
  /** Calls whose client still waits for the answer. */
  waitingCalls(): number;
  /** The certificate has changed: its names are accepted hosts. */
  certificateChanged(): void;
  /** Reads keys again and opens the audit file anew. */
  reload(): void;
  /** Ends sessions, streams and timers; what is on its way to clients is left alone. */
  closeClients(): void;
  /** Writes the last audit lines. */
  closeAudit(): Promise<void>;
}

/** Calls in flight, parked ones included: what is more gets 503, so that memory stays bounded. */
const maxInFlight = 20_000;

/**
 * Puts a gateway together; no backend is started yet.
 * @param certificate the one that is served now; null without TLS
 * @throws UserError or EnvironmentError for keys, hosts or an audit file that cannot be used.
 */
export function createGateway(
  config: ServerConfig,
  options: GatewayOptions,
  certificate: () => ServedCertificate | null,
  transport: 'http' | 'stdio' = 'http',
): Gateway {
  const { deployment } = config;
  const { log, version } = options;
  const { server, limits } = deployment;
  const siblings = options.siblings ?? null;
  const share = siblings?.count ?? 1;
  const startedAtMs = Date.now();
  const readAddress = createAddressReader(server.trustedProxies);
  const buildGuard = (): OriginGuard =>
    createOriginGuard({
      allowedHosts: readAcceptedHosts(deployment, certificate()?.names ?? []),
      allowedOrigins: server.allowedOrigins,
    });
  const guard = buildGuard();
  const registry = createRegistry(options.backends ?? createBackends(config, options), log);
  const audit = openAudit(deployment.logs, log);
  const trail = audit === null ? null : boundRefusals(createAuditTrail(audit, (call) => registry.upstreamOf(call)));
  const keys = deployment.auth.required
    ? createKeyCheck({
        storeFile: config.keyStoreFile,
        extraKeys: options.extraKeys,
        readKeys: options.readKeys,
        log,
        sharing: siblings?.sharing ?? null,
      })
    : null;

  const resource = describeProtectedResource(deployment);
  const tokens = createTokens(config, resource, log);

  const metrics = createMetrics({
    sessions: () => sessions.size,
    streams: () => streams.size,
    upstreams: () =>
      registry.backends.map((backend) => ({
        name: backend.name,
        up: backend.state.state === 'up',
        restarts: backend.restarts,
        breaker: backend.state.state === 'broken' ? ('open' as const) : ('closed' as const),
      })),
    certificateNotAfterSeconds: () => certificate()?.notAfterSeconds ?? null,
    auditDropped: () => audit?.dropped ?? 0,
    unreadBytes: () => unread.heldBytes,
    keyAges: () => keys?.ages() ?? [],
    isKnownTool: (name) => registry.knowsTool(name),
  });
  const warnOfSlowReader = throttledWarning(log, 'stream.slow-reader-cut');
  const cutSlowReader = (bound: 'stream' | 'all', unreadBytes: number): void => {
    metrics.slowReaderCut(bound);
    warnOfSlowReader({ bound, unreadBytes });
  };
  const unread = new UnreadBytes(Math.ceil(limits.unreadBytes / share), {
    readerCut: (bytes) => cutSlowReader('all', bytes),
  });
  const streams = new OpenStreams(server.keepAliveSeconds * 1_000, {
    eventSent: () => metrics.sseEvent(),
    slowReaderCut: (bytes) => cutSlowReader('stream', bytes),
  });
  const waiting = new WaitingExchanges(options.upgradeAfterMs);
  const sessions = new SessionStore(
    { ...server.sessions, max: Math.ceil(server.sessions.max / share) },
    log,
    (sessionId) => registry.endSession(sessionId),
    siblings?.makeId,
  );
  const parked = new ParkedCalls(limits.bodyBytes, siblings?.makeId);
  const gate = new HandshakeGate(registry);
  const quota = createStreamQuota(Math.ceil(limits.streamsPerKey / share));
  const serverInfoJson = (): string => JSON.stringify(describeServerInfo(registry, version));
  const listeners = new ListenStreams(registry, streams, serverInfoJson);
  const inFlight = new CallsInFlight();
  const limit = createCallLimits(limits, metrics, (payer) => inFlight.countOf(payer), siblings);

  const protocol: ProtocolHost = {
    registry,
    gate,
    sessions,
    parked,
    listeners,
    // Without HTTP there are no headers that could say something else than the body.
    parameterHeaders: transport === 'http' ? new ParameterHeaders(registry) : { judge: () => null },
    streams,
    metrics,
    log,
    version,
    calls: {
      metrics,
      parked,
      audit: trail,
      serverInfoJson: rememberFor(1_000, serverInfoJson),
      callersDiffer: () => keys?.callersDiffer() ?? false,
      inFlight,
    },
    challengeFor: (scope, description) => resource?.challenge('insufficient_scope', description, scope) ?? 'Bearer',
    isFull: () => inFlight.size >= maxInFlight,
    isAuditBlocked: () => audit !== null && audit.isBlocked,
    charge(request, cost, era, id, method, params) {
      const refusal = limit(request.caller, cost);
      if (refusal === null) return null;
      const name = params?.['name'];
      metrics.request(method ?? '', method === 'tools/call' && typeof name === 'string' ? name : null, 'refused', 0);
      trail?.refused({
        ...describeRefused(
          request,
          refusal.policy === 'concurrency' ? 'limit of calls in flight' : `rate limit of ${refusal.policy}`,
        ),
        params,
        ...(id === null ? {} : { id }),
        ...(method === null ? {} : { method }),
        ...(era === null ? {} : { era }),
      });
      return refusal;
    },
    refused: (request, why) => trail?.refused(describeRefused(request, why)),
    openStream(caller) {
      const release = quota.take(payerOf(caller));
      if (release === null) metrics.rateLimited('streams');
      return release;
    },
    takeStream(caller, res, extraHeaders) {
      const release = protocol.openStream(caller);
      if (release === null) {
        const requestId = extraHeaders[extraHeaders.indexOf('X-Request-Id') + 1] ?? '';
        trail?.refused({ requestId, why: 'limit of open streams', address: caller.address, key: caller.label });
        const detail = `A key may have ${limits.streamsPerKey} event streams open; close some.`;
        sendProblem(res, 429, 'Too Many Requests', detail, ['Retry-After', '30', ...extraHeaders]);
      }
      return release;
    },
  };

  const pages = new StatusPages({
    access: createPageAccess({ behindProxy: server.behindProxy, metricsFrom: server.metricsFrom, readAddress }),
    resourceMetadata: (path) => (resource?.paths.has(path) === true ? resource.metadataJson : null),
    noOAuthHere:
      resource === null
        ? 'This server uses keys, not OAuth: send Authorization: Bearer KEY.'
        : `This server issues no tokens; how to get one says ${resource.metadataUrl}.`,
    backends: registry.backends,
    describeReadiness,
    describeStatus: (draining) =>
      describeStatus({
        version,
        startedAtMs,
        nowMs: Date.now(),
        draining,
        backends: registry.backends,
        sessions: sessions.size,
        streams: streams.size,
        totals: metrics.totals(),
        memory: process.memoryUsage(),
      }),
    renderMetrics: () => metrics.render(),
    metricsContentType,
    showsMetrics: server.metrics,
    holdsKey(req) {
      if (keys === null) return false;
      const { headers } = req;
      const address = readAddress(peerAddress(req), headerText(headers['x-forwarded-for']) ?? undefined);
      const plain = headers['x-api-key'];
      const decision = keys.check(headers.authorization, Array.isArray(plain) ? plain[0] : plain, address);
      if (decision.allowed) return true;
      // Guesses count here as they do at the endpoint.
      metrics.authFailure(decision.reason);
      trail?.refused({ requestId: '', why: `key ${decision.reason}, for the status`, address });
      return false;
    },
    refuses: ({ headers }) => front.admission.guard.refuses(headers.host, headers.origin),
    whole: siblings === null ? null : (page) => siblings.gather(page),
  });
  siblings?.onAsked((page) => pages.describe(page, front.admission.draining));

  const front = new Front({
    siblings,
    path: server.path,
    aliases: server.aliases,
    legacySse: server.legacySse === 'off' ? null : server.legacySse,
    bodyBytes: limits.bodyBytes,
    streams,
    waiting,
    protocol,
    keys,
    readAddress,
    requestIdOf: createRequestIds((req) => readAddress.trusts(peerAddress(req))),
    metrics,
    audit: trail,
    log,
    guard,
    tokens,
    resource,
    pages,
  });

  registry.onListChanged((kind) => {
    const json = renderNotification(`notifications/${kind}/list_changed`, '');
    for (const session of sessions.all()) session.notify(json);
  });
  registry.onResourceUpdated((uri, sessionId) => {
    // Without a session it cannot be told whose it is: dropped, never broadcast.
    if (sessionId === null) return;
    sessions.get(sessionId)?.notify(renderNotification('notifications/resources/updated', JSON.stringify({ uri })));
  });
  keys?.onRevoked((keyId) => {
    front.keyEnded();
    // Before its sessions, whose end would answer the calls in another way.
    inFlight.endAllOf(keyId);
    sessions.endAllOf(keyId);
    listeners.endAllOf(keyId);
    parked.abandonAllOf(keyId);
  });

  return {
    front,
    protocol,
    registry,
    unread,
    clientRefused(status, address) {
      metrics.error(`http-${status}`);
      trail?.refused({ requestId: '', why: `no readable request (${status})`, address: address ?? 'unknown' });
    },
    waitingCalls: () => inFlight.size - parked.size + (siblings?.passedOn() ?? 0),
    certificateChanged() {
      front.admission.guard = buildGuard();
    },
    reload() {
      keys?.reload();
      void audit?.reopen();
    },
    closeClients() {
      keys?.close();
      tokens?.close();
      gate.close();
      listeners.close();
      sessions.close();
      parked.close();
      streams.close();
      waiting.close();
      unread.close();
      metrics.close();
    },
    async closeAudit() {
      trail?.close();
      await audit?.close();
      const dropped = audit?.dropped ?? 0;
      if (dropped > 0) log.error('audit.lines-lost', { dropped });
    },
  };
}

function describeRefused({ caller, requestId, bytesIn, req }: ChargedRequest, why: string): RefusedRequest {
  const session = headerText(req.headers['mcp-session-id']);
  return { requestId, why, address: caller.address, key: caller.label, session, bytesIn };
}

function headerText(header: string | string[] | undefined): string | null {
  if (header === undefined) return null;
  return typeof header === 'string' ? header : header.join(', ');
}

/** The same text for a while: it is asked for on every modern call and changes only when a backend starts. */
function rememberFor(milliseconds: number, compute: () => string): () => string {
  let text = '';
  let until = 0;
  return () => {
    const now = performance.now();
    if (now >= until) {
      text = compute();
      until = now + milliseconds;
    }
    return text;
  };
}
