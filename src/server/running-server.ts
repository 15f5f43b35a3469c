import type { Log } from './observe/log.ts';
import { describeRisks } from '../deployment/describe-risks.ts';
import { UserError } from '../deployment/errors.ts';
import type { ClientCertificates } from './http/client-certificates.ts';
import type { HttpHandler } from './http/http-message.ts';
import { listenAddresses } from '../deployment/listen-address.ts';
import type { Registry } from './backends/registry.ts';
import { createGateway, type GatewayChange, type GatewayOptions } from './gateway.ts';
import {
  CertificateWatch,
  readCertificate,
  type CertificateFiles,
  type ServedCertificate,
} from './http/certificate-files.ts';
import type { Treatment } from './http/http-servers.ts';
import { openListeners, type Listeners, type ListenersChange } from './http/listeners.ts';
import { openPages, planPageListeners, type OpenPages, type PageSocket } from './http/page-listeners.ts';
import { createAddressReader } from './policy/client-address.ts';
import { createReload, retireAll, startAll, type ConfigWithKeys } from './reload.ts';
import type { ServerConfig } from './server-config.ts';
import type { InheritedSockets } from './systemd/inherited-sockets.ts';
import { judgeStartup, type ExtraKey } from './startup-checks.ts';

export interface ServerOptions extends GatewayOptions {
  /** node:http timeouts, shorter in tests. */
  readonly timeouts?: { readonly headersTimeout?: number; readonly requestTimeout?: number };
  /** Where connections come from, when it is not this process that listens. */
  readonly open?: typeof openListeners;
  /** The same for the listeners of pages alone; `number` is the place in planPageListeners. */
  readonly openPages?: OpenPages;
  /** Sockets that systemd handed over; those whose address is configured are used, and they outlive this server. */
  readonly inherited?: InheritedSockets | null;
  /** Reads the configuration again; without it a reload reads keys and certificates only. */
  readonly readAgain?: () => Promise<ConfigWithKeys>;
  /** Told of each configuration that was put in force. */
  readonly onReloaded?: (config: ServerConfig) => void;
}

/** A server that listens. */
export interface RunningServer {
  /** URLs of the endpoint, one for each address. */
  readonly urls: readonly string[];
  /** Where pages have listeners of their own. */
  readonly pageOrigins: readonly string[];
  readonly registry: Registry;
  /**
   * Reads configuration, keys and certificates again and opens the audit file anew. All of it is put in force, or, when
   * something in it cannot be, none of it: that is said in the log and the old stays. Resolves when it is decided.
   */
  reload(): Promise<void>;
  /** Another process holds the same sockets: from now on a drain leaves to it what connects. */
  leaveToSuccessor(): void;
  /** Refuses new calls, finishes those in flight for up to `drainSeconds`, then stops everything. */
  drain(): Promise<void>;
  /** Stops everything without waiting for calls. */
  stopNow(): Promise<void>;
}

const backendGraceMs = 3_000;
/** What is still on its way to clients when the server stops may go out for this long. */
const flushMs = 2_000;

/**
 * Starts the server that a configuration describes.
 * @throws UserError or EnvironmentError when it must not or cannot listen; nothing is left running then.
 */
