import { readSecret, readSource } from '../apply/act-cluster-secret.ts';
import { compareWithFolder, listOurObjects, readNamespace, serverSide } from '../apply/cluster-objects.ts';
import { askKubectl, parseObjects, runKubectl } from '../apply/kubectl.ts';
import type { ApplyPorts } from '../apply/ports.ts';
import type {
  ClusterAccess,
  ClusterFacts,
  ClusterObject,
  ManifestTrial,
  ObjectDrift,
  SecretFact,
} from '../plan/cluster-facts.ts';
import { objectName, type LiveObject } from '../plan/compare-objects.ts';
import { judgeRollout } from '../plan/judge-rollout.ts';
import type { Cluster, ClusterSecret } from '../plan/cluster.ts';

export interface ReadClusterOptions {
  /** Absolute; null for what kubectl uses by itself. */
  readonly kubeconfig: string | null;
  /** Null for the current one. */
  readonly context: string | null;
  /** Where the deployment is in the cluster that `kubectl` leads to. */
  readonly clusterOf: (kubectl: readonly string[]) => Cluster;
  /** The wanted manifests, one text; null where nothing is wanted. */
  readonly wanted: string | null;
  /** Whether these are the texts of the files that are there. */
  readonly isWritten: boolean;
  readonly secrets: readonly ClusterSecret[];
  /** Files whose text is compared. */
  readonly watched: readonly string[];
}

type Running = Pick<ApplyPorts, 'files' | 'processes'>;

/** A cluster that is far away answers within this, or is taken to be silent. */
const patience = '--request-timeout=15s';

/** Looks at a cluster. Changes nothing; one that cannot be reached is a fact like any other. */
export async function readClusterFacts(options: ReadClusterOptions, ports: Running): Promise<ClusterFacts> {
  const file = options.kubeconfig === null ? [] : ['--kubeconfig', options.kubeconfig];
  const access = await readAccess(options, file, ports);
  const context = 'context' in access ? ['--context', access.context] : [];
  const cluster = options.clusterOf(['kubectl', ...file, ...context]);
  const nothing: ClusterFacts = {
    cluster,
    access,
    namespace: 'hidden',
    denied: [],
    objects: [],
    foreign: [],
    drift: [],
    trial: { state: 'not-tried' },
    secrets: {},
  };
  if (access.state !== 'ready') return nothing;
  const [found, denied] = await Promise.all([readNamespace(cluster, ports), readDenied(cluster, ports)]);
  const namespace = found === null ? 'hidden' : !found.isThere ? 'absent' : found.isOurs ? 'ours' : 'theirs';
  const facts = { ...nothing, namespace, denied } as const;
  // Who may not look would be told of the first thing that is hidden, and not of all.
  if (denied.some((what) => !what.startsWith('create namespaces') && what !== forwarding)) return facts;
  const sources = await Promise.all(options.secrets.map((secret) => readSecretFact(secret, facts, ports)));
  const secrets = Object.fromEntries(
    options.secrets.map(({ name }, index) => [name, sources[index]]),
  ) as ClusterFacts['secrets'];
  if (namespace === 'absent') return { ...facts, secrets };
  const [ours, foreign, drift, trial] = await Promise.all([
    readOurs(cluster, ports),
    options.wanted === null ? [] : readForeign(cluster, options.wanted, ports),
    readDrift(cluster, ports),
    // What is written already was tried with the look at what differs.
    options.wanted === null || options.isWritten ? notTried : tryManifests(cluster, options.wanted, ports),
  ]);
  return { ...facts, secrets, objects: ours, foreign, drift, trial };
}

async function readAccess(
  { context: wanted }: ReadClusterOptions,
  file: readonly string[],
  ports: Running,
): Promise<ClusterAccess> {
  const plain = { kubectl: ['kubectl', ...file] };
  const named =
    wanted === null
      ? await askKubectl(plain, ['config', 'current-context'], ports)
      : await askKubectl(plain, ['config', 'get-contexts', wanted, '--output=name'], ports);
  const said = named.lastWords.join(' ');
  if (named.exitCode === null || /ENOENT/.test(said)) return { state: 'no-kubectl' };
  const context = named.output.trim();
  if (named.exitCode !== 0 || context === '') return { state: 'no-context', wanted, words: said };
  const args = ['--context', context, 'version', '--output=json', patience];
  const { exitCode, output, lastWords } = await askKubectl(plain, args, ports);
  const version = serverVersion(output);
  if (exitCode === 0 && version !== null) return { state: 'ready', context, version };
  const words = lastWords.join(' ');
  const isRefused = /unauthorized|forbidden|must be logged in|provide credentials/i.test(words);
  return { state: isRefused ? 'refused' : 'silent', context, words };
}

function serverVersion(output: string): string | null {
  try {
    const { serverVersion: server } = JSON.parse(output) as { serverVersion?: { gitVersion?: string } };
    return server?.gitVersion ?? null;
  } catch {
    return null;
  }
}

const notTried: ManifestTrial = { state: 'not-tried' };
const forwarding = 'create pods/portforward';

