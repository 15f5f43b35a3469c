import { quoteCompose } from '../../render/quote/yaml.ts';
import type { TargetInput } from '../types.ts';
import { proxyPorts, type FrontProxy } from './front-proxy.ts';
import { mountedSecrets, proxySecrets, type MountedSecret } from './mounted-secrets.ts';
import { publishedPorts } from './published-ports.ts';

/** What templates/docker/compose.yaml.hbs has beyond the image: networks, secrets, and the services beside the server. */
export function composeView(input: TargetInput, proxy: FrontProxy | null) {
  const { container, logs } = input.deployment;
  const secrets = mountedSecrets(input, 'docker');
  const forProxy = proxy === null || !proxy.hasCertificate ? [] : proxySecrets(input);
  const ports = publishedPorts(input.deployment).map((mapping) => ({
    mapping: quoteCompose(mapping, 'server.listen'),
  }));
  const beside = [
    ...(proxy === null ? [] : [{ name: 'front', internal: false }]),
    ...(container.redis ? [{ name: 'data', internal: true }] : []),
    ...(container.watch ? [{ name: 'watch', internal: true }] : []),
  ];
  // The way out to upstreams, and the network that published ports need; "front" is both.
  const isolated = beside.length > 0;
  const volumes = [
    ...(logs.audit === 'off' ? [] : ['state']),
    ...(proxy !== null && keepsCertificate(proxy) ? ['proxy-data'] : []),
    ...(container.watch ? ['prometheus', 'grafana'] : []),
  ];
  return {
    several: proxy !== null || container.redis || container.watch,
    ports: ports.length > 0 && ports,
    networks: isolated && [...beside.map(({ name }) => name), ...(proxy === null ? ['default'] : [])].join(', '),
    networkList: isolated && beside,
    redis: container.redis,
    watch: container.watch,
    secrets: secrets.map(({ name, target }) => ({ name, target })),
    allSecrets: [...distinct([...secrets, ...forProxy]), ...grafanaSecret(container.watch)].map(
      ({ name, file, place }) => ({
        name,
        file: quoteCompose(file, place),
      }),
    ),
    stateVolume: logs.audit !== 'off',
    volumes: volumes.length > 0 && volumes.map((name) => ({ name })),
    cpuLimit: container.cpus.limit,
    memoryLimit: container.memoryMegabytes.limit,
    memoryReserved: Math.min(container.memoryMegabytes.reserved, container.memoryMegabytes.limit),
    proxy: proxy !== null && proxyView(proxy, forProxy),
    labels: labelsOf(proxy),
  };
}

function proxyView(proxy: FrontProxy, secrets: readonly MountedSecret[]) {
  const keeps = keepsCertificate(proxy);
  return {
    image: `"\${${proxy.name.toUpperCase()}_IMAGE:-${proxy.image}}"`,
    // A volume of Caddy's own belongs to root; without capabilities that is a user like others.
    asksDocker: proxy.name === 'traefik',
    user: keeps ? '"0:0"' : '"${MCP_UID:-1000}:${MCP_GID:-1000}"',
    entrypoint: `[${proxy.entrypoint.map((word) => quoteCompose(word, 'the proxy command')).join(', ')}]`,
    ports: proxyPorts(proxy.site).map((mapping) => ({ mapping })),
    files: proxy.files.map(({ name, target }) => ({ source: `./${proxy.name}/${name}`, target })),
    // The image of Caddy has a file capability on its program.
    capability: proxy.name === 'caddy',
    keepsCertificate: keeps,
    dataFolder: keeps ? '/data' : '/tmp',
    secrets: secrets.length > 0 && secrets.map(({ name, target }) => ({ name, target })),
  };
}

function labelsOf(proxy: FrontProxy | null): readonly { name: string; value: string }[] | false {
  if (proxy?.labels === undefined) return false;
  return Object.entries(proxy.labels).map(([name, value]) => ({ name, value: quoteCompose(value, 'a label') }));
}

function keepsCertificate(proxy: FrontProxy): boolean {
  return !proxy.hasCertificate;
}

function grafanaSecret(watch: boolean): readonly { name: string; file: string; place: string }[] {
  return watch ? [{ name: 'grafana_password', file: './grafana-password', place: 'container.watch' }] : [];
}

function distinct(secrets: readonly MountedSecret[]): readonly MountedSecret[] {
  return secrets.filter(({ name }, index) => secrets.findIndex((other) => other.name === name) === index);
}
