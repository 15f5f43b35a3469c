import { UserError } from '../deployment/errors.ts';
import { listenAddresses } from '../deployment/listen-address.ts';
import type { Registry } from './backends/registry.ts';
import { createGateway, type GatewayOptions } from './gateway.ts';
import { CertificateWatch, readCertificate, type ServedCertificate } from './http/certificate-files.ts';
import { openListeners, type Listeners } from './http/listeners.ts';
import { createAddressReader } from './policy/client-address.ts';
import type { ServerConfig } from './server-config.ts';
import { judgeStartup } from './startup-checks.ts';

export interface ServerOptions extends GatewayOptions {
  /** node:http timeouts, shorter in tests. */
  readonly timeouts?: { readonly headersTimeout?: number; readonly requestTimeout?: number };
  /** Where connections come from, when it is not this process that listens. */
  readonly open?: typeof openListeners;
}

/** A server that listens. */
export interface RunningServer {
  /** URLs of the endpoint, one for each address. */
  readonly urls: readonly string[];
  readonly registry: Registry;
  /** Reads keys and certificates again, and opens the audit file anew; bad ones are said and the old ones stay. */
  reload(): void;
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
export async function startServer(config: ServerConfig, options: ServerOptions): Promise<RunningServer> {
  const { deployment } = config;
  const { log } = options;
  const { server } = deployment;
  const addresses = listenAddresses(server);
  const refusal = judgeStartup(deployment, addresses, options.extraKeys, config.keyStoreFile !== null);
  if (refusal !== null) throw new UserError(refusal.what, refusal);

  const { tls } = deployment;
  if (tls.source === 'private-ca' || tls.source === 'acme') {
    throw new UserError('The certificate of this deployment is not made yet', { next: 'Run: mcp-deploy apply' });
  }
  const files = tls.source === 'files' ? tls : null;
  let certificate: ServedCertificate | null = files === null ? null : readCertificate(files);
  const gateway = createGateway(config, options, () => certificate);
  const { front, registry } = gateway;

  let watch: CertificateWatch | null = null;
  let open: Listeners;
  try {
    const treatment = {
      ...options.timeouts,
      tlsProfile: server.tlsProfile,
      proxyProtocol:
        server.proxyProtocol === 'off'
          ? null
          : { mode: server.proxyProtocol, trusts: createAddressReader(server.trustedProxies).trusts },
    };
    const openAll = options.open ?? openListeners;
    open = await openAll(addresses, certificate, (req, res) => front.handle(req, res), log, treatment, {
      unread: gateway.unread,
      clientRefused: (status, address) => gateway.clientRefused(status, address),
    });
  } catch (error) {
    gateway.closeClients();
    await gateway.closeAudit();
    throw error;
  }
  if (files !== null && certificate !== null) {
    watch = new CertificateWatch(files, certificate, log, (next) => {
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
  registry.start();

  let stopped: Promise<void> | null = null;
  async function stop(graceMs: number): Promise<void> {
    front.admission.draining = true;
    watch?.close();
    gateway.closeClients();
    await registry.stop(graceMs);
    await open.close(graceMs === 0 ? 0 : flushMs);
    await gateway.closeAudit();
  }

  return {
    urls: open.origins.map((origin) =>
      origin.startsWith('unix:') ? `${origin} ${server.path}` : origin + server.path,
    ),
    registry,
    reload() {
      gateway.reload();
      watch?.reload();
    },
    async drain() {
      front.admission.draining = true;
      const deadline = performance.now() + server.drainSeconds * 1_000;
      const mustWait = (): boolean => stopped === null && gateway.waitingCalls() > 0 && performance.now() < deadline;
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

function nap(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
