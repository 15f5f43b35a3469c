import { isIP } from 'node:net';
import { listenAddresses } from '../../deployment/listen-address.ts';
import type { Deployment } from '../../deployment/schema.ts';

/** Where Compose mounts secrets. */
export const secretsFolder = '/run/secrets';

/** Port inside of the container; above 1024, so that no capability is needed. */
export function containerPort(deployment: Deployment): number {
  return deployment.tls.source === 'off' ? 8080 : 8443;
}

/**
 * The same deployment as the container sees it: it listens on all addresses
 * of its own network, and what is published to whom is Compose's part. TLS
 * stays where it was: with certificates from mounted files in the server
 * itself, or with a proxy in front when the deployment has none.
 */
export function containerDeployment(deployment: Deployment): Omit<Deployment, 'proxy' | 'service'> {
  const { proxy: _proxy, service: _service, ...rest } = deployment;
  const plain = deployment.tls.source === 'off';
  return {
    ...rest,
    server: {
      ...deployment.server,
      listen: `:${containerPort(deployment)}`,
      behindProxy: plain || deployment.server.behindProxy,
    },
    tls: plain
      ? { source: 'off' }
      : { source: 'files', certificate: `${secretsFolder}/mcp_tls_certificate`, key: `${secretsFolder}/mcp_tls_key` },
  };
}

/** Published ports as Compose writes them: open to whom the deployment's own listen addresses are open. */
export function publishedPorts(deployment: Deployment): readonly string[] {
  const inside = containerPort(deployment);
  const mappings = listenAddresses(deployment.server).flatMap((address) => {
    if (address.kind === 'unix') return [];
    if (address.host === '') return [`${address.port}:${inside}`];
    if (isIP(address.host) === 6) return [`[${address.host}]:${address.port}:${inside}`];
    // Names are not allowed there; a name in server.listen is this machine's own.
    return [`${isIP(address.host) === 4 ? address.host : '127.0.0.1'}:${address.port}:${inside}`];
  });
  return mappings.length > 0 ? [...new Set(mappings)] : [`127.0.0.1:${inside}:${inside}`];
}
