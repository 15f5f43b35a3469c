import type { Deployment } from '../deployment/schema.ts';
import type { HostFacts } from './facts.ts';
import { requireCluster, rollTimeoutMs } from './plan-kubernetes.ts';
import { refuseAccess } from './refuse-cluster.ts';
import type { Notice, Step } from './types.ts';

/**
 * Takes away what has our label. Secrets and volumes stay unless `purge` is asked for; the namespace goes when we made it and
 * nothing else is in it.
 *
 * @throws EnvironmentError (exit 3) when the cluster cannot be reached: what is in it would be forgotten
 */
export function planClusterRemoval(
  deployment: Deployment,
  facts: HostFacts,
  options: { readonly purge: boolean },
): { readonly steps: readonly Step[]; readonly notices: readonly Notice[] } {
  const found = requireCluster(facts);
  refuseAccess(found);
  const { cluster, objects, namespace } = found;
  const isKept = (name: string): boolean => /^(?:secret|persistentvolumeclaim)\//.test(name);
  const names = objects.map(({ name }) => name);
  const going = names.filter((name) => !isKept(name));
  const kept = names.filter((name) => isKept(name));
  const undo: Step['undo'] = { type: 'restore-objects', cluster, timeoutMs: rollTimeoutMs(deployment) };
  const goes = namespace === 'ours' && (options.purge || kept.length === 0);
  const steps: readonly Step[] = [
    ...(going.length === 0
      ? []
      : [
          {
            id: 'remove-objects',
            title: `remove ${going.length} objects from ${cluster.namespace}`,
            why: 'they are what was applied',
            group: 'removal',
            action: { type: 'remove-objects', cluster, objects: going },
            undo,
          } satisfies Step,
        ]),
    ...(kept.length === 0 || !options.purge
      ? []
      : [
          {
            id: 'remove-secrets',
            title: `remove ${kept.join(', ')}`,
            why: 'asked for with --purge',
            group: 'removal',
            action: { type: 'remove-objects', cluster, objects: kept },
            undo: { type: 'restore-secret', cluster },
          } satisfies Step,
        ]),
    ...(goes
      ? [
          {
            id: 'remove-namespace',
            title: `remove the namespace ${cluster.namespace}`,
            why: 'made by mcp-deploy; kept when something of others is in it',
            group: 'removal',
            action: { type: 'remove-namespace', cluster },
            undo: { type: 'none' },
          } satisfies Step,
        ]
      : []),
  ];
  const text = `${kept.join(', ')} in ${cluster.namespace}${namespace === 'ours' ? ', and with it the namespace,' : ''} stays.`;
  return { steps, notices: kept.length === 0 || options.purge ? [] : [{ level: 'info', text }] };
}
