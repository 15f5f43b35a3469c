import { readAcceptedHosts } from './accepted-hosts.ts';
import type { ServedCertificate } from './http/certificate-files.ts';
import { createOriginGuard, type OriginGuard } from './policy/origin-guard.ts';
import type { ServerConfig } from './server-config.ts';

/**
 * Who may be asked for and from which pages, as the configuration and the names of the served certificate say.
 * @throws UserError for a host or an origin that is none.
 */
export function buildGuard({ deployment }: ServerConfig, certificate: ServedCertificate | null): OriginGuard {
  return createOriginGuard({
    allowedHosts: readAcceptedHosts(deployment, certificate?.names ?? []),
    allowedOrigins: deployment.server.allowedOrigins,
    cors: deployment.server.cors,
  });
}
