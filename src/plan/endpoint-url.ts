import { isIP } from 'node:net';
import { listenAddresses } from '../deployment/listen-address.ts';
import type { Deployment } from '../deployment/schema.ts';
import { objectNames } from '../targets/kubernetes/view.ts';

type Endpoint = Pick<Deployment, 'server' | 'tls'> &
  Partial<Pick<Deployment, 'name' | 'service' | 'container' | 'proxy'>>;

/**
 * The URL of the endpoint as this machine reaches it: `https://localhost:8443/mcp`.
 * A server on Unix sockets alone has none; then it is the public URL, or the socket as `unix:/path`.
 */
export function endpointUrl(deployment: Endpoint): string {
  const { server } = deployment;
  const front = containerFront(deployment);
  if (front !== null) return front.url;
  const local = localOrigin(deployment, 'localhost');
  if (local !== null) return `${local}${server.path}`;
  return server.publicUrl ?? [server.listen].flat()[0] ?? server.path;
}

/** The URL of what stands in front of the server among its containers; null where the server itself is published. */
export function containerFront(deployment: Endpoint): { readonly url: string; readonly isLocal: boolean } | null {
  const { server, tls, service, container, proxy } = deployment;
  if (service?.manager === 'kubernetes') return { url: clusterUrl(deployment), isLocal: false };
  const hasFront =
    service?.manager === 'swarm' ||
    (service?.manager === 'docker' && container !== undefined && container.proxy !== 'none');
  if (!hasFront) return null;
  const publicUrl = server.publicUrl === undefined ? null : new URL(server.publicUrl);
  const names = 'names' in tls && tls.names !== undefined && tls.names.length > 0 ? tls.names : ['localhost'];
  const name =
    proxy?.serverName ?? publicUrl?.hostname ?? (names.includes('localhost') ? 'localhost' : (names[0] ?? ''));
  const port = publicUrl?.port ?? '';
  const host = isIP(name) === 6 ? `[${name}]` : name;
  return {
    url: `https://${host}${port === '' ? '' : `:${port}`}${server.path}`,
    isLocal: ['localhost', '127.0.0.1', '::1', '[::1]'].includes(name),
  };
}

/** The public name where there is one; the name of the Service, which only pods know, otherwise. */
function clusterUrl({ server, proxy, container, name }: Endpoint): string {
  if (server.publicUrl !== undefined) return `${new URL(server.publicUrl).origin}${server.path}`;
  if (proxy?.serverName !== undefined) return `https://${proxy.serverName}${server.path}`;
  const app = objectNames({ name: name ?? 'mcp' }).app;
  return `http://${app}.${container?.kubernetes.namespace ?? 'mcp'}:8080${server.path}`;
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
