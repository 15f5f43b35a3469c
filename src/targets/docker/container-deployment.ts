import { isIP } from 'node:net';
import { UserError } from '../../deployment/errors.ts';
import { listenAddresses } from '../../deployment/listen-address.ts';
import type { Deployment } from '../../deployment/schema.ts';

/** Where the server looks for keys beside its configuration, and where the certificate is mounted. */
export const containerFiles = {
  config: '/app/mcp-deploy.yaml',
  keyStore: '/app/.mcp-deploy/keys/keys.json',
  certificate: '/run/secrets/mcp_tls_certificate',
  key: '/run/secrets/mcp_tls_key',
} as const;

/** Port inside of the container; above 1024, so that no capability is needed. */
export function containerPort(deployment: Deployment): number {
  return deployment.tls.source === 'off' ? 8080 : 8443;
}

/**
 * The same deployment as the container sees it: it listens on all addresses
 * of its own network, and what is published to whom is Compose's part. TLS
 * stays where it was: with certificates from mounted files in the server
 * itself, or with a proxy in front when the deployment has none.
 * Throws a UserError for a deployment without keys, which a server beyond
 * loopback refuses.
 */
export function containerDeployment(
  deployment: Deployment,
): Omit<Deployment, 'service' | 'proxy'> & { readonly proxy: object } {
  if (!deployment.auth.required) {
    throw new UserError('auth.required is false, which a container cannot be run with', {
      why: 'In a container the server listens on more than loopback, and it refuses that without keys.',
      next: 'Set auth.required to true in mcp-deploy.yaml.',
    });
  }
  const { service: _service, ...rest } = deployment;
  const { serverName, maxBodyMegabytes } = deployment.proxy;
  const plain = deployment.tls.source === 'off';
  return {
    ...rest,
    // The public name is one that the server answers to; the proxy's own files are not in the container.
    proxy: { ...(serverName === undefined ? {} : { serverName }), maxBodyMegabytes },
    server: {
      ...deployment.server,
      listen: `:${containerPort(deployment)}`,
      behindProxy: plain || deployment.server.behindProxy,
    },
    tls: plain
      ? { source: 'off' }
      : { source: 'files', certificate: containerFiles.certificate, key: containerFiles.key },
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
