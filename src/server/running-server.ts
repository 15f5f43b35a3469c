import { UserError } from '../deployment/errors.ts';
import { listenAddresses } from '../deployment/listen-address.ts';
import { readAcceptedHosts } from './accepted-hosts.ts';
import { createRegistry, type Registry } from './backends/registry.ts';
import { createCallLimits } from './call-limits.ts';
import { createBackends } from './create-backends.ts';
import { CertificateWatch, readCertificate, type ServedCertificate } from './http/certificate-files.ts';
import { OpenStreams } from './http/event-stream.ts';
import { Front } from './http/front.ts';
import { openListeners, type Listeners } from './http/listeners.ts';
import { sendProblem } from './http/answers.ts';
import { StatusPages } from './http/status-pages.ts';
import { WaitingExchanges } from './http/waiting-exchanges.ts';
import { describeReadiness, describeStatus } from './observe/health.ts';
import type { Log } from './observe/log.ts';
import { createMetrics, metricsContentType } from './observe/metrics.ts';
import { createAddressReader } from './policy/client-address.ts';
import { createKeyCheck } from './policy/key-check.ts';
import { createOriginGuard, type OriginGuard } from './policy/origin-guard.ts';
import { describeServerInfo, HandshakeGate } from './protocol/handshake.ts';
import { ListenStreams } from './protocol/listen-streams.ts';
import { ParkedCalls } from './protocol/parked-calls.ts';
import type { ProtocolHost } from './protocol/protocol-host.ts';
import { renderNotification } from './protocol/rpc-text.ts';
import { SessionStore } from './protocol/session-store.ts';
import type { ServerConfig } from './server-config.ts';
import { judgeStartup, type ExtraKey } from './startup-checks.ts';
import { createStreamQuota } from './stream-quota.ts';
import type { Backend } from './types.ts';

export interface ServerOptions {
  readonly version: string;
  /** Environment for upstreams' `${NAME}` and PATH. */
  readonly env: NodeJS.ProcessEnv;
  readonly log: Log;
  /** Keys from outside of the key file. */
  readonly extraKeys: readonly ExtraKey[];
  /** In place of those that the deployment names. */
  readonly backends?: readonly Backend[];
  /** After this long a POST without an answer becomes an event stream. */
  readonly upgradeAfterMs?: number;
  /** node:http timeouts, shorter in tests. */
  readonly timeouts?: { readonly headersTimeout?: number; readonly requestTimeout?: number };
}

/** A server that listens. */
export interface RunningServer {
  /** URLs of the endpoint, one for each address. */
  readonly urls: readonly string[];
  readonly registry: Registry;
  /** Reads keys and certificates again; bad ones are said and the old ones stay. */
  reload(): void;
  /** Refuses new calls, finishes those in flight for up to `drainSeconds`, then stops everything. */
  drain(): Promise<void>;
  /** Stops everything without waiting for calls. */
  stopNow(): Promise<void>;
}

const backendGraceMs = 3_000;
/** Calls in flight, parked ones included: what is more gets 503, so that memory stays bounded. */
const maxInFlight = 20_000;
/** What is still on its way to clients when the server stops may go out for this long. */
const flushMs = 2_000;

/**
 * Starts the server that a configuration describes.
 * @throws UserError or EnvironmentError when it must not or cannot listen; nothing is left running then.
 */
