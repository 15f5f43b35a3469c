import { randomUUID } from 'node:crypto';
import { createRegistry, type Registry } from './backends/registry.ts';
import { buildFront } from './build-front.ts';
import { buildGuard } from './build-guard.ts';
import { createBackends, type BackendSet } from './create-backends.ts';
import { createSettings, type Settings } from './gateway-settings.ts';
import { sendProblem } from './http/answers.ts';
import type { ClientCertificates } from './http/client-certificates.ts';
import type { ServedCertificate } from './http/certificate-files.ts';
import { cutAtExpiry } from './http/cut-at-expiry.ts';
import { OpenStreams } from './http/event-stream.ts';
import type { Front } from './http/front.ts';
import { UnreadBytes } from './http/unread-bytes.ts';
import { WaitingExchanges } from './http/waiting-exchanges.ts';
import type { SseConnection } from './http/sse-transport.ts';
import { boundRefusals, type BoundedTrail } from './observe/bounded-refusals.ts';
import { traceRefusals } from './observe/trace-refusals.ts';
import { createAuditTrail, type AuditTrail, type RefusedRequest } from './observe/audit-trail.ts';
import type { AuditWriter } from './observe/audit.ts';
import { watchBackupRecord } from './observe/backup-record.ts';
import type { LastReload } from './observe/health.ts';
import type { Log } from './observe/log.ts';
import { throttledWarning } from './observe/throttled-warning.ts';
import { createMetrics } from './observe/metrics.ts';
import type { Traces } from './observe/traces.ts';
import { CallsInFlight, payerOf } from './protocol/calls-in-flight.ts';
import { describeServerInfo, HandshakeGate } from './protocol/handshake.ts';
import { ListenStreams } from './protocol/listen-streams.ts';
import { ParameterHeaders } from './protocol/parameter-headers.ts';
import { ParkedCalls } from './protocol/parked-calls.ts';
import type { CallHost } from './protocol/call.ts';
import type { ChargedRequest, ProtocolHost } from './protocol/protocol-host.ts';
import { renderNotification } from './protocol/rpc-text.ts';
import { makeReplicaIds } from './protocol/replica-ids.ts';
import { SessionStore } from './protocol/session-store.ts';
import type { ConfigWithKeys } from './reload.ts';
import type { ServerConfig } from './server-config.ts';
import type { ExtraKey } from './startup-checks.ts';
import { createStreamQuota } from './stream-quota.ts';
import type { Backend } from './types.ts';
import { createRedisSessions } from './shared-state/redis-sessions.ts';
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
  /** Certificates of clients; absent without. */
  readonly clientCertificates?: ClientCertificates | null;
  /** Spans of calls; null or absent when none are recorded. Closed with the audit. */
  readonly traces?: Traces | null;
}

/** Everything between a transport and the backends: protocol, policy, what is counted and written down. */
export interface Gateway {
  /** Another one after each change of the configuration. */
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
  /**
   * Puts together what another configuration needs, and changes nothing yet. Sessions, streams, calls, counts and the
   * backends that stay the same are carried over.
   * @param next the certificate that would be served
   * @throws UserError or EnvironmentError for what cannot be used; nothing is left open then.
   */
  prepare(read: ConfigWithKeys, next: ServedCertificate | null): GatewayChange;
  /** For /status and the metrics. */
  noteReload(problem: string | null): void;
  /** Ends sessions, streams and timers; what is on its way to clients is left alone. */
  closeClients(): void;
  /** Writes the last audit lines, and sends the last spans. */
  closeAudit(): Promise<void>;
}

/** Another configuration, ready to be put in force. */
export interface GatewayChange {
  /** Backends that do not serve yet; start them before. */
  readonly added: readonly Backend[];
  /** Backends that do not serve any more after it; stop them when they have answered what they have. */
  readonly removed: readonly Backend[];
  /** Puts it in force: from here on nothing can fail. The certificate must be the next one already. */
  commit(): void;
  /** Gives up what was opened for it. */
  discard(): void;
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
  const { log, version, clientCertificates = null } = options;
  const siblings = options.siblings ?? null;
  const share = siblings?.count ?? 1;
  const startedAtMs = Date.now();
  const inFlight = new CallsInFlight();
  const quota = createStreamQuota();
  let lastReload: LastReload | null = null;
  /** Lines that the files of earlier configurations lost. */
  let droppedBefore = 0;
  /** Errors of connections to Redis that earlier configurations had. */
  let redisErrorsBefore = 0;

