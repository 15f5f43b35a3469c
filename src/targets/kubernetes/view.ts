import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { canonicalName, isDnsName } from '../../deployment/host-name.ts';
import { UserError } from '../../deployment/errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { quoteYaml } from '../../render/quote/yaml.ts';
import { containerFiles, containerPort, pagePorts } from '../docker/container-deployment.ts';
import { imageName } from '../docker/image-name.ts';
import { variablesOf } from '../docker/upstream-environment.ts';
import { nameOnHost } from '../name-on-host.ts';
import { stopSeconds } from '../service-command.ts';

/** How long a pod goes on as before after it was told to go: until the proxies of other nodes know. */
const preStopSeconds = 8;
/** The user "node" of the official images. */
const uid = 1000;

/** On what apply makes, and on nothing that somebody else applied from rendered files. */
const managedBy = { key: 'app.kubernetes.io/managed-by', value: 'mcp-deploy' } as const;

/** Names of what the manifests refer to. */
export function objectNames({
  name,
}: Pick<Deployment, 'name'>): Readonly<Record<'app' | 'config' | 'keys' | 'env', string>> {
  const app = nameOnHost(name);
  return { app, config: `${app}-config`, keys: `${app}-keys`, env: `${app}-env` };
}

/** Everything that the templates of kubernetes/ lay out, all but what only one of them has. Texts are quoted for YAML. */
export function kubernetesView(deployment: Deployment, configText: string, isApplied = false) {
  const { container, server, logs } = deployment;
  const names = objectNames(deployment);
  const { autoscale } = container.kubernetes;
  const selector = [
    { key: 'app.kubernetes.io/name', value: 'mcp-deploy' },
    { key: 'app.kubernetes.io/instance', value: quoteYaml(names.app, 'name') },
  ];
  requireLimits(deployment);
  return {
    deployment: deployment.name,
    name: quoteYaml(names.app, 'name'),
    namespace: quoteYaml(container.kubernetes.namespace, 'container.kubernetes.namespace'),
    selector,
    labels: [...selector, { key: 'app.kubernetes.io/component', value: 'gateway' }, ...(isApplied ? [managedBy] : [])],
    applied: isApplied,
    spread: ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map((topologyKey) => ({ topologyKey, selector })),
    replicas: autoscale === 'off' && container.replicas,
    configHash: quoteYaml(configHash(configText), 'the configuration'),
    progressSeconds: 300,
    preStopSeconds,
    drainSeconds: server.drainSeconds,
    graceSeconds: preStopSeconds + stopSeconds(deployment),
    preStop: quoteYamlList(['node', '-e', `setTimeout(()=>{},${preStopSeconds * 1_000})`]),
    uid,
    image: quoteYaml(imageName(deployment), 'container.image'),
    args: quoteYamlList(['--config', containerFiles.config]),
    port: containerPort(deployment, 'kubernetes'),
    healthPort: pagePorts.health,
    metricsPort: server.metrics && pagePorts.metrics,
    environment: variablesOf(deployment).map((name) => ({
      name: quoteYaml(name, 'a variable'),
      secret: quoteYaml(names.env, 'name'),
    })),
    cpuReserved: cpu(container.cpus.reserved),
    cpuLimit: cpu(container.cpus.limit),
    memoryReserved: `${container.memoryMegabytes.reserved}Mi`,
    memoryLimit: `${container.memoryMegabytes.limit}Mi`,
    configPath: containerFiles.config,
    keysFolder: posix.dirname(containerFiles.keyStore),
    configName: quoteYaml(names.config, 'name'),
    keysSecret: quoteYaml(names.keys, 'name'),
    envSecret: quoteYaml(names.env, 'name'),
    auditKey: logs.auditKeyFile !== undefined,
    auditKeyPath: containerFiles.auditKey,
    stateFolder: logs.audit !== 'off' && containerFiles.state,
    // Longer than a session lives in silence, within what Kubernetes takes.
    affinitySeconds: Math.min(86_400, Math.max(10_800, server.sessions.idleSeconds * 2)),
    reachableFrom: container.kubernetes.reachableFrom.map((namespace) => ({
      namespace: quoteYaml(namespace, 'container.kubernetes.reachableFrom'),
    })),
    monitoring:
      container.kubernetes.monitoring !== undefined &&
      quoteYaml(container.kubernetes.monitoring, 'container.kubernetes.monitoring'),
  };
}

/** Changes with every byte of the configuration. */
export function configHash(configText: string): string {
  return createHash('sha256').update(configText).digest('hex').slice(0, 16);
}

/** The public name that routes are for. Throws a UserError when there is none, or none that a route can have. */
export function routeHost({ proxy, server }: Deployment): string {
  const host = proxy.serverName ?? (server.publicUrl === undefined ? undefined : new URL(server.publicUrl).hostname);
  if (host === undefined) {
    throw new UserError('no public name is known for the route', {
      why: 'An Ingress or an HTTPRoute is found by the name that clients ask for.',
      next: 'Set proxy.serverName in mcp-deploy.yaml.',
    });
  }
  if (!isDnsName(host) || /^[0-9.]+$/.test(host)) {
    throw new UserError(`proxy.serverName is not a name that a route can have: ${JSON.stringify(host)}`, {
      next: 'Write a DNS name, for example mcp.example.com.',
    });
  }
  return canonicalName(host);
}

/** A path that is open to clients, with what lies below it or without. */
export interface RoutePath {
  readonly path: string;
  readonly isPrefix: boolean;
}

/** What is open to clients: the endpoint and all that goes with it, and below its path each tool by its name. */
export function routes(deployment: Deployment): readonly RoutePath[] {
  const { toolPath } = deployment.server;
  const exact = routePaths(deployment).map((path) => ({ path, isPrefix: false }));
  return toolPath === 'off' ? exact : [...exact, { path: toolPath, isPrefix: true }];
}

/** The endpoint with and without a slash, its aliases, the older transport, and its health. */
function routePaths({ server }: Deployment): readonly string[] {
  const { path, aliases, legacySse, health, page } = server;
  const older = legacySse === 'off' ? [] : [legacySse.sse, legacySse.messages];
  // The page asks /status for its numbers, with the key of whoever looks at it.
  const forPeople = page ? ['/', '/status'] : [];
  return [...new Set([path, `${path}/`, ...aliases, ...older, '/health', health.path, ...forPeople])];
}

/** A JSON list is a YAML list. */
function quoteYamlList(values: readonly string[]): string {
  return `[${values.map((value) => quoteYaml(value, 'a command')).join(', ')}]`;
}

function cpu(count: number): string {
  return `${Math.round(count * 1_000)}m`;
}

function requireLimits({ container }: Deployment): void {
  const { cpus, memoryMegabytes, kubernetes, replicas } = container;
  const wrong =
    cpus.reserved > cpus.limit
      ? ['cpus.reserved', 'cpus.limit']
      : memoryMegabytes.reserved > memoryMegabytes.limit
        ? ['memoryMegabytes.reserved', 'memoryMegabytes.limit']
        : kubernetes.autoscale !== 'off' && replicas > kubernetes.autoscale.max
          ? ['replicas', 'kubernetes.autoscale.max']
          : null;
  if (wrong === null) return;
  throw new UserError(`container.${wrong[0]} is more than container.${wrong[1]}`, {
    why: 'A cluster refuses that.',
    next: `Raise container.${wrong[1]} in mcp-deploy.yaml.`,
  });
}
