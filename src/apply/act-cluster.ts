import { EnvironmentError } from '../deployment/errors.ts';
import { objectName } from '../plan/compare-objects.ts';
import { judgeRollout, type Rollout } from '../plan/judge-rollout.ts';
import type { Action } from '../plan/action.ts';
import type { Cluster } from '../plan/cluster.ts';
import type { ActContext } from './act.ts';
import { compareWithFolder, deleteObjects, listOurObjects, readNamespace, serverSide } from './cluster-objects.ts';
import { askKubectl, parseObjects, runKubectl, selectorOf } from './kubectl.ts';
import { describeLogTail } from './log-lines.ts';
import type { ApplyPorts } from './ports.ts';

type Running = Pick<ApplyPorts, 'processes' | 'clock' | 'files'>;
type Waiting = Pick<ActContext, 'signal' | 'onDoing'> & { readonly ports: Running };

const pollMs = 500;
/** The last word is kubectl's own. */
const confirmSeconds = 30;

/** Applies the manifests of the folder and waits until every copy is the new one and ready. @throws EnvironmentError with what the cluster says of it */
export async function rollOut(
  { cluster, takesReplicas, timeoutMs }: Extract<Action, { type: 'roll-out' }>,
  context: ActContext,
): Promise<string> {
  await applyFolder(cluster, context.ports, takesReplicas);
  const ready = await waitUntilRolled(cluster, timeoutMs, context);
  return `${ready} ${ready === 1 ? 'copy' : 'copies'} ready in ${cluster.namespace}`;
}

/**
 * A field that is not in our manifest any more is removed, unless somebody else has it too: the number of copies would fall to
 * one until the autoscaler counts. Source: kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership.
 */
export async function leaveReplicas(
  { cluster, replicas }: Extract<Action, { type: 'leave-replicas' }>,
  { ports }: Pick<ActContext, 'ports'>,
): Promise<string> {
  const { app: name, namespace } = cluster;
  const only = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name, namespace }, spec: { replicas } };
  const args = [
    'apply',
    '--server-side',
    '--field-manager=mcp-deploy-replicas',
    '--force-conflicts',
    '--filename',
    '-',
  ];
  await runKubectl(cluster, args, ports, { input: JSON.stringify(only) });
  return `${replicas} until it counts`;
}

/** Makes a namespace that is not there. */
export async function makeNamespace(
  { cluster, file }: Extract<Action, { type: 'make-namespace' }>,
  { ports }: Pick<ActContext, 'ports'>,
): Promise<string> {
  await runKubectl(cluster, [...serverSide, '--filename', file], ports);
  return cluster.namespace;
}

/** Takes a namespace of ours away, unless something of others is in it. Gives null when it stays. */
export async function removeNamespace(cluster: Cluster, ports: Running): Promise<string | null> {
  const namespace = await readNamespace(cluster, ports);
  if (namespace?.isThere !== true || !namespace.isOurs) return null;
  if (await holdsOthers(cluster, ports)) return null;
  await deleteObjects(cluster, [`namespace/${cluster.namespace}`], ports);
  return cluster.namespace;
}

/**
 * Brings the objects back to the former manifests, which are in their folder again: those that were not there before go, the
 * others are applied and waited for, and the server is asked whether anything still differs. May be repeated.
 *
 * @throws EnvironmentError that names what is not as before
 */
export async function restoreObjects(
  { cluster, timeoutMs }: { readonly cluster: Cluster; readonly timeoutMs: number },
  before: readonly string[],
  ports: Running,
): Promise<void> {
  const now = (await listOurObjects(cluster, ports)).map((object) => objectName(object));
  const known = new Set(before);
  await deleteObjects(
    cluster,
    // Secrets have an undo of their own.
    now.filter((name) => !known.has(name) && !name.startsWith('secret/')),
    ports,
  );
  if (before.length === 0) return;
  const manifests = (await ports.files.list(cluster.folder)).filter((name) => name.endsWith('.yaml'));
  if (manifests.length === 0) return;
  await applyFolder(cluster, ports, false);
  if (before.some((name) => name.startsWith('deployment.apps/'))) {
    const signal = new AbortController().signal;
    await waitUntilRolled(cluster, timeoutMs, { ports, signal, onDoing: () => {} });
  }
  const left = await compareWithFolder(cluster, ports);
  if (left.length === 0) return;
  throw new EnvironmentError('Objects of the cluster are not as they were before.', {
    why: left.map(({ object, state }) => `${object} ${state}`).join(', '),
    next: `${cluster.kubectl.join(' ')} diff --server-side --filename ${cluster.folder}`,
  });
}