  const set = options.backends === undefined ? createBackends(config, options) : givenBackends(options.backends);
  const registry = createRegistry(set.backends, log);
  const openTrail = (audit: AuditWriter | null): BoundedTrail | null => {
    const written = audit === null ? null : createAuditTrail(audit, (call) => registry.upstreamOf(call));
    const trail = options.traces == null ? written : traceRefusals(written, options.traces);
    return trail === null ? null : boundRefusals(trail);
  };
  const metrics = createMetrics({
    sessions: () => sessions.size,
    sessionsTakenOver: () => sessions.takenOver,
    streams: () => streams.size,
    upstreams: () =>
      registry.backends.map((backend) => ({
        name: backend.name,
        up: backend.state.state === 'up',
        restarts: backend.restarts,
        ...describeBreakers(backend),
        cache: backend.cacheCounts?.() ?? null,
      })),
    certificateNotAfterSeconds: () => certificate()?.notAfterSeconds ?? null,
    auditDropped: () => droppedBefore + (now.audit?.dropped ?? 0),
    unreadBytes: () => unread.heldBytes,
    keyAges: () => now.keys?.ages() ?? [],
    lastBackupSeconds: watchBackupRecord(config.backupRecordFile),
    redis: () => now.redis && { isUp: now.redis.isUp, errors: redisErrorsBefore + now.redis.errors },
    sharedAnswers: () => now.set.kept?.shared ?? null,
    isKnownTool: (name) => registry.knowsTool(name),
  });
  const settings = createSettings({ options, transport, share, metrics, inFlight, quota, certificate, openTrail });
  let now: Settings;
  try {
    now = settings.open(config, set);
  } catch (error) {
    metrics.close();
    throw error;
  }
  const { server, limits } = config.deployment;
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
  const makeId = makeReplicaIds(server.replica, siblings?.makeId);
  const sessions = new SessionStore(
    { ...server.sessions, max: Math.ceil(server.sessions.max / share) },
    log,
    (sessionId) => registry.endSession(sessionId),
    makeId,
  );
  const sharedSessions = createRedisSessions(randomUUID(), log);
  const shareSessions = (): void => {
    const { store, idleSeconds } = now.config.deployment.server.sessions;
    const redis = store === 'redis' ? now.redis : null;
    sharedSessions.use(redis, idleSeconds);
    sessions.useShared(redis === null ? null : sharedSessions);
  };
  shareSessions();
  const parked = new ParkedCalls(limits.bodyBytes, makeId);
  const gate = new HandshakeGate(registry);
  const serverInfoJson = (): string => JSON.stringify(describeServerInfo(registry, version));
  const listeners = new ListenStreams(registry, streams, serverInfoJson);
  const sseConnections = new Map<string, SseConnection>();