export async function startServer(first: ServerConfig, options: ServerOptions): Promise<RunningServer> {
  const { log, inherited = null } = options;
  let config = first;
  let { extraKeys, readKeys } = options;
  let files = judge(config, extraKeys);
  let certificate: ServedCertificate | null = files === null ? null : readCertificate(files);
  const clientCertificates = await readClientCertificates(config, log);
  const gateway = createGateway(config, { ...options, clientCertificates }, () => certificate);
  const { registry } = gateway;
  let proxies = createAddressReader(config.deployment.server.trustedProxies);

  let open: Listeners;
  const pageSockets: PageSocket[] = [];
  try {
    for (const [number, { address, pages }] of planPageListeners(config.deployment.server).entries()) {
      const handler: HttpHandler = (req, res) => gateway.front.handlePages(req, res, pages);
      pageSockets.push(await (options.openPages ?? openPages)(number, address, handler, log, inherited));
    }
    open = await (options.open ?? openListeners)(
      listenAddresses(config.deployment.server),
      certificate,
      (req, res) => gateway.front.handle(req, res),
      log,
      {
        ...options.timeouts,
        ...treatmentOf(config),
        clientAuthorities: clientCertificates === null ? null : () => clientCertificates.authorities,
        inherited,
      },
      {
        unread: gateway.unread,
        clientRefused: (status, address) => gateway.clientRefused(status, address),
      },
    );
  } catch (error) {
    inherited?.close();
    await Promise.all(pageSockets.map((socket) => socket.close()));
    gateway.closeClients();
    await gateway.closeAudit();
    throw error;
  }
  let watch = watchCertificate();
  clientCertificates?.onAuthoritiesChanged(() => {
    if (certificate !== null) open.useCertificate(certificate);
  });
  // With workers the process above them says it once.
  if (options.siblings == null) for (const risk of describeRisks(config.deployment)) log.warn('config.risk', { risk });
  registry.start();

  let isStopping = false;
  let hasSuccessor = false;
  let stopped: Promise<void> | null = null;
  /** Backends of earlier configurations that still answer calls. */
  const retiring = new Set<Promise<void>>();

  function watchCertificate(): CertificateWatch | null {
    if (files === null || certificate === null) return null;
    return new CertificateWatch(files, certificate, log, (next) => {
      const before = certificate;
      certificate = next;
      try {
        gateway.certificateChanged();
        open.useCertificate(next);
      } catch (error) {
        certificate = before;
        gateway.certificateChanged();
        throw error;
      }
    });
  }

  function treatmentOf({ deployment: { server } }: ServerConfig): Treatment {
    const { tlsProfile, proxyProtocol: mode, idleConnectionSeconds } = server;
    // Asked for each connection: who is trusted can change while the listener stays.
    const trusts = (address: string | undefined): boolean => proxies.trusts(address);
    return {
      tlsProfile,
      proxyProtocol: mode === 'off' ? null : { mode, trusts },
      keepAliveTimeout: idleConnectionSeconds * 1_000,
    };
  }

  /** Everything is judged, opened and started first; what is old is let go of last. */
  async function takeOver(read: ConfigWithKeys): Promise<void> {
    const { config: next } = read;
    refuseOtherPages(config, next);
    refuseOtherMtls(config, next);
    const nextFiles = judge(next, read.extraKeys);
    const nextCertificate = nextFiles === null ? null : readCertificate(nextFiles);
    const change = gateway.prepare(read, nextCertificate);
    let listening: ListenersChange;
    try {
      await startAll(change.added, () => isStopping);
      listening = await prepareListening(change, next, nextCertificate);
    } catch (error) {
      change.discard();
      throw error;
    }
    const drainMs = next.deployment.server.drainSeconds * 1_000;
    proxies = createAddressReader(next.deployment.server.trustedProxies);
    config = next;
    ({ extraKeys, readKeys } = read);
    files = nextFiles;
    certificate = nextCertificate;
    change.commit();
    listening.commit();
    if (certificate !== null) open.useCertificate(certificate);
    watch?.close();
    watch = watchCertificate();
    const retired = retireAll(change.removed, drainMs, backendGraceMs, () => isStopping);
    retiring.add(retired);
    void retired.finally(() => retiring.delete(retired));
    clientCertificates?.reload();
    options.onReloaded?.(next);
  }

  async function prepareListening(
    change: GatewayChange,
    next: ServerConfig,
    nextCertificate: ServedCertificate | null,
  ): Promise<ListenersChange> {
    try {
      const addresses = listenAddresses(next.deployment.server);
      const listening = await open.prepare(addresses, nextCertificate, treatmentOf(next));
      if (!isStopping) return listening;
      await listening.discard();
      throw new UserError('The server stops');
    } catch (error) {
      await Promise.all(change.added.map((backend) => backend.stop(0)));
      throw error;
    }
  }

  const takeUp = createReload(
    gateway,
    log,
    async () => (await options.readAgain?.()) ?? { config, extraKeys: (await readKeys?.()) ?? extraKeys, readKeys },
    takeOver,
  );
  let reloading: Promise<void> = Promise.resolve();

  async function stop(graceMs: number): Promise<void> {
    isStopping = true;
    gateway.front.admission.draining = true;
    watch?.close();
    gateway.closeClients();
    await Promise.all([registry.stop(graceMs), reloading, ...retiring]);
    await Promise.all([open.close(graceMs === 0 ? 0 : flushMs), ...pageSockets.map((socket) => socket.close())]);
    await gateway.closeAudit();
  }

  const urls = (): string[] => {
    const { path } = config.deployment.server;
    return open.origins.map((origin) => (origin.startsWith('unix:') ? `${origin} ${path}` : origin + path));
  };

  return {
    get urls() {
      return urls();
    },
    pageOrigins: pageSockets.flatMap(({ origins }) => origins),
    registry,
    reload() {
      if (!isStopping) reloading = takeUp();
      return reloading;
    },
    leaveToSuccessor() {
      hasSuccessor = true;
    },
    async drain() {
      isStopping = true;
      // Calls on connections that are open are the last ones of this process; no other is waiting to take them.
      await open.handOver(hasSuccessor);
      gateway.front.admission.draining = true;
      open.drain();
      const deadline = performance.now() + config.deployment.server.drainSeconds * 1_000;
      const mustWait = (): boolean => stopped === null && gateway.waitingCalls() > 0 && performance.now() < deadline;
      while (mustWait()) await nap(20);
      stopped ??= stop(backendGraceMs);
      await stopped;
    },
    async stopNow() {
      isStopping = true;
      stopped ??= stop(0);
      await stopped;
    },
  };
}

