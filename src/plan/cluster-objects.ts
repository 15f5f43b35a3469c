import { join } from 'node:path';
import { variablesOf } from '../targets/docker/upstream-environment.ts';
import { objectNames } from '../targets/kubernetes/view.ts';
import type { Deployment } from '../deployment/schema.ts';
import type { TargetInput } from '../targets/types.ts';
import { mountedSecrets } from '../targets/docker/mounted-secrets.ts';
import type { Cluster, ClusterSecret } from './cluster.ts';

/** Resources whose objects every deployment may have; those of extensions only where a manifest names them. */
const builtIn: readonly string[] = [
  'deployments.apps',
  'services',
  'serviceaccounts',
  'configmaps',
  'secrets',
  'persistentvolumeclaims',
  'networkpolicies.networking.k8s.io',
  'poddisruptionbudgets.policy',
  'horizontalpodautoscalers.autoscaling',
  'ingresses.networking.k8s.io',
];

const ofExtensions: Readonly<Record<string, string>> = {
  'httproute.yaml': 'httproutes.gateway.networking.k8s.io',
  'servicemonitor.yaml': 'servicemonitors.monitoring.coreos.com',
};

/** Where a deployment is in a cluster. `manifests` are the names of files that are wanted or there. */
export function clusterOf(
  deployment: Deployment,
  stateDir: string,
  about: { readonly kubectl: readonly string[]; readonly manifests: readonly string[] },
): Cluster {
  const { namespace } = deployment.container.kubernetes;
  const extensions = [...new Set(about.manifests)].flatMap((name) => ofExtensions[name] ?? []).toSorted();
  return {
    kubectl: [...about.kubectl, '--namespace', namespace],
    namespace,
    app: objectNames(deployment).app,
    folder: manifestFolder(stateDir),
    resources: [...builtIn, ...extensions],
  };
}

/** Folder of the manifests that apply writes. */
export function manifestFolder(stateDir: string): string {
  return join(stateDir, 'kubernetes', 'manifests');
}

/** The Secrets that the pods need: hashes of the keys, and what mcp-deploy.yaml refers to. */
export function clusterSecrets(input: TargetInput): readonly ClusterSecret[] {
  const { deployment } = input;
  const names = objectNames(deployment);
  const files = mountedSecrets(input, 'kubernetes');
  const variables = variablesOf(deployment).map((variable) => ({ key: variable, variable }));
  const auditKey = files.filter(({ name }) => name === 'mcp_audit_key').map(({ file }) => ({ key: 'audit.key', file }));
  const others = [...variables, ...auditKey];
  return [
    {
      name: names.keys,
      sources: files.filter(({ name }) => name === 'mcp_keys').map(({ file }) => ({ key: 'keys.json', file })),
    },
    ...(others.length === 0 ? [] : [{ name: names.env, sources: others }]),
  ];
}
