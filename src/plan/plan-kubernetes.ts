import { basename, join } from 'node:path';
import type { Deployment } from '../deployment/schema.ts';
import { deploymentSchema } from '../deployment/schema.ts';
import { UserError } from '../deployment/errors.ts';
import { imageName, splitImageName } from '../targets/docker/image-name.ts';
import { renderDockerFiles } from '../targets/docker/files.ts';
import { renderAppliedManifests } from '../targets/kubernetes/files.ts';
import { stopSeconds } from '../targets/service-command.ts';
import type { RenderedFile, TargetInput } from '../targets/types.ts';
import { refuseEngine, requireContainers } from './container-engine.ts';
import { foldersFor, managedFile } from './container-files.ts';
import { contentTag, imageSteps, isOfContext, namesRegistry, pushSteps, type ChosenImage } from './container-image.ts';
import { readyTimeoutMs, type ContainerPlan, type ContainerWishes } from './container-plan.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import { clusterSecrets } from './cluster-objects.ts';
import type { HostFacts } from './facts.ts';
import { formerOwnFiles } from './former-own-files.ts';
import { isKeptAside, managedFileSteps } from './managed-file.ts';
import { stopStep } from './plan-service.ts';
import { refuseCluster } from './refuse-cluster.ts';
import type { ClusterSecret } from './cluster.ts';
import type { Notice, Step } from './types.ts';

/** The steps that bring a cluster to a deployment. @throws EnvironmentError (exit 3) where they cannot be carried out */
export function planKubernetes(wishes: ContainerWishes, facts: HostFacts): ContainerPlan {
  const found = requireCluster(facts);
  const { input } = wishes;
  const { deployment } = input;
  const { cluster } = found;
  refuseElsewhere(deployment, facts);
  refuseCluster(found);
  const image = clusterImage(input, wishes.image);
  if (image.isBuilt) refuseEngine(requireContainers(facts));
  const context = image.isBuilt ? contextFiles(input, image.name) : [];
  const rendered = renderAppliedManifests(withImage(input, image.name));
  const manifests = rendered.filter((file) => found.namespace === 'absent' || !isNamespace(file));
  const managed = [...context, ...manifests].map((file) =>
    managedFileSteps(managedFile(file), facts, { adopt: wishes.adopt }),
  );
  const writes = managed.flatMap(({ steps }) => steps);
  const former = image.isBuilt ? formerOwnFiles(context, facts) : { steps: [], notices: [] };
  const dropped = droppedFiles(rendered, facts);
  const folders = foldersFor(
    [cluster.folder, ...[...context, ...manifests].map(({ installPath }) => installPath)],
    facts,
  );
  const secrets = secretSteps(wishes, facts);
  const undo: Step['undo'] = { type: 'restore-objects', cluster, timeoutMs: rollTimeoutMs(deployment) };
  const server = found.objects.find(({ rollout }) => rollout !== undefined)?.rollout;
  const rolls = writes.length > 0 || dropped.length > 0 || found.drift.length > 0 || server?.isDone !== true;
  const replicas = replicasOf(found, rendered, facts);
  const stops = facts.server.state === 'running' ? [stopStep(facts, deployment, 'the cluster takes its place')] : [];
  const steps: readonly Step[] = [
    ...(rolls ? folders : []),
    ...writes,
    ...former.steps,
    ...dropped.map((path): Step => ({
      id: `remove-file-${slug(basename(path))}`,
      title: `remove ${basename(path)}`,
      why: 'not wanted any more',
      group: 'configuration',
      action: { type: 'remove-file', path },
      undo: { type: 'restore' },
    })),
    ...(image.isBuilt && rolls ? buildSteps(deployment, image, facts) : []),
    ...(found.namespace === 'absent'
      ? [
          {
            id: 'make-namespace',
            title: `make the namespace ${cluster.namespace}`,
            why: 'none yet',
            group: 'server',
            action: { type: 'make-namespace', cluster, file: join(facts.stateDir, 'kubernetes', 'namespace.yaml') },
            undo: { type: 'remove-namespace', cluster },
          } satisfies Step,
        ]
      : []),
    ...secrets.steps,
    ...(rolls && replicas.left !== null
      ? [
          {
            id: 'leave-replicas',
            title: 'leave the number of copies to the autoscaler',
            why: 'it counts from now on',
            group: 'server',
            action: { type: 'leave-replicas', cluster, replicas: replicas.left },
            undo,
          } satisfies Step,
        ]
      : []),
    ...(rolls
      ? [
          {
            id: 'roll-out',
            title: server === undefined ? 'start the copies' : 'replace the copies one after another',
            why: whyRollOut(server, writes.length + dropped.length > 0, found),
            group: 'server',
            action: {
              type: 'roll-out',
              cluster,
              takesReplicas: replicas.isTaken,
              timeoutMs: rollTimeoutMs(deployment),
            },
            undo,
          } satisfies Step,
          ...stops,
        ]
      : []),
  ];
  return {
    steps,
    notices: [
      ...managed.flatMap(({ notices }) => notices),
      ...former.notices,
      ...secrets.notices,
      ...driftNotices(found, facts),
      ...(rolls ? imageNotices(image) : []),
    ],
    adopted: managed.flatMap(({ adopted }) => adopted),
    image: image.isBuilt || wishes.image !== undefined ? image.name : null,
    serves: rolls,
  };
}

