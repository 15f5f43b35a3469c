import { isIP } from 'node:net';
import { listenAddresses } from '../deployment/listen-address.ts';
import type { Deployment } from '../deployment/schema.ts';

type Endpoint = Pick<Deployment, 'server' | 'tls'>;

/**
 * The URL of the endpoint as this machine reaches it: `https://localhost:8443/mcp`.
 * A server on Unix sockets alone has none; then it is the public URL, or the socket as `unix:/path`.
 */
export function endpointUrl(deployment: Endpoint): string {
  const { server } = deployment;
  const local = localOrigin(deployment, 'localhost');
  if (local !== null) return `${local}${server.path}`;
  return server.publicUrl ?? [server.listen].flat()[0] ?? server.path;
}

/** The URL of the readiness page, by address so that no name needs to be resolved; null on Unix sockets alone. */
export function readyUrl(deployment: Endpoint): string | null {
  const local = localOrigin(deployment, '127.0.0.1');
  return local === null ? null : `${local}/readyz`;
}

/** The first TCP address; `everywhere` stands for localhost and for all addresses. */
function localOrigin({ server, tls }: Endpoint, everywhere: string): string | null {
  const address = listenAddresses(server).find((each) => each.kind === 'tcp');
  if (address?.kind !== 'tcp') return null;
  const host = address.host === '' || address.host === 'localhost' ? everywhere : address.host;
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${address.port}`;
  return `${tls.source === 'off' ? 'http' : 'https'}://${authority}`;
}