/** These sockets are opened once. @throws UserError when the next configuration wants others. */
function refuseOtherPages(before: ServerConfig, next: ServerConfig): void {
  const [old, wanted] = [before, next].map(({ deployment }) => JSON.stringify(planPageListeners(deployment.server)));
  if (old === wanted) return;
  throw new UserError('Pages cannot move to other addresses while the server runs', {
    why: 'server.metricsListen, server.statusListen and server.healthListen are opened when it starts.',
    next: 'Restart the server for these.',
  });
}

/** Where the certificate is, null without TLS. @throws UserError when this must not be served. */
function judge({ deployment, keyStoreFile }: ServerConfig, extraKeys: readonly ExtraKey[]): CertificateFiles | null {
  const addresses = listenAddresses(deployment.server);
  const refusal = judgeStartup(deployment, addresses, extraKeys, keyStoreFile !== null);
  if (refusal !== null) throw new UserError(refusal.what, refusal);
  const { tls } = deployment;
  if (tls.source === 'private-ca' || tls.source === 'acme') {
    throw new UserError('The certificate of this deployment is not made yet', { next: 'Run: mcp-deploy apply' });
  }
  return tls.source === 'files' ? tls : null;
}

/** Read only when asked for: it needs the parsers of certificates, which take their time to start. */
async function readClientCertificates(
  { deployment, baseDir }: ServerConfig,
  log: Log,
): Promise<ClientCertificates | null> {
  const { mtls, required } = deployment.auth;
  if (mtls === undefined || !required || deployment.tls.source === 'off') return null;
  const { ClientCertificates: Certificates } = await import('./http/client-certificates.ts');
  return new Certificates(mtls, baseDir, log);
}

/** Handshakes that are open were made by the rules before; the files that they name are read anew at any time. */
function refuseOtherMtls(before: ServerConfig, next: ServerConfig): void {
  const relevant = ({ deployment: { auth, tls } }: ServerConfig): string =>
    JSON.stringify([auth.mtls ?? null, auth.mtls !== undefined && [auth.required, tls.source === 'off']]);
  if (relevant(before) === relevant(next)) return;
  throw new UserError('auth.mtls cannot change while the server runs', {
    why: 'Connections that are open were made by the rules before.',
    next: 'mcp-deploy restart',
  });
}

function nap(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