  const calls: CallHost & { audit: AuditTrail | null } = {
    metrics,
    parked,
    audit: now.trail,
    serverInfoJson: rememberFor(1_000, serverInfoJson),
    callersDiffer: () => now.keys?.callersDiffer() === true || clientCertificates?.callersDiffer === true,
    inFlight,
    traces: options.traces ?? null,
    isKnownTool: (name) => registry.knowsTool(name),
    log,
  };
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
    calls,
    challengeFor: (scope, description) => now.resource?.challenge('insufficient_scope', description, scope) ?? 'Bearer',
    isFull: () => inFlight.size >= maxInFlight,
    isAuditBlocked: () => now.audit !== null && now.audit.isBlocked,
    charge(request, cost, era, id, method, params) {
      const name = method === 'tools/call' ? params?.['name'] : undefined;
      const tool = typeof name === 'string' ? name : null;
      const refusal = now.limit.judge(request.caller, cost, tool);
      if (refusal === null) return null;
      metrics.request(method ?? '', tool, 'refused', 0);
      now.trail?.refused({
        ...describeRefused(
          request,
          refusal.policy.endsWith('concurrency') ? 'limit of calls in flight' : `rate limit of ${refusal.policy}`,
        ),
        params,
        ...(id === null ? {} : { id }),
        ...(method === null ? {} : { method }),
        ...(era === null ? {} : { era }),
      });
      return refusal;
    },
    limitHeaders: () => now.limit.headers(),
    refused: (request, why) => now.trail?.refused(describeRefused(request, why)),
    openStream(caller) {
      const mayOpen = now.limit.hasRoomForStream(caller);
      const release = mayOpen ? quota.take(payerOf(caller), now.limit.streamsOf(caller)) : null;
      if (release === null) metrics.rateLimited('streams');
      return release;
    },
    takeStream(caller, res, extraHeaders) {
      const release = protocol.openStream(caller);
      if (release === null) {
        const requestId = extraHeaders[extraHeaders.indexOf('X-Request-Id') + 1] ?? '';
        now.trail?.refused({ requestId, why: 'limit of open streams', address: caller.address, key: caller.label });
        const detail = `A key may have ${now.limit.streamsOf(caller) * share} event streams open; close some.`;
        sendProblem(res, 429, 'Too Many Requests', detail, ['Retry-After', '30', ...extraHeaders]);
      } else if (caller.expiresAtMs != null) cutAtExpiry(streams, res, caller.expiresAtMs);
      return release;
    },
  };

  const newFront = (): Front =>
    buildFront({
      settings: now,
      guard: buildGuard(now.config, certificate()),
      protocol,
      waiting,
      sseConnections,
      siblings,
      clientCertificates,
      certificate,
      startedAtMs,
      lastReload: () => lastReload,
    });
  let front = newFront();

  registry.onListChanged((kind) => {
    const json = renderNotification(`notifications/${kind}/list_changed`, '');
    for (const session of sessions.all()) session.notify(json);
  });
  registry.onResourceUpdated((uri, sessionId) => {
    // Without a session it cannot be told whose it is: dropped, never broadcast.
    if (sessionId === null) return;
    sessions.get(sessionId)?.notify(renderNotification('notifications/resources/updated', JSON.stringify({ uri })));
  });
  function endAllOf(keyId: string): void {
    front.keyEnded();
    // Before its sessions, whose end would answer the calls in another way.
    inFlight.endAllOf(keyId);
    sessions.endAllOf(keyId);
    listeners.endAllOf(keyId);
    parked.abandonAllOf(keyId);
  }
  now.keys?.onRevoked(endAllOf);
  inFlight.countTool = now.limit.countTool;

  function prepare(read: ConfigWithKeys, next: ServedCertificate | null): GatewayChange {
    const before = now;
    const change = settings.change(before, read, next);
    const { set, keys, trail, limit, config } = change.settings;
    const { server, limits } = config.deployment;
    return {
      added: set.backends.filter((backend) => !before.set.backends.includes(backend)),
      removed: before.set.backends.filter((backend) => !set.backends.includes(backend)),
      commit() {
        now = change.settings;
        calls.audit = trail;
        inFlight.countTool = limit.countTool;
        change.useKeys();
        sessions.useLimits({ ...server.sessions, max: Math.ceil(server.sessions.max / share) });
        shareSessions();
        unread.useBound(Math.ceil(limits.unreadBytes / share));
        streams.useKeepAlive(server.keepAliveSeconds * 1_000);
        const { draining } = front.admission;
        front = newFront();
        front.admission.draining = draining;
        if (keys !== before.keys) {
          keys?.onRevoked(endAllOf);
          // Who came in without a key stays in with one only.
          if (before.keys === null) endAllOf('');
        }
        if (!sameSets(before.set.backends, set.backends)) {
          registry.replace(set.backends);
          listeners.resubscribe();
        }
        change.retire({
          redisErrors: (errors) => void (redisErrorsBefore += errors),
          droppedLines: (lines) => void (droppedBefore += lines),
        });
      },
      discard: () => change.discard(),
    };
  }

  return {
    get front() {
      return front;
    },
    protocol,
    registry,
    unread,
    clientRefused(status, address) {
      metrics.error(`http-${status}`);
      now.trail?.refused({ requestId: '', why: `no readable request (${status})`, address: address ?? 'unknown' });
    },
    waitingCalls: () => inFlight.size - parked.size + (siblings?.passedOn() ?? 0),
    certificateChanged() {
      front.admission.guard = buildGuard(now.config, certificate());
    },
    prepare,
    noteReload(problem) {
      const result = problem === null ? 'ok' : 'refused';
      lastReload = { atMs: Date.now(), result, problem };
      metrics.configReload(result);
    },
    closeClients() {
      now.keys?.close();
      now.tokens?.close();
      clientCertificates?.close();
      gate.close();
      listeners.close();
      sessions.close();
      parked.close();
      streams.close();
      waiting.close();
      unread.close();
      now.together?.close();
      now.holdings?.close();
      now.redis?.close();
      metrics.close();
    },
    async closeAudit() {
      now.trail?.close();
      await now.audit?.close();
      const dropped = droppedBefore + (now.audit?.dropped ?? 0);
      if (dropped > 0) log.error('audit.lines-lost', { dropped });
      await options.traces?.close();
    },
  };
}

/** A process that is given up counts as open too: calls are answered at once, until a time that is known. */
function describeBreakers(backend: Backend) {
  const { name, state } = backend;
  const views = backend.breakers?.() ?? [];
  const own = state.state === 'broken' ? 'open' : (views.find((view) => view.name === name)?.state ?? 'closed');
  return { breaker: own, toolBreakers: views.filter((view) => view.name !== name) };
}

function describeRefused({ caller, requestId, bytesIn, req }: ChargedRequest, why: string): RefusedRequest {
  const session = headerText(req.headers['mcp-session-id']);
  return { requestId, why, address: caller.address, key: caller.label, session, bytesIn, headers: req.headers };
}

function givenBackends(backends: readonly Backend[]): BackendSet {
  return { backends, byOrigin: new Map(), kept: null };
}

function sameSets(one: readonly Backend[], other: readonly Backend[]): boolean {
  return one.length === other.length && one.every((backend, at) => backend === other[at]);
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
