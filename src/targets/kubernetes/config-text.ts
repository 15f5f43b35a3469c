import type { Deployment } from '../../deployment/schema.ts';
import { containerConfigText } from '../docker/container-config.ts';
import { objectNames } from './view.ts';

/**
 * mcp-deploy.yaml of the pods, which answer also to the names that a Service has inside of the cluster, in the
 * namespaces of every environment of `base`: a text that differs only where settings do.
 */
export function kubernetesConfigText(deployment: Deployment, base: Deployment = deployment): string {
  const { app } = objectNames(deployment);
  const { namespace, environments } = base.container.kubernetes;
  const namespaces = [
    namespace,
    ...Object.entries(environments).map(([name, given]) => given.namespace ?? `${namespace}-${name}`),
  ];
  const inCluster = [
    app,
    ...namespaces.flatMap((place) => [`${app}.${place}`, `${app}.${place}.svc`, `${app}.${place}.svc.cluster.local`]),
  ];
  const { server } = deployment;
  return containerConfigText(
    { ...deployment, server: { ...server, allowedHosts: [...new Set([...server.allowedHosts, ...inCluster])] } },
    'kubernetes',
  );
}