/** What follows when the endpoint was seen to serve: objects that no manifest asks for any more. */
export function clearClusterSteps({ input }: ContainerWishes, facts: HostFacts): readonly Step[] {
  const { cluster, objects } = requireCluster(facts);
  const wanted = new Set(
    renderAppliedManifests(withImage(input, clusterImage(input).name)).map((file) => basename(file.installPath)),
  );
  const gone = objects
    .map(({ name }) => name)
    .filter((name) => {
      const file = fileOfKind[name.slice(0, name.indexOf('/'))];
      return file !== undefined && !wanted.has(file);
    });
  if (gone.length === 0) return [];
  return [
    {
      id: 'remove-objects',
      title: `remove ${gone.join(', ')}`,
      why: 'not wanted any more',
      group: 'server',
      action: { type: 'remove-objects', cluster, objects: gone },
      undo: { type: 'restore-objects', cluster, timeoutMs: rollTimeoutMs(input.deployment) },
    },
  ];
}

/** Objects that some settings ask for, and others do not. */
const fileOfKind: Readonly<Record<string, string>> = {
  'horizontalpodautoscaler.autoscaling': 'autoscaler.yaml',
  'ingress.networking.k8s.io': 'ingress.yaml',
  'httproute.gateway.networking.k8s.io': 'httproute.yaml',
  'servicemonitor.monitoring.coreos.com': 'servicemonitor.yaml',
};

/** What was seen of the cluster. @throws Error where nobody looked */
export function requireCluster({ cluster }: Pick<HostFacts, 'cluster'>): ClusterFacts {
  if (cluster === undefined) throw new Error('a plan for a cluster without facts of it');
  return cluster;
}

/**
 * The image that the copies run: as given where `container.image` has a tag or a digest, or where a release is put back; built here
 * and tagged by its content otherwise.
 */
export function clusterImage(input: TargetInput, wanted?: string): ChosenImage {
  const { image } = input.deployment.container;
  const { name, tag, digest } = splitImageName(imageName(input.deployment));
  if (image !== undefined && (tag !== null || digest !== null)) return { name: image, isBuilt: false };
  if (wanted !== undefined) return { name: wanted, isBuilt: false };
  return { name: `${name}:${contentTag(contextFiles(input, name))}`, isBuilt: true };
}

