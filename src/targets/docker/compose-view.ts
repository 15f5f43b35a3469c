import { createHash } from 'node:crypto';
import { quoteCompose } from '../../render/quote/yaml.ts';
import type { TargetInput } from '../types.ts';
import { proxyPorts, type FrontProxy } from './front-proxy.ts';
import { mountedSecrets, proxySecrets, type MountedSecret } from './mounted-secrets.ts';
import { publishedPorts } from './published-ports.ts';

/** What templates/docker/compose.yaml.hbs has beyond the image: networks, secrets, and the services beside the server. */
export function composeView(input: TargetInput, proxy: FrontProxy | null) {
  const { applied, deployment } = input;
  const { container, logs } = deployment;
  const user = userOf(input);
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
  const view = {
    uid: user.uid,
    gid: user.gid,
    // Compose 1 knows neither the name of a project nor a restart of what depends on it; apply sees to both.
    projectNamed: applied?.composeMajor !== 1,
    restartsProxy: applied === undefined,
    built: applied === undefined,
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
        file: quoteCompose(applied === undefined ? file : `${applied.secretsFolder}/${name}`, place),
      }),
    ),
    stateVolume: logs.audit !== 'off',
    volumes: volumes.length > 0 && volumes.map((name) => ({ name })),
    cpuLimit: container.cpus.limit,
    memoryLimit: container.memoryMegabytes.limit,
    memoryReserved: Math.min(container.memoryMegabytes.reserved, container.memoryMegabytes.limit),
    proxy: proxy !== null && proxyView(proxy, forProxy, input),
    labels: labelsOf(proxy, []),
    labelsComment: 'What Traefik serves it as.',
  };
  if (applied === undefined) return view;
  const { proxy: _proxy, allSecrets: _secrets, ...ofServer } = view;
  const hash = hashOf(JSON.stringify([applied, ofServer, deployment.server.drainSeconds]));
  return {
    ...view,
    labels: labelsOf(proxy, [{ name: 'mcp-deploy.config', value: `"${hash}"` }]),
    labelsComment: 'What it was made from, by which apply knows it; with Traefik, also what that serves it as.',
  };
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

/** As whom the server runs, as Compose and the Dockerfile write it. */
function userOf({ applied }: TargetInput): { readonly uid: string; readonly gid: string } {
  if (applied === undefined) return { uid: '${MCP_UID:-1000}', gid: '${MCP_GID:-1000}' };
  return { uid: String(applied.user.uid), gid: String(applied.user.gid) };
}

/** Compose looks at its own file and not into those that are mounted: a label makes it see that they are others. */
function filesHash(proxy: FrontProxy): string {
  const texts = [proxy.entrypoint.join(' '), ...proxy.files.map(({ content }) => content)];
  return hashOf(texts.join('\0'));
}

function proxyView(proxy: FrontProxy, secrets: readonly MountedSecret[], input: TargetInput) {
  const keeps = keepsCertificate(proxy);
  const { uid, gid } = userOf(input);
  return {
    image: `"\${${proxy.name.toUpperCase()}_IMAGE:-${proxy.image}}"`,
    // A volume of Caddy's own belongs to root; without capabilities that is a user like others.
    asksDocker: proxy.name === 'traefik',
    user: keeps ? '"0:0"' : `"${uid}:${gid}"`,
    filesHash: input.applied !== undefined && filesHash(proxy),
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

interface Label {
  readonly name: string;
  readonly value: string;
}

function labelsOf(proxy: FrontProxy | null, own: readonly Label[]): readonly Label[] | false {
  const forTraefik = Object.entries(proxy?.labels ?? {}).map(([name, value]) => ({
    name,
    value: quoteCompose(value, 'a label'),
  }));
  const all = [...own, ...forTraefik];
  return all.length > 0 && all;
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
