import { compareObjects, objectName, type LiveObject } from '../plan/compare-objects.ts';
import type { ObjectDrift } from '../plan/cluster-facts.ts';
import type { Cluster } from '../plan/cluster.ts';
import { askKubectl, fieldManager, parseObjects, runKubectl, selectorOf } from './kubectl.ts';
import type { ApplyPorts } from './ports.ts';

type Running = Pick<ApplyPorts, 'processes'>;

/** The flags of every apply: the server merges, and remembers which fields are ours. */
export const serverSide: readonly string[] = ['apply', '--server-side', `--field-manager=${fieldManager}`];

/** Objects with our label, of the resources that a deployment may have. @throws EnvironmentError when the cluster does not tell */
export async function listOurObjects(cluster: Cluster, ports: Running): Promise<readonly LiveObject[]> {
  const about = ['--selector', selectorOf(cluster), '--ignore-not-found', '--output', 'json'];
  return parseObjects(await runKubectl(cluster, ['get', cluster.resources.join(','), ...about], ports));
}

/**
 * How objects differ from the manifests of the folder: what the server would change if they were applied now, which is asked
 * without doing it. Fields of others are no difference.
 */
export async function compareWithFolder(cluster: Cluster, ports: Running): Promise<readonly ObjectDrift[]> {
  const { folder } = cluster;
  const asJson = ['--filename', folder, '--output', 'json'];
  const live = parseObjects(await runKubectl(cluster, ['get', '--ignore-not-found', ...asJson], ports));
  const trial = ['--dry-run=server', '--force-conflicts', ...asJson];
  const applied = parseObjects(await runKubectl(cluster, [...serverSide, ...trial], ports));
  const byName = new Map(live.map((object) => [objectName(object), object]));
  return applied.flatMap((object): readonly ObjectDrift[] => {
    const name = objectName(object);
    const now = byName.get(name);
    if (now === undefined) return [{ object: name, state: 'removed' }];
    const fields = compareObjects(now, object);
    return fields.length === 0 ? [] : [{ object: name, state: 'edited', fields }];
  });
}

/** Removes objects and what belongs to them, and waits until they are gone. No error for those that are not there. */
export async function deleteObjects(cluster: Cluster, objects: readonly string[], ports: Running): Promise<void> {
  if (objects.length === 0) return;
  const timeoutMs = 180_000;
  // In the foreground: a Deployment is gone when its pods are.
  const patience = ['--cascade=foreground', '--wait=true', `--timeout=${timeoutMs / 1_000}s`];
  await runKubectl(cluster, ['delete', '--ignore-not-found', ...patience, ...objects], ports, {
    timeoutMs: timeoutMs + 30_000,
  });
}

/** Whether the namespace is there, and made by us; null when it may not be asked for. */
export async function readNamespace(
  cluster: Cluster,
  ports: Running,
): Promise<{ readonly isThere: boolean; readonly isOurs: boolean } | null> {
  const args = ['get', 'namespace', cluster.namespace, '--ignore-not-found', '--output', 'json'];
  const { exitCode, output } = await askKubectl(cluster, args, ports);
  if (exitCode !== 0) return null;
  const [namespace] = parseObjects(output);
  const labels = namespace?.metadata.labels ?? {};
  const isOurs =
    labels['app.kubernetes.io/managed-by'] === 'mcp-deploy' && labels['app.kubernetes.io/instance'] === cluster.app;
  return { isThere: namespace !== undefined, isOurs };
}