/** Copies are replaced one after another, and an image may have to be pulled on every machine. */
export function rollTimeoutMs(deployment: Deployment): number {
  const { replicas, kubernetes } = deployment.container;
  const most = kubernetes.autoscale === 'off' ? replicas : Math.max(replicas, kubernetes.autoscale.max);
  return 300_000 + most * (readyTimeoutMs(deployment) + (stopSeconds(deployment) + 10) * 1_000);
}

function withImage(input: TargetInput, image: string): TargetInput {
  const { deployment } = input;
  return { ...input, deployment: { ...deployment, container: { ...deployment.container, image } } };
}

/** The build context. In a cluster TLS never ends in the server, so nothing of a certificate is in it. */
function contextFiles(input: TargetInput, image: string): readonly RenderedFile[] {
  const { deployment } = input;
  const plain: Deployment = { ...deployment, container: { ...deployment.container, proxy: 'haproxy', watch: false } };
  const applied = {
    image,
    secretsFolder: '',
    secretsNumber: 0,
    user: { uid: 1_000, gid: 1_000 },
    composeMajor: 2,
  } as const;
  return renderDockerFiles({ ...input, deployment: plain, applied }).filter((file) => isOfContext(file));
}

function buildSteps(deployment: Deployment, image: ChosenImage, facts: HostFacts): readonly Step[] {
  // Nothing runs beside the server here: a Redis is one of the cluster.
  const alone: Deployment = { ...deployment, container: { ...deployment.container, proxy: 'none', redis: false } };
  return [
    ...imageSteps(alone, image, requireContainers(facts), join(facts.stateDir, 'docker')),
    ...pushSteps(image, 'the machines of the cluster pull it'),
  ];
}

function imageNotices({ name, isBuilt }: ChosenImage): readonly Notice[] {
  if (namesRegistry(name)) return [];
  if (!isBuilt) return [];
  const text =
    `Image ${name} is on this machine only: the machines of the cluster must have it too (kind load docker-image ${name}), ` +
    'or set container.image to a name in a registry that they can pull from.';
  return [{ level: 'warning', text }];
}

/** Manifests of the last release that are not rendered any more. */
function droppedFiles(rendered: readonly RenderedFile[], facts: HostFacts): readonly string[] {
  const { folder } = requireCluster(facts).cluster;
  const wanted = new Set(rendered.map(({ installPath }) => installPath));
  return Object.keys(facts.release?.files ?? {}).filter(
    (path) =>
      path.startsWith(`${folder}/`) &&
      !wanted.has(path) &&
      facts.files[path] !== undefined &&
      !isKeptAside(basename(path)),
  );
}

function isNamespace({ installPath }: RenderedFile): boolean {
  return basename(installPath) === 'namespace.yaml';
}

/** Who counts the copies, when that changes. */
function replicasOf(
  found: ClusterFacts,
  rendered: readonly RenderedFile[],
  facts: HostFacts,
): { readonly left: number | null; readonly isTaken: boolean } {
  const path = join(found.cluster.folder, 'deployment.yaml');
  const before = facts.files[path]?.text;
  const server = found.objects.find(({ rollout }) => rollout !== undefined)?.rollout;
  const file = rendered.find(({ installPath }) => installPath === path);
  if (before === undefined || server === undefined || file === undefined) return { left: null, isTaken: false };
  const [did, does] = [before, file.content].map((text) => /^ {2}replicas: \d+$/m.test(text));
  return { left: did === true && does === false ? server.replicas : null, isTaken: did === false && does === true };
}

function whyRollOut(
  server: NonNullable<ClusterFacts['objects'][number]['rollout']> | undefined,
  hasChanges: boolean,
  { drift }: ClusterFacts,
): string {
  if (server === undefined) return 'none yet';
  if (hasChanges) return 'settings, image or version changed';
  if (drift.length === 0) return `${server.ready} of ${server.replicas} copies are ready`;
  return drift.some(({ state }) => state === 'edited') ? 'edited by hand' : 'removed by hand';
}

