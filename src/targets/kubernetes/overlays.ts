import { UserError } from '../../deployment/errors.ts';
import { isDnsName } from '../../deployment/host-name.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { quoteYaml } from '../../render/quote/yaml.ts';
import { imageName, splitImageName } from '../docker/image-name.ts';
import { kubernetesConfigText } from './config-text.ts';
import { writeClusterYaml } from './cluster-yaml.ts';
import { configHash, objectNames, routeHost, routes } from './view.ts';

/** What one folder of overlays/ holds. */
export interface Overlay {
  readonly environment: string;
  /** For templates/kubernetes/overlay.yaml.hbs. */
  readonly view: object;
  readonly patches: readonly { readonly file: string; readonly content: string }[];
}

/**
 * An overlay for each environment of container.kubernetes: what differs there, as patches. Lists are replaced whole,
 * since kustomize knows no key for those that are patched here.
 */
export function renderOverlays(deployment: Deployment): readonly Overlay[] {
  return Object.entries(deployment.container.kubernetes.environments).map(([environment, given]) => {
    const own = inEnvironment(deployment, environment);
    const patches = patchesFor(deployment, own);
    const { name } = splitImageName(imageName(deployment));
    const image = given.image === undefined ? null : splitImageName(given.image);
    return {
      environment,
      patches,
      view: {
        environment,
        label: quoteYaml(environment, 'container.kubernetes.environments'),
        namespace: quoteYaml(own.container.kubernetes.namespace, 'container.kubernetes.namespace'),
        image: image !== null && {
          name: quoteYaml(name, 'container.image'),
          newName: quoteYaml(image.name, 'container.kubernetes.environments'),
          tag: image.tag !== null && quoteYaml(image.tag, 'container.kubernetes.environments'),
          digest: image.digest !== null && quoteYaml(image.digest, 'container.kubernetes.environments'),
        },
        patches: patches.map(({ file }) => ({ file })),
      },
    };
  });
}

/** The deployment as that environment has it. Throws a UserError for a name that is none. */
function inEnvironment(deployment: Deployment, environment: string): Deployment {
  const { container, server, proxy } = deployment;
  const given = container.kubernetes.environments[environment] ?? {};
  const { serverName } = given;
  if (serverName !== undefined && !isDnsName(serverName)) {
    throw new UserError(`container.kubernetes.environments.${environment}.serverName is not a DNS name`, {
      next: 'Write one, for example mcp-staging.example.com.',
    });
  }
  return {
    ...deployment,
    server: {
      ...server,
      ...(serverName === undefined || server.publicUrl === undefined
        ? {}
        : { publicUrl: withHost(server.publicUrl, serverName) }),
    },
    proxy: { ...proxy, ...(serverName === undefined ? {} : { serverName }) },
    container: {
      ...container,
      replicas: given.replicas ?? container.replicas,
      kubernetes: {
        ...container.kubernetes,
        namespace: given.namespace ?? `${container.kubernetes.namespace}-${environment}`,
      },
    },
  };
}

function withHost(url: string, host: string): string {
  const changed = new URL(url);
  changed.hostname = host;
  return changed.href;
}

function patchesFor(base: Deployment, own: Deployment): Overlay['patches'] {
  const { app, config } = objectNames(own);
  const { autoscale, ingress, gateway } = own.container.kubernetes;
  const configText = kubernetesConfigText(own, base);
  // A patch is found by the namespace that the base has; kustomize moves everything afterwards.
  const metadata = (name: string): object => ({ name, namespace: base.container.kubernetes.namespace });
  const patches: { file: string; content: object }[] = [];
  const otherConfig = configText !== kubernetesConfigText(base);
  const otherReplicas = own.container.replicas !== base.container.replicas;
  if (otherConfig) {
    const data = { 'mcp-deploy.yaml': configText };
    patches.push({
      file: 'configmap.yaml',
      content: { apiVersion: 'v1', kind: 'ConfigMap', metadata: metadata(config), data },
    });
  }
  if (otherConfig || (otherReplicas && autoscale === 'off')) {
    const template = { metadata: { annotations: { 'mcp-deploy/config': configHash(configText) } } };
    const spec = { ...(autoscale === 'off' ? { replicas: own.container.replicas } : {}), template };
    patches.push({
      file: 'deployment.yaml',
      content: { apiVersion: 'apps/v1', kind: 'Deployment', metadata: metadata(app), spec },
    });
  }
  if (otherReplicas && autoscale !== 'off') {
    const spec = { minReplicas: own.container.replicas, maxReplicas: Math.max(autoscale.max, own.container.replicas) };
    const kind = { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: metadata(app) };
    patches.push({ file: 'autoscaler.yaml', content: { ...kind, spec } });
  }
  const otherHost = ingress !== 'off' || gateway !== 'off' ? routeHost(own) !== routeHost(base) : false;
  if (otherHost && ingress !== 'off') {
    const host = routeHost(own);
    const backend = { service: { name: app, port: { name: 'mcp' } } };
    const paths = routes(own).map(({ path, isPrefix }) => ({ path, pathType: isPrefix ? 'Prefix' : 'Exact', backend }));
    const spec = {
      tls: [{ hosts: [host], secretName: ingress.tlsSecret ?? `${app}-tls` }],
      rules: [{ host, http: { paths } }],
    };
    patches.push({
      file: 'ingress.yaml',
      content: { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', metadata: metadata(app), spec },
    });
  }
  if (otherHost && gateway !== 'off') {
    const kind = { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: metadata(app) };
    patches.push({ file: 'httproute.yaml', content: { ...kind, spec: { hostnames: [routeHost(own)] } } });
  }
  return patches.map(({ file, content }) => ({ file, content: writeClusterYaml(content) }));
}