/** What the undo of a step on a cluster has to know: the names of our objects, and whether the namespace is there. */
export async function readClusterForUndo(
  action: Action,
  ports: Pick<ApplyPorts, 'processes'>,
): Promise<{ readonly objects?: readonly string[]; readonly hadNamespace?: boolean }> {
  if (action.type === 'make-namespace') {
    return { hadNamespace: (await readNamespace(action.cluster, ports))?.isThere !== false };
  }
  if (action.type !== 'roll-out' && action.type !== 'leave-replicas' && action.type !== 'remove-objects') return {};
  return { objects: (await listOurObjects(action.cluster, ports)).map((object) => objectName(object)) };
}

async function applyFolder(cluster: Cluster, ports: Pick<ApplyPorts, 'processes'>, force: boolean): Promise<void> {
  const args = [...serverSide, ...(force ? ['--force-conflicts'] : []), '--filename', cluster.folder];
  await runKubectl(cluster, args, ports);
}

async function waitUntilRolled(cluster: Cluster, timeoutMs: number, context: Waiting): Promise<number> {
  const { ports } = context;
  const startedAt = ports.clock.elapsed();
  const what = ['deployments.apps,replicasets.apps,pods', '--selector', selectorOf(cluster), '--output', 'json'];
  for (;;) {
    context.signal.throwIfAborted();
    const rollout = judgeRollout(parseObjects(await runKubectl(cluster, ['get', ...what], ports)));
    const waitedMs = ports.clock.elapsed() - startedAt;
    if (rollout.state === 'done') {
      const patience = ['--watch=true', `--timeout=${confirmSeconds}s`];
      await runKubectl(cluster, ['rollout', 'status', `deployment/${cluster.app}`, ...patience], ports);
      return rollout.ready;
    }
    if (rollout.state === 'failed') throw await rollFailed(cluster, rollout, ports);
    context.onDoing(rollout.words, waitedMs);
    if (waitedMs >= timeoutMs) {
      const words = `After ${Math.round(timeoutMs / 1_000)} s ${rollout.words}`;
      throw await rollFailed(cluster, { state: 'failed', words, pod: null }, ports);
    }
    await ports.clock.sleep(pollMs, context.signal);
  }
}

async function rollFailed(
  cluster: Cluster,
  { words, pod }: Extract<Rollout, { state: 'failed' }>,
  ports: Running,
): Promise<EnvironmentError> {
  const kubectl = cluster.kubectl.join(' ');
  const said: string[] = [];
  for (const previous of pod === null ? [] : [['--previous'], []]) {
    const { exitCode, output } = await askKubectl(cluster, ['logs', pod ?? '', '--tail=12', ...previous], ports);
    if (exitCode !== 0 || output.trim() === '') continue;
    said.push(...describeLogTail(output, 12));
    break;
  }
  return new EnvironmentError('The new copies do not become ready.', {
    why: `${words}.`,
    next: `${kubectl} describe ${pod === null ? `deployment/${cluster.app}` : 'pods'}`,
    excerpt: said,
  });
}

/** What every namespace has, and what comes and goes with objects that are looked at themselves. */
const alwaysThere = /^(?:configmap\/kube-root-ca\.crt|serviceaccount\/default|event\/|endpoints\/|endpointslice\/)/;
const separator = '\t';

/** Whether anything in the namespace is not ours. What cannot be listed is taken to be there. */
async function holdsOthers(cluster: Cluster, ports: Running): Promise<boolean> {
  const resources = await runKubectl(
    cluster,
    ['api-resources', '--namespaced=true', '--verbs=list', '--output=name'],
    ports,
  );
  const names = resources
    .split('\n')
    .filter((name) => name !== '' && !/^events(?:\.|$)/.test(name) && !name.endsWith('.metrics.k8s.io'));
  const columns = ['{.kind}', '{.metadata.name}', '{.metadata.ownerReferences[0].kind}', '{.type}'].join(separator);
  const format = `jsonpath={range .items[*]}${columns}{"\\n"}{end}`;
  const { exitCode, output } = await askKubectl(
    cluster,
    ['get', names.join(','), '--ignore-not-found', '--output', format],
    ports,
  );
  if (exitCode !== 0) return true;
  return output
    .split('\n')
    .filter((line) => line !== '')
    .some((line) => {
      const [kind = '', name = '', owner = '', type = ''] = line.split(separator);
      return owner === '' && !alwaysThere.test(`${kind.toLowerCase()}/${name}`) && type !== tokenType;
    });
}

/** Older clusters make one for each account. */
const tokenType = 'kubernetes.io/service-account-token';