export async function startServer(config: ServerConfig, options: ServerOptions): Promise<RunningServer> {
  const { deployment } = config;
  const { log, version } = options;
  const { server, limits } = deployment;
  const startedAtMs = Date.now();
  const addresses = listenAddresses(server);
  const refusal = judgeStartup(deployment, addresses, options.extraKeys, config.keyStoreFile !== null);
  if (refusal !== null) throw new UserError(refusal.what, refusal);

  const { tls } = deployment;
  if (tls.source === 'private-ca') {
    throw new UserError('The certificate of this deployment is not made yet', { next: 'Run: mcp-deploy apply' });
  }
  const files = tls.source === 'files' ? tls : null;
  let certificate: ServedCertificate | null = files === null ? null : readCertificate(files);
  const buildGuard = (): OriginGuard =>
    createOriginGuard({
      allowedHosts: readAcceptedHosts(deployment, certificate?.names ?? []),
      allowedOrigins: server.allowedOrigins,
    });

  const keys = deployment.auth.required
    ? createKeyCheck({ storeFile: config.keyStoreFile, extraKeys: options.extraKeys, log })
    : null;
  const registry = createRegistry(options.backends ?? createBackends(config, options));

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
    certificateNotAfterSeconds: () => certificate?.notAfterSeconds ?? null,
  });
  const streams = new OpenStreams(server.keepAliveSeconds * 1_000, {
    eventSent: () => metrics.sseEvent(),
    slowReaderCut: () => log.warn('stream.slow-reader-cut'),
  });
  const waiting = new WaitingExchanges(options.upgradeAfterMs);
  const sessions = new SessionStore(server.sessions, log, (sessionId) => registry.endSession(sessionId));
  const parked = new ParkedCalls();
  const gate = new HandshakeGate(registry);
  const quota = createStreamQuota(limits.streamsPerKey);
  const serverInfoJson = (): string => JSON.stringify(describeServerInfo(registry, version));
  const listeners = new ListenStreams(registry, streams, serverInfoJson);
  const limit = createCallLimits(limits, metrics);
  let inFlight = 0;

  const protocol: ProtocolHost = {
    registry,
    gate,
    sessions,
    parked,
    listeners,
    streams,
    metrics,
    log,
    version,
    calls: {
      metrics,
      parked,
      serverInfoJson: rememberFor(1_000, serverInfoJson),
      callStarted: () => void inFlight++,
      callEnded: () => void inFlight--,
    },
    isFull: () => inFlight >= maxInFlight,
    charge: ({ caller }) => limit(caller),
    takeStream(caller, res, extraHeaders) {
      const release = quota.take(caller.keyId);
      if (release === null) {
        metrics.rateLimited('streams');
        const detail = `A key may have ${limits.streamsPerKey} event streams open; close some.`;
        sendProblem(res, 429, 'Too Many Requests', detail, ['Retry-After', '30', ...extraHeaders]);
      }
      return release;
    },
  };

  const readAddress = createAddressReader(server.trustedProxies);
  const front = new Front({
    path: server.path,
    bodyBytes: limits.bodyBytes,
    streams,
    waiting,
    protocol,
    keys,
    readAddress,
    metrics,
    log,
    guard: buildGuard(),
    pages: new StatusPages({
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
      holdsKey: ({ headers, socket }) => {
        if (keys === null) return false;
        const address = readAddress(socket.remoteAddress, String(headers['x-forwarded-for'] ?? '') || undefined);
        const plain = headers['x-api-key'];
        return keys.check(headers.authorization, Array.isArray(plain) ? plain[0] : plain, address).allowed;
      },
      refuses: ({ headers }) => front.guard.refuses(headers.host, headers.origin),
    }),
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
    sessions.endAllOf(keyId);
    listeners.endAllOf(keyId);
    parked.abandonAllOf(keyId);
  });

  let watch: CertificateWatch | null = null;
  let open: Listeners;
  try {
    open = await openListeners(addresses, certificate, (req, res) => front.handle(req, res), log, options.timeouts);
  } catch (error) {
    stopTimers();
    throw error;
  }
  if (files !== null && certificate !== null) {
    watch = new CertificateWatch(files, certificate, log, (next) => {
      certificate = next;
      open.useCertificate(next);
      front.guard = buildGuard();
    });
  }
  registry.start();

  function stopTimers(): void {
    watch?.close();
    keys?.close();
    gate.close();
    listeners.close();
    sessions.close();
    parked.close();
    streams.close();
    waiting.close();
    metrics.close();
  }

  let stopped: Promise<void> | null = null;
  async function stop(graceMs: number): Promise<void> {
    front.draining = true;
    stopTimers();
    await registry.stop(graceMs);
    await open.close(graceMs === 0 ? 0 : flushMs);
  }

  return {
    urls: open.origins.map((origin) =>
      origin.startsWith('unix:') ? `${origin} ${server.path}` : origin + server.path,
    ),
    registry,
    reload() {
      keys?.reload();
      watch?.reload();
    },
    async drain() {
      front.draining = true;
      const deadline = performance.now() + server.drainSeconds * 1_000;
      const mustWait = (): boolean => stopped === null && inFlight > parked.size && performance.now() < deadline;
      while (mustWait()) await nap(20);
      stopped ??= stop(backendGraceMs);
      await stopped;
    },
    async stopNow() {
      stopped ??= stop(0);
      await stopped;
    },
  };
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

function nap(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
