import type { Settings } from './gateway-settings.ts';
import { CompressedAnswers } from './http/compress-answers.ts';
import type { ServedCertificate } from './http/certificate-files.ts';
import type { ClientCertificates } from './http/client-certificates.ts';
import { createPageVisits } from './http/page-visit.ts';
import { Front } from './http/front.ts';
import { createPageAccess } from './http/page-access.ts';
import { peerAddress } from './http/peer-address.ts';
import { createRequestIds } from './http/request-id.ts';
import type { SseConnection } from './http/sse-transport.ts';
import { StatusPages } from './http/status-pages.ts';
import type { WaitingExchanges } from './http/waiting-exchanges.ts';
import {
  describeHealth,
  describeReadiness,
  describeStatus,
  type LastReload,
  type Readiness,
} from './observe/health.ts';
import { metricsContentType } from './observe/metrics.ts';
import { createAddressGate } from './policy/address-gate.ts';
import type { OriginGuard } from './policy/origin-guard.ts';
import type { ProtocolHost } from './protocol/protocol-host.ts';
import { legacyRevisions, modernRevisions } from './protocol/revisions.ts';
import type { Siblings } from './workers/siblings.ts';

/** What a front is built around: the settings in force, and what outlives them. */
export interface FrontSources {
  readonly settings: Settings;
  readonly guard: OriginGuard;
  readonly protocol: ProtocolHost;
  readonly waiting: WaitingExchanges;
  readonly sseConnections: Map<string, SseConnection>;
  readonly siblings: Siblings | null;
  readonly clientCertificates: ClientCertificates | null;
  /** The one that is served now; null without TLS. */
  readonly certificate: () => ServedCertificate | null;
  /** Epoch ms. */
  readonly startedAtMs: number;
  readonly lastReload: () => LastReload | null;
}

/** Everything between a socket and the protocol that a configuration decides. */
export function buildFront(sources: FrontSources): Front {
  const { settings, protocol, startedAtMs, siblings, lastReload } = sources;
  const { keys, trail, readAddress, tokens, resource } = settings;
  const { deployment } = settings.config;
  const { server, limits } = deployment;
  const { registry, metrics, sessions, streams, log, version } = protocol;
  // Asked for anew each time: a backend can be replaced.
  const readinessOf = (draining: boolean): Readiness => ({
    backends: registry.backends,
    draining,
    auditBlocked: protocol.isAuditBlocked(),
  });
  const pages = new StatusPages({
    access: createPageAccess({ behindProxy: server.behindProxy, metricsFrom: server.metricsFrom, readAddress }),
    ownAccess: createPageAccess({ behindProxy: false, metricsFrom: server.metricsFrom, readAddress }),
    resourceMetadata: (path) => (resource?.paths.has(path) === true ? resource.metadataJson : null),
    noOAuthHere:
      resource === null
        ? 'This server uses keys, not OAuth: send Authorization: Bearer KEY.'
        : `This server issues no tokens; how to get one says ${resource.metadataUrl}.`,
    describeHealth: (draining) =>
      describeHealth(server.health.form, { ...readinessOf(draining), startedAtMs, nowMs: Date.now() }),
    describeReadiness: (draining, detail) => describeReadiness(readinessOf(draining), detail),
    describeStatus: (draining) =>
      describeStatus({
        version,
        startedAtMs,
        nowMs: Date.now(),
        ...readinessOf(draining),
        sessions: sessions.size,
        streams: streams.size,
        totals: metrics.totals(),
        durations: metrics.durations(),
        certificate: sources.certificate(),
        lastReload: lastReload(),
        memory: process.memoryUsage(),
      }),
    renderMetrics: () => metrics.render(),
    metricsContentType,
    showsMetrics: server.metrics && server.metricsListen === undefined,
    judgeKey(req) {
      if (keys === null) return null;
      const { headers } = req;
      const address = readAddress(peerAddress(req), headerText(headers['x-forwarded-for']) ?? undefined);
      const plain = headers['x-api-key'];
      const decision = keys.check(headers.authorization, Array.isArray(plain) ? plain[0] : plain, address);
      if (decision.allowed) return decision;
      // Guesses count here as they do at the endpoint.
      metrics.authFailure(decision.reason);
      trail?.refused({ requestId: '', why: `key ${decision.reason}, for the status`, address });
      return decision;
    },
    page: server.page ? createPageVisits(deployment, settings.keys !== null, sources.certificate) : null,
    refuses: ({ headers }) => built.admission.guard.refuses(headers.host, headers.origin),
    whole: siblings === null ? null : (page) => siblings.gather(page),
  });
  const built: Front = new Front({
    siblings,
    path: server.path,
    healthPath: server.health.path,
    aliases: server.aliases,
    legacySse: server.legacySse === 'off' ? null : server.legacySse,
    toolPath: server.toolPath === 'off' ? null : server.toolPath,
    info: server.info
      ? {
          deployment,
          version,
          revisions: [...modernRevisions, ...legacyRevisions],
          resourceMetadataUrl: resource?.metadataUrl ?? null,
        }
      : null,
    hasPage: server.page,
    sseConnections: sources.sseConnections,
    bodyBytes: limits.bodyBytes,
    streams,
    waiting: sources.waiting,
    compressed: server.compression === 'auto' ? new CompressedAnswers() : null,
    protocol,
    keys,
    readAddress,
    gate: createAddressGate(server),
    requestIdOf: createRequestIds((req) => readAddress.trusts(peerAddress(req))),
    metrics,
    audit: trail,
    log,
    guard: sources.guard,
    certificates: sources.clientCertificates,
    tokens,
    resource,
    pages,
  });
  siblings?.onAsked((page) => pages.describe(page, built.admission.draining));
  return built;
}

function headerText(header: string | string[] | undefined): string | null {
  if (header === undefined) return null;
  return typeof header === 'string' ? header : header.join(', ');
}
