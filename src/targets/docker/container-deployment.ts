import { UserError } from '../../deployment/errors.ts';
import { isLoopback, parseListenAddress } from '../../deployment/listen-address.ts';
import { redisSchema } from '../../deployment/redis-schema.ts';
import type { Deployment } from '../../deployment/schema.ts';

/** What runs the image. */
export type ContainerPlace = 'docker' | 'swarm' | 'kubernetes';

/** Where the server looks for keys beside its configuration, and where the certificate is mounted. */
export const containerFiles = {
  config: '/app/mcp-deploy.yaml',
  keyStore: '/app/.mcp-deploy/keys/keys.json',
  certificate: '/run/secrets/mcp_tls_certificate',
  key: '/run/secrets/mcp_tls_key',
  auditKey: '/run/secrets/mcp_audit_key',
  /** The only folder that is kept when a container is replaced. */
  state: '/var/lib/mcp',
} as const;

/** Ports inside of the container; above 1024, so that no capability is needed. */
export const pagePorts = { health: 8081, metrics: 9090 } as const;

/**
 * Networks of containers and pods: those that no router of the internet knows (RFC 1918, RFC 6598, RFC 4193). Who is
 * there comes through a proxy, a published port or a network policy, and each of these has a list of its own.
 */
const privateNetworks: readonly string[] = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  'fc00::/7',
];

/** Whether TLS ends in front of the container: at a proxy beside it, at the ingress of the cluster, or nowhere. */
export function isPlainInside({ tls, container }: Deployment, place: ContainerPlace): boolean {
  return place !== 'docker' || tls.source === 'off' || container.proxy !== 'none';
}

/** Port of the endpoint inside of the container. */
export function containerPort(deployment: Deployment, place: ContainerPlace = 'docker'): number {
  return isPlainInside(deployment, place) ? 8080 : 8443;
}

/**
 * The same deployment as the container sees it: it listens on all addresses of its own network, and what is published
 * to whom is the part of Compose, Swarm or Kubernetes. TLS stays in the server when it is published itself.
 * Throws a UserError for a deployment without keys, which a server beyond loopback refuses.
 */
export function containerDeployment(
  deployment: Deployment,
  place: ContainerPlace = 'docker',
): Omit<Deployment, 'service' | 'backup' | 'hosts' | 'container' | 'proxy'> & { readonly proxy: object } {
  if (!deployment.auth.required) {
    throw new UserError('auth.required is false, which a container cannot be run with', {
      why: 'In a container the server listens on more than loopback, and it refuses that without keys.',
      next: 'Set auth.required to true in mcp-deploy.yaml.',
    });
  }
  const { service: _service, backup: _backup, hosts: _hosts, container, redis, ...rest } = deployment;
  const { serverName, maxBodyMegabytes } = deployment.proxy;
  const plain = isPlainInside(deployment, place);
  const inFront = place !== 'docker' || container.proxy !== 'none';
  return {
    ...rest,
    // The public name is one that the server answers to; the proxy's own files are not in the container.
    proxy: { ...(serverName === undefined ? {} : { serverName }), maxBodyMegabytes },
    server: {
      ...withPages(deployment, place),
      listen: `:${containerPort(deployment, place)}`,
      behindProxy: plain || deployment.server.behindProxy,
      allowedHosts: [
        ...deployment.server.allowedHosts,
        ...(plain ? certificateNames(deployment) : []),
        ...serviceNames(deployment, place),
      ],
      // Without it, every client has the address of the proxy; what is in front replaces what clients claim.
      trustedProxies:
        inFront && deployment.server.trustedProxies.length === 0
          ? [...privateNetworks]
          : deployment.server.trustedProxies,
    },
    tls: plain
      ? { source: 'off' }
      : { source: 'files', certificate: containerFiles.certificate, key: containerFiles.key },
    logs: containerLogs(deployment.logs),
    redis:
      container.redis && place !== 'kubernetes'
        ? redisSchema.parse({ ...(redis === 'off' ? {} : redis), url: 'redis://redis:6379' })
        : redis,
  };
}

/** Pages at ports of their own: where they are configured, and where a cluster asks for them. */
function withPages({ server, container }: Deployment, place: ContainerPlace): Deployment['server'] {
  const { statusListen: _status, metricsListen, healthListen, ...rest } = server;
  const watched = place !== 'docker' || container.watch;
  const health = healthListen !== undefined || place !== 'docker';
  const metrics = server.metrics && (metricsListen !== undefined || watched);
  // Published on the loopback of the host, it is asked by addresses of Docker's network, which stand for the host.
  const forHost = metricsListen === undefined || isLoopback(parseListenAddress(metricsListen));
  return {
    ...rest,
    // The image asks itself, from its own loopback.
    healthFrom: server.healthFrom === 'everyone' ? 'everyone' : [...new Set([...server.healthFrom, '127.0.0.1'])],
    ...(health ? { healthListen: `:${pagePorts.health}` } : {}),
    ...(metrics ? { metricsListen: `:${pagePorts.metrics}` } : {}),
    metricsFrom:
      metrics && (watched || forHost) ? [...new Set([...server.metricsFrom, ...privateNetworks])] : server.metricsFrom,
  };
}

/** Who reads the metrics beside it asks for the service by its name. */
function serviceNames({ container }: Deployment, place: ContainerPlace): readonly string[] {
  if (place === 'swarm') return ['server', 'tasks.server'];
  return place === 'docker' && container.watch ? ['server'] : [];
}

/** Clients of a proxy ask for the names of its certificate, which the server does not have then. */
function certificateNames({ tls, server }: Deployment): readonly string[] {
  const names = 'names' in tls && tls.names !== undefined ? tls.names : [];
  return names.filter((name) => !server.allowedHosts.includes(name));
}

/** The log goes to standard error, which the engine keeps; the audit file to the one folder that stays. */
function containerLogs({ file: _file, ...logs }: Deployment['logs']): Deployment['logs'] {
  return {
    ...logs,
    audit: logs.audit === 'off' ? 'off' : `${containerFiles.state}/audit.jsonl`,
    ...(logs.auditKeyFile === undefined ? {} : { auditKeyFile: containerFiles.auditKey }),
  };
}