/**
 * What `kubectl auth can-i` would say, asked for all at once: reviews are answered and kept by nobody. Who may list may get in every
 * role that comes with Kubernetes, so that is not asked.
 */
async function readDenied(cluster: Cluster, ports: Running): Promise<readonly string[]> {
  const asked = [
    ...cluster.resources
      .filter((resource) => resource !== 'persistentvolumeclaims')
      .flatMap((resource) => ['list', 'create', 'patch', 'delete'].map((verb) => ({ verb, resource }))),
    ...['pods', 'replicasets.apps'].map((resource) => ({ verb: 'list', resource })),
    { verb: 'create', resource: 'pods/portforward' },
    { verb: 'create', resource: 'namespaces' },
  ];
  const reviews = asked.map(({ verb, resource: named }) => {
    const [path = '', subresource] = named.split('/');
    const [resource = '', ...group] = path.split('.');
    const about = { verb, resource, group: group.join('.'), ...(subresource === undefined ? {} : { subresource }) };
    return {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: named === 'namespaces' ? about : { ...about, namespace: cluster.namespace } },
    };
  });
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: reviews });
  const answer = '{.status.allowed}{"\\n"}';
  const args = ['create', '--validate=false', '--filename', '-', '--output', `jsonpath=${answer}`];
  const lines = (await runKubectl(cluster, args, ports, { input })).trim().split('\n');
  // One that answers in another way has no such reviews; then the first refusal says what is missing.
  if (lines.length !== asked.length) return [];
  return asked.filter((_, index) => lines[index] !== 'true').map(({ verb, resource }) => `${verb} ${resource}`);
}

async function readOurs(cluster: Cluster, ports: Running): Promise<readonly ClusterObject[]> {
  const objects = await listOurObjects(cluster, ports);
  return objects.map((object) => ({
    name: objectName(object),
    ...(object.kind === 'Deployment' && object.metadata.name === cluster.app ? { rollout: rolloutOf(object) } : {}),
  }));
}

function rolloutOf(deployment: LiveObject): NonNullable<ClusterObject['rollout']> {
  const { spec = {}, status = {} } = deployment as LiveObject & {
    readonly spec?: { replicas?: number; template?: { spec?: { containers?: { image?: string }[] } } };
    readonly status?: { readyReplicas?: number };
  };
  return {
    image: spec.template?.spec?.containers?.[0]?.image ?? '',
    replicas: spec.replicas ?? 1,
    ready: status.readyReplicas ?? 0,
    isDone: judgeRollout([deployment]).state === 'done',
  };
}

async function readForeign(cluster: Cluster, wanted: string, ports: Running): Promise<readonly string[]> {
  const args = ['get', '--ignore-not-found', '--filename', '-', '--output', 'json'];
  const found = parseObjects(await runKubectl(cluster, args, ports, { input: wanted }));
  return found
    .filter(
      ({ metadata: { labels = {} } }) =>
        labels['app.kubernetes.io/managed-by'] !== 'mcp-deploy' || labels['app.kubernetes.io/instance'] !== cluster.app,
    )
    .map((object) => objectName(object));
}

async function readDrift(cluster: Cluster, ports: Running): Promise<readonly ObjectDrift[]> {
  const manifests = (await ports.files.list(cluster.folder)).filter((name) => name.endsWith('.yaml'));
  return manifests.length === 0 ? [] : compareWithFolder(cluster, ports);
}

/** The server judges the manifests and keeps nothing of them. */
async function tryManifests(cluster: Cluster, wanted: string, ports: Running): Promise<ManifestTrial> {
  const args = [...serverSide, '--dry-run=server', '--filename', '-', '--output', 'name'];
  const { exitCode, lastWords } = await askKubectl(cluster, args, ports, { input: wanted, lastLines: 60 });
  if (exitCode === 0) return { state: 'taken' };
  const words = lastWords.join('\n');
  const fields = [...words.matchAll(/(?:\busing \S+: |^- )(\.\S+)/gm)].flatMap(([, field]) => field ?? []);
  if (/Apply failed with|conflict/.test(words)) return { state: 'conflict', fields: [...new Set(fields)] };
  return { state: 'refused', words: lastWords.join(' ') };
}

async function readSecretFact(
  secret: ClusterSecret,
  { cluster, namespace }: Pick<ClusterFacts, 'cluster' | 'namespace'>,
  ports: Running,
): Promise<SecretFact> {
  const live = namespace === 'absent' ? null : await readSecret(cluster, secret.name, ports);
  const keys: Record<string, SecretFact['keys'][string]> = {};
  for (const source of secret.sources) {
    const here = await readSource(source, ports);
    const there = live?.data?.[source.key];
    keys[source.key] = {
      here: here !== null,
      there: there !== undefined,
      same: here !== null && there === here.toString('base64'),
    };
  }
  const isOurs = live?.metadata.labels?.['app.kubernetes.io/managed-by'] === 'mcp-deploy';
  return { state: live === null ? 'absent' : isOurs ? 'ours' : 'theirs', keys };
}