function driftNotices({ drift }: ClusterFacts, { release }: HostFacts): readonly Notice[] {
  return drift.map((each): Notice => {
    const since = `since release ${release?.release ?? 0}`;
    const how = each.state === 'removed' ? 'was removed by hand' : 'was edited by hand';
    const what = each.state === 'removed' ? '' : `: ${each.fields.join(', ')}`;
    return { level: 'warning', text: `${each.object} ${how} ${since}${what}.` };
  });
}

/** Secrets whose content is another one here; a Secret that somebody else made is theirs, and only has to be whole. */
function secretSteps(
  { input, changes }: ContainerWishes,
  facts: HostFacts,
): { readonly steps: readonly Step[]; readonly notices: readonly Notice[] } {
  const found = requireCluster(facts);
  const steps: Step[] = [];
  const notices: Notice[] = [];
  for (const secret of clusterSecrets(input)) {
    const fact = found.secrets[secret.name] ?? { state: 'absent', keys: {} };
    const isKeys = secret.sources.some(({ key }) => key === 'keys.json');
    const missing = secret.sources.filter(
      ({ key }) => fact.keys[key]?.there !== true && !(fact.keys[key]?.here === true && fact.state !== 'theirs'),
    );
    if (missing.length > 0 && !(isKeys && (changes.keys || fact.state === 'theirs')))
      throw unsetSecret(secret, missing, found);
    if (fact.state === 'theirs') {
      notices.push({ level: 'info', text: `Secret ${secret.name} is yours; it stays as it is.` });
      continue;
    }
    const others = secret.sources.filter(({ key }) => fact.keys[key]?.here === true && !fact.keys[key].same);
    if (others.length === 0 && !(isKeys && changes.keys)) continue;
    steps.push({
      id: `secret-${slug(secret.name)}`,
      title: `hand over the Secret ${secret.name}`,
      why: fact.state === 'absent' ? 'none yet' : isKeys ? 'keys changed' : 'values changed',
      group: 'keys',
      action: { type: 'hand-secret', cluster: found.cluster, secret },
      undo: { type: 'restore-secret', cluster: found.cluster },
    });
  }
  return { steps, notices };
}

function unsetSecret(
  secret: ClusterSecret,
  missing: readonly ClusterSecret['sources'][number][],
  { cluster }: ClusterFacts,
) {
  const names = missing.map((source) => ('file' in source ? source.file : source.variable));
  const [first] = missing;
  return new UserError(`${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} not there.`, {
    why: `mcp-deploy.yaml refers to it, and the Secret ${secret.name} in ${cluster.namespace} does not have it either. Nothing was changed.`,
    next:
      first !== undefined && 'file' in first
        ? 'Put the file there, or correct mcp-deploy.yaml.'
        : `export ${names[0] ?? ''}=…  and run the command again`,
    exitCode: 3,
  });
}

/** Objects of a release in another place would be forgotten there. */
function refuseElsewhere(deployment: Deployment, { release, cluster }: HostFacts): void {
  const before = deploymentSchema.safeParse(release?.desired);
  if (!before.success || before.data.service.manager !== 'kubernetes') return;
  const place = ({ name, container }: Deployment): string =>
    [
      name,
      container.kubernetes.namespace,
      container.kubernetes.context ?? '',
      container.kubernetes.kubeconfig ?? '',
    ].join(' ');
  if (place(before.data) === place(deployment) || cluster === undefined) return;
  const { namespace } = before.data.container.kubernetes;
  throw new UserError(
    `This deployment is in the namespace ${namespace}, and mcp-deploy.yaml names another place now.`,
    {
      why: `Release ${release?.release ?? 0} has its objects there; name, namespace, context or kubeconfig differ.`,
      next: 'mcp-deploy uninstall        then: mcp-deploy apply',
      exitCode: 3,
    },
  );
}

function slug(text: string): string {
  return text.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}
