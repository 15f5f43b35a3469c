import type { Deployment } from '../../deployment/schema.ts';
import { quoteYaml } from '../../render/quote/yaml.ts';
import { compileTemplate } from '../../render/compile-template.ts';
import type { RenderedFile, TargetInput } from '../types.ts';
import { writeClusterYaml } from './cluster-yaml.ts';
import { kubernetesConfigText } from './config-text.ts';
import { renderOverlays } from './overlays.ts';
import { kubernetesView, objectNames, routeHost, routes } from './view.ts';

/** Plain manifests, a kustomization over them, and an overlay for each environment. Throws a UserError for a route without a name. */
export function renderKubernetesFiles(input: TargetInput): readonly RenderedFile[] {
  const { deployment } = input;
  const names = manifestNames(deployment);
  const layOut = layOutOf(input);
  return [
    ...manifestTexts(input, false).map(({ name, content }) => kubernetesFile(input, `base/manifests/${name}`, content)),
    kubernetesFile(
      input,
      'base/kustomization.yaml',
      layOut('kustomization.yaml', { resources: names.map((file) => ({ file })) }),
    ),
    ...renderOverlays(deployment).flatMap(({ view: overlay, patches, environment }) => [
      kubernetesFile(input, `overlays/${environment}/kustomization.yaml`, layOut('overlay.yaml', overlay)),
      ...patches.map(({ file, content }) => kubernetesFile(input, `overlays/${environment}/${file}`, content)),
    ]),
  ];
}

/**
 * What apply hands to a cluster: the same manifests with a label that says so, one folder of them, and the namespace beside it,
 * which is made only where there is none. Throws a UserError for a route without a name.
 */
export function renderAppliedManifests(input: TargetInput): readonly RenderedFile[] {
  return manifestTexts(input, true).map(({ name, content }) =>
    kubernetesFile(input, name === 'namespace.yaml' ? name : `manifests/${name}`, content),
  );
}

function manifestTexts(
  input: TargetInput,
  isApplied: boolean,
): readonly { readonly name: string; readonly content: string }[] {
  const { deployment } = input;
  const configText = kubernetesConfigText(deployment);
  const view = {
    ...kubernetesView(deployment, configText, isApplied),
    ...autoscalerView(deployment),
    ...routeView(deployment),
  };
  const layOut = layOutOf(input);
  return manifestNames(deployment).map((name) => ({
    name,
    content: name === 'configmap.yaml' ? configMapText(deployment, configText, view.labels) : layOut(name, view),
  }));
}

function layOutOf(input: TargetInput): (template: string, about: object) => string {
  return (template, about) => compileTemplate(input.templates(`kubernetes/${template}.hbs`))(about);
}

/** Folder of the manifests on the host. */
export function kubernetesFolder({ paths }: TargetInput): string {
  return `${paths.stateDir}/kubernetes`;
}

/** The ConfigMap, written by the YAML library: the configuration is a text of several lines in it. */
function configMapText(
  deployment: Deployment,
  configText: string,
  labels: readonly { readonly key: string; readonly value: string }[],
): string {
  const names = objectNames(deployment);
  const map = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: names.config,
      namespace: deployment.container.kubernetes.namespace,
      labels: {
        'app.kubernetes.io/name': 'mcp-deploy',
        'app.kubernetes.io/instance': names.app,
        ...Object.fromEntries(
          labels.filter(({ key }) => key.endsWith('managed-by')).map(({ key, value }) => [key, value]),
        ),
      },
    },
    data: { 'mcp-deploy.yaml': configText },
  };
  return `# Nothing secret is in it: keys and variables come from the Secrets ${names.keys} and ${names.env}.\n${writeClusterYaml(map)}`;
}

function manifestNames({ container }: Deployment): readonly string[] {
  const { autoscale, ingress, gateway, monitoring } = container.kubernetes;
  return [
    'namespace.yaml',
    'serviceaccount.yaml',
    'configmap.yaml',
    'deployment.yaml',
    'service.yaml',
    'networkpolicy.yaml',
    'disruptionbudget.yaml',
    ...(autoscale === 'off' ? [] : ['autoscaler.yaml']),
    ...(ingress === 'off' ? [] : ['ingress.yaml']),
    ...(gateway === 'off' ? [] : ['httproute.yaml']),
    ...(monitoring === undefined ? [] : ['servicemonitor.yaml']),
  ];
}

function autoscalerView({ container }: Deployment): object {
  const { autoscale } = container.kubernetes;
  if (autoscale === 'off') return {};
  const { max, cpuPercent, memoryPercent } = autoscale;
  return { minReplicas: container.replicas, maxReplicas: max, cpuPercent, memoryPercent };
}

function routeView(deployment: Deployment): object {
  const { ingress, gateway } = deployment.container.kubernetes;
  if (ingress === 'off' && gateway === 'off') return {};
  const names = objectNames(deployment);
  const service = quoteYaml(names.app, 'name');
  const paths = routes(deployment).map(({ path, isPrefix }) => ({
    path: quoteYaml(path, 'server.path'),
    isPrefix,
    service,
  }));
  const host = quoteYaml(routeHost(deployment), 'proxy.serverName');
  const common = { host, paths };
  const forIngress =
    ingress === 'off'
      ? {}
      : {
          class: quoteYaml(ingress.class, 'container.kubernetes.ingress.class'),
          nginx: ingress.class === 'nginx',
          maxBody: quoteYaml(`${Math.ceil(deployment.proxy.maxBodyMegabytes)}m`, 'proxy.maxBodyMegabytes'),
          tlsSecret: quoteYaml(ingress.tlsSecret ?? `${names.app}-tls`, 'container.kubernetes.ingress.tlsSecret'),
        };
  const forGateway =
    gateway === 'off'
      ? {}
      : {
          gateway: quoteYaml(gateway.name, 'container.kubernetes.gateway.name'),
          gatewayNamespace:
            gateway.namespace !== undefined && quoteYaml(gateway.namespace, 'container.kubernetes.gateway'),
          section: gateway.section !== undefined && quoteYaml(gateway.section, 'container.kubernetes.gateway'),
        };
  return { ...common, ...forIngress, ...forGateway };
}

function kubernetesFile(input: TargetInput, name: string, content: string): RenderedFile {
  return { path: `kubernetes/${name}`, installPath: `${kubernetesFolder(input)}/${name}`, mode: 0o644, content };
}
