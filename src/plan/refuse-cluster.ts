import { EnvironmentError } from '../deployment/errors.ts';
import type { ClusterFacts } from './cluster-facts.ts';

/** @throws EnvironmentError (exit 3) in one sentence for each way in which a cluster is of no use to a deployment */
export function refuseCluster(found: ClusterFacts): void {
  refuseAccess(found);
  const { cluster, namespace, denied, foreign, trial, drift } = found;
  const kubectl = cluster.kubectl.join(' ');
  if (namespace === 'absent' && denied.includes('create namespaces')) {
    throw new EnvironmentError(`There is no namespace ${cluster.namespace}, and you may not make one.`, {
      why: 'container.kubernetes.namespace in mcp-deploy.yaml names it.',
      next: `Ask whoever looks after the cluster for: kubectl create namespace ${cluster.namespace}`,
    });
  }
  const needed = denied.filter((what) => what !== 'create namespaces' && what !== 'create pods/portforward');
  if (needed.length > 0) {
    throw new EnvironmentError(`You may not ${listOf(needed)} in the namespace ${cluster.namespace}.`, {
      why: 'Apply needs it, or its undo does. Nothing was changed.',
      next: `Ask whoever looks after the cluster for it, then see: ${kubectl} auth can-i ${needed[0] ?? ''}`,
    });
  }
  const [other] = foreign;
  if (other !== undefined) {
    throw new EnvironmentError(
      `${listOf(foreign)} in ${cluster.namespace} ${foreign.length === 1 ? 'is' : 'are'} not ours.`,
      {
        why: 'Somebody else made it, perhaps from rendered files; apply would take it over.',
        next: `Choose another name or namespace, or hand it over: ${kubectl} label ${other} app.kubernetes.io/managed-by=mcp-deploy app.kubernetes.io/instance=${cluster.app}`,
      },
    );
  }
  // An edit by hand is a conflict too, and has words of its own.
  if (drift.some(({ state }) => state === 'edited')) return;
  if (trial.state === 'conflict') {
    throw new EnvironmentError(
      `The cluster says that others have set what mcp-deploy.yaml would change: ${trial.fields.join(', ')}.`,
      {
        why: 'Apply overwrites nothing that somebody else wrote.',
        next: `See who: ${kubectl} get deployment ${cluster.app} --output yaml --show-managed-fields`,
      },
    );
  }
  if (trial.state === 'refused') {
    throw new EnvironmentError('The cluster does not take the manifests.', {
      why: trial.words,
      next: 'Correct mcp-deploy.yaml, or ask whoever looks after the cluster.',
    });
  }
}

/** @throws EnvironmentError (exit 3) where there is no cluster to speak to */
export function refuseAccess({ access }: Pick<ClusterFacts, 'access'>): void {
  switch (access.state) {
    case 'ready':
      return;
    case 'no-kubectl':
      throw new EnvironmentError('There is no kubectl on this machine.', {
        why: 'mcp-deploy.yaml asks for it (service.manager: kubernetes).',
        next: 'apt-get install kubernetes-client        (or see kubernetes.io/docs/tasks/tools)',
      });
    case 'no-context':
      throw new EnvironmentError(
        access.wanted === null ? 'kubectl knows no cluster here.' : `kubectl knows no context ${access.wanted}.`,
        {
          ...(access.words === '' ? {} : { why: access.words }),
          next: 'kubectl config get-contexts        then set container.kubernetes.context, or kubeconfig',
        },
      );
    case 'silent':
      throw new EnvironmentError(`The cluster of the context ${access.context} does not answer.`, {
        ...(access.words === '' ? {} : { why: access.words }),
        next: `kubectl --context ${access.context} version`,
      });
    case 'refused':
      throw new EnvironmentError(`The cluster of the context ${access.context} does not let you in.`, {
        ...(access.words === '' ? {} : { why: access.words }),
        next: `Log in again, then see: kubectl --context ${access.context} auth can-i --list`,
      });
  }
}

/** What was edited by hand is overwritten by nobody but its owner. @throws EnvironmentError (exit 3) with the command that does so */
export function refuseEditedObjects({ cluster: found }: { readonly cluster?: ClusterFacts }, purpose: string): void {
  if (found === undefined || purpose !== 'apply') return;
  const edited = found.drift.flatMap((each) => (each.state === 'edited' ? [each] : []));
  const [first] = edited;
  if (first === undefined) return;
  const { kubectl, folder } = found.cluster;
  throw new EnvironmentError(`${listOf(edited.map(({ object }) => object))} was edited by hand in the cluster.`, {
    why: `${first.fields.join(', ')}. Nothing was changed.`,
    next: `Write it into mcp-deploy.yaml and put it back by hand, or take ours back: ${kubectl.join(' ')} apply --server-side --field-manager=mcp-deploy --force-conflicts --filename ${folder}`,
  });
}

function listOf(names: readonly string[]): string {
  return names.length <= 3 ? names.join(' and ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`;
}
