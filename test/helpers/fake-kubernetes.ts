import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { parse } from 'yaml';
import { acceptForward } from './fake-port-forward.ts';
import { openApiDocument } from './fake-kubernetes-openapi.ts';

/**
 * As much of an API server as kubectl needs for what mcp-deploy does: discovery, server-side apply with owners of fields and
 * conflicts, lists and watches, delete, access reviews, Deployments that roll from poll to poll. What it does not have: defaults,
 * validation, admission, lists that are merged by key. It says nothing about pods on a real node.
 */
export interface FakeKubernetes {
  readonly url: string;
  /** `patch deployments.apps`: answered with no, and with 403. */
  readonly denied: Set<string>;
  /** Images whose new pods never become ready, and why. */
  readonly failing: Map<string, Failure>;
  /** Requests as `PATCH /apis/…?fieldManager=…`, and bodies, newest last. */
  readonly requests: { readonly line: string; readonly body: string }[];
  /** Least number of available copies of each Deployment since it first had one. */
  readonly leastAvailable: Map<string, number>;
  /** Where a forwarded port leads; null refuses. */
  forwardTo: number | null;
  /** Names of all objects of a namespace that somebody made: `deployment.apps/notes`. */
  names(namespace: string): readonly string[];
  get(name: string, namespace: string): KubeObject | undefined;
  /** What a person does with kubectl: other managers own these fields then. */
  edit(name: string, namespace: string, changes: Readonly<Record<string, unknown>>, manager?: string): void;
  create(object: KubeObject): void;
  hasNamespace(name: string): boolean;
  close(): Promise<void>;
}

export type Failure = 'ImagePullBackOff' | 'CrashLoopBackOff' | 'deadline';

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    generation?: number;
    resourceVersion?: string;
    uid?: string;
    [key: string]: unknown;
  };
  [key: string]: unknown;
}

interface Resource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

const resource = (group: string, version: string, plural: string, kind: string, namespaced = true): Resource => ({
  group,
  version,
  plural,
  kind,
  namespaced,
});

const resources: readonly Resource[] = [
  resource('', 'v1', 'namespaces', 'Namespace', false),
  resource('', 'v1', 'pods', 'Pod'),
  resource('', 'v1', 'services', 'Service'),
  resource('', 'v1', 'configmaps', 'ConfigMap'),
  resource('', 'v1', 'secrets', 'Secret'),
  resource('', 'v1', 'serviceaccounts', 'ServiceAccount'),
  resource('', 'v1', 'persistentvolumeclaims', 'PersistentVolumeClaim'),
  resource('apps', 'v1', 'deployments', 'Deployment'),
  resource('apps', 'v1', 'replicasets', 'ReplicaSet'),
  resource('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy'),
  resource('networking.k8s.io', 'v1', 'ingresses', 'Ingress'),
  resource('policy', 'v1', 'poddisruptionbudgets', 'PodDisruptionBudget'),
  resource('autoscaling', 'v2', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler'),
  resource('authorization.k8s.io', 'v1', 'selfsubjectaccessreviews', 'SelfSubjectAccessReview', false),
];

interface Stored {
  readonly resource: Resource;
  object: KubeObject;
  /** Leaves that each manager owns. */
  readonly owners: Map<string, Set<string>>;
}

/** Starts one on a free port of loopback. */
export async function startFakeKubernetes(): Promise<FakeKubernetes> {
  const stored = new Map<string, Stored>();
  const watchers = new Set<{
    readonly resource: Resource;
    readonly matches: (o: KubeObject) => boolean;
    readonly response: ServerResponse;
  }>();
  const forwarded = new Set<Duplex>();
  let version = 100;

  const keyOf = (of: Resource, namespace: string | undefined, name: string): string =>
    `${of.plural}.${of.group}/${of.namespaced ? (namespace ?? '') : ''}/${name}`;

  const tell = (type: 'ADDED' | 'MODIFIED' | 'DELETED', of: Resource, object: KubeObject): void => {
    for (const watcher of watchers) {
      if (watcher.resource === of && watcher.matches(object))
        watcher.response.write(`${JSON.stringify({ type, object })}\n`);
    }
  };

  const put = (entry: Stored): void => {
    const key = keyOf(entry.resource, entry.object.metadata.namespace, entry.object.metadata.name);
    version += 1;
    const isNew = !stored.has(key);
    entry.object.metadata.resourceVersion = String(version);
    entry.object.metadata.uid ??= createHash('sha1').update(`${key} ${version}`).digest('hex');
    stored.set(key, entry);
    tell(isNew ? 'ADDED' : 'MODIFIED', entry.resource, entry.object);
  };

  const drop = (entry: Stored): void => {
    const { metadata } = entry.object;
    stored.delete(keyOf(entry.resource, metadata.namespace, metadata.name));
    tell('DELETED', entry.resource, entry.object);
    for (const other of stored.values()) {
      const owners = (other.object.metadata['ownerReferences'] ?? []) as { uid: string }[];
      const isInside = entry.resource.kind === 'Namespace' && other.object.metadata.namespace === metadata.name;
      if (isInside || owners.some(({ uid }) => uid === metadata.uid)) drop(other);
    }
  };

  const findResource = (kind: string, apiVersion: string): Resource => {
    const found = resources.find((each) => each.kind === kind && apiVersionOf(each) === apiVersion);
    if (found === undefined) throw new Error(`the fake has no ${apiVersion} ${kind}`);
    return found;
  };

  const create = (object: KubeObject): Stored => {
    const entry: Stored = { resource: findResource(object.kind, object.apiVersion), object, owners: new Map() };
    put(entry);
    if (object.kind === 'Namespace') {
      const namespace = object.metadata.name;
      create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'kube-root-ca.crt', namespace } });
      create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default', namespace } });
    }
    return entry;
  };

  const fake: FakeKubernetes = {
    url: '',
    denied: new Set(),
    failing: new Map(),
    requests: [],
    leastAvailable: new Map(),
    forwardTo: null,
    names: (namespace) =>
      [...stored.values()]
        .filter(({ object }) => object.metadata.namespace === namespace && !isGiven(object))
        .map(
          ({ resource: of, object }) =>
            `${of.kind.toLowerCase()}${of.group === '' ? '' : `.${of.group}`}/${object.metadata.name}`,
        )
        .toSorted(),
    get: (name, namespace) => entryNamed(name, namespace)?.object,
    edit: (name, namespace, changes, manager = 'kubectl-edit') => {
      const entry = entryNamed(name, namespace);
      if (entry === undefined) throw new Error(`no ${name} in ${namespace}`);
      for (const [path, value] of Object.entries(changes)) {
        entry.object = setAt(entry.object, path.split('.'), value);
        for (const paths of entry.owners.values()) paths.delete(`.${path}`);
        entry.owners.set(manager, new Set([...(entry.owners.get(manager) ?? []), `.${path}`]));
      }
      entry.object.metadata.generation = (entry.object.metadata.generation ?? 1) + 1;
      put(entry);
    },
    create,
    hasNamespace: (name) => stored.has(keyOf(resources[0] as Resource, undefined, name)),
    close: () =>
      new Promise((resolve) => {
        // Those that were upgraded are not the server's any more.
        for (const socket of forwarded) socket.destroy();
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };

  function entryNamed(name: string, namespace: string): Stored | undefined {
    const [kind = '', own = ''] = name.split('/');
    return [...stored.values()].find(
      ({ resource: of, object }) =>
        `${of.kind.toLowerCase()}${of.group === '' ? '' : `.${of.group}`}` === kind &&
        object.metadata.name === own &&
        object.metadata.namespace === namespace,
    );
  }

  /** One step of the controllers: a Deployment goes on by one copy with each look at it. */
  const advance = (): void => {
    for (const entry of [...stored.values()].filter(({ resource: of }) => of.kind === 'Deployment')) roll(entry);
  };

  const roll = (entry: Stored): void => {
    const { metadata } = entry.object;
    const spec = entry.object['spec'] as {
      replicas?: number;
      template: { metadata?: { labels?: Record<string, string> }; spec: { containers: { image: string }[] } };
    };
    const wanted = spec.replicas ?? 1;
    const hash = createHash('sha256').update(JSON.stringify(spec.template)).digest('hex').slice(0, 10);
    const sets = [...stored.values()].filter(
      ({ object }) => object.kind === 'ReplicaSet' && ownedBy(object, metadata.uid),
    );
    const revisionOf = ({ object }: Stored): number =>
      Number(object.metadata.annotations?.['deployment.kubernetes.io/revision'] ?? 0);
    let current = sets.find(({ object }) => object.metadata.labels?.['pod-template-hash'] === hash);
    const newest = Math.max(0, ...sets.map(revisionOf));
    const labels = {
      ...spec.template.metadata?.labels,
      'pod-template-hash': hash,
    };
    const annotations = (revision: number): Record<string, string> => ({
      'deployment.kubernetes.io/revision': String(revision),
    });
    if (current === undefined) {
      current = create({
        apiVersion: 'apps/v1',
        kind: 'ReplicaSet',
        metadata: {
          name: `${metadata.name}-${hash}`,
          ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
          labels,
          annotations: annotations(newest + 1),
          ownerReferences: [{ kind: 'Deployment', name: metadata.name, uid: metadata.uid }],
        },
      });
    } else if (revisionOf(current) !== newest) current.object.metadata.annotations = annotations(newest + 1);
    const podsOf = (set: Stored): Stored[] =>
      [...stored.values()].filter(({ object }) => object.kind === 'Pod' && ownedBy(object, set.object.metadata.uid));
    const image = spec.template.spec.containers[0]?.image ?? '';
    const failure = fake.failing.get(image);
    const fresh = podsOf(current);
    const old = sets.filter((each) => each !== current).flatMap(podsOf);
    const isReady = ({ object }: Stored): boolean => (object['status'] as { ready?: boolean }).ready === true;
    const unready = fresh.filter((pod) => !isReady(pod));
    if (unready.length > 0 && failure === undefined) unready.forEach((pod) => (pod.object['status'] = runningStatus));
    else if (fresh.length < wanted && unready.length === 0) {
      create({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: `${metadata.name}-${hash}-${fresh.length}${version}`,
          ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
          labels,
          ownerReferences: [
            { kind: 'ReplicaSet', name: current.object.metadata.name, uid: current.object.metadata.uid },
          ],
        },
        spec: { containers: [{ name: 'server', image, ports: [{ name: 'mcp', containerPort: 8080 }] }] },
        status: failure === undefined ? { phase: 'Pending' } : waitingStatus(failure, image),
      });
    } else if (fresh.length > wanted) fresh.slice(wanted).forEach(drop);
    else if (old.length > 0 && fresh.filter(isReady).length > 0 && unready.length === 0) drop(old[0] as Stored);
    const all = [...podsOf(current), ...sets.filter((each) => each !== current).flatMap(podsOf)];
    const available = all.filter(isReady).length;
    const updated = podsOf(current);
    const before = JSON.stringify([entry.object['status'], metadata.annotations]);
    metadata.annotations = { ...metadata.annotations, ...annotations(revisionOf(current)) };
    entry.object['status'] = {
      observedGeneration: metadata.generation ?? 1,
      replicas: all.length,
      updatedReplicas: updated.length,
      readyReplicas: available,
      availableReplicas: available,
      conditions: [
        {
          type: 'Progressing',
          status: failure === 'deadline' ? 'False' : 'True',
          reason: failure === 'deadline' ? 'ProgressDeadlineExceeded' : 'ReplicaSetUpdated',
          message:
            failure === 'deadline'
              ? `ReplicaSet "${current.object.metadata.name}" has timed out progressing.`
              : 'is progressing',
        },
      ],
    };
    const least = fake.leastAvailable.get(metadata.name);
    if (least !== undefined || available >= wanted) {
      fake.leastAvailable.set(metadata.name, Math.min(least ?? available, available));
    }
    if (JSON.stringify([entry.object['status'], metadata.annotations]) !== before) put(entry);
  };

  const server = createServer((request, response) => {
    void serve(request, response);
  });

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request);
    fake.requests.push({ line: `${request.method} ${request.url}`, body });
    try {
      answer(request, response, body);
    } catch (error) {
      status(response, 500, 'InternalError', String(error));
    }
  };

  const answer = (request: IncomingMessage, response: ServerResponse, body: string): void => {
    const url = new URL(request.url ?? '/', 'http://fake');
    const path = url.pathname.replace(/\/$/, '');
    if (path === '/version') return send(response, { major: '1', minor: '30', gitVersion: 'v1.30.0-fake' });
    if (path === '/openapi/v2') {
      response.setHeader('content-type', 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf');
      response.end(openApiDocument(resources.map((each) => ({ ...each, path: collectionPath(each) }))));
      return;
    }
    const discovered = discovery(path);
    if (discovered !== null) return send(response, discovered);
    const target = parsePath(path);
    if (target === null) return status(response, 404, 'NotFound', 'the server could not find the requested resource');
    if (target.resource.kind === 'SelfSubjectAccessReview')
      return send(response, review(JSON.parse(body) as KubeObject), 201);
    const verb = verbOf(request.method ?? 'GET', target.name, url);
    const named = `${target.resource.plural}${target.resource.group === '' ? '' : `.${target.resource.group}`}`;
    if (fake.denied.has(`${verb} ${named}`)) {
      return status(
        response,
        403,
        'Forbidden',
        `${named} is forbidden: User "test" cannot ${verb} resource "${named}"`,
      );
    }
    if (url.searchParams.get('watch') !== 'true') advance();
    const { namespace } = target;
    const found =
      target.name === null ? undefined : stored.get(keyOf(target.resource, namespace ?? undefined, target.name));
    const isDry = url.searchParams.get('dryRun') === 'All';
    switch (verb) {
      case 'list':
      case 'watch':
        return list(target.resource, namespace, url, response);
      case 'get':
        return found === undefined ? missing(response, target) : send(response, found.object);
      case 'delete': {
        if (found === undefined) return missing(response, target);
        if (!isDry) drop(found);
        return send(response, {
          kind: 'Status',
          apiVersion: 'v1',
          status: 'Success',
          details: { name: target.name, uid: found.object.metadata.uid },
        });
      }
      case 'patch': {
        if (namespace !== null && !fake.hasNamespace(namespace)) {
          return status(response, 404, 'NotFound', `namespaces "${namespace}" not found`);
        }
        return apply(request, response, { target, found, url, body, isDry });
      }
      default:
        return status(response, 405, 'MethodNotAllowed', `the fake does not ${verb}`);
    }
  };

  const review = (asked: KubeObject): KubeObject => {
    const {
      verb,
      resource: plural,
      group,
      subresource,
    } = (asked['spec'] as { resourceAttributes: Record<string, string> }).resourceAttributes;
    const named = `${plural}${group === undefined || group === '' ? '' : `.${group}`}${subresource === undefined ? '' : `/${subresource}`}`;
    return { ...asked, status: { allowed: !fake.denied.has(`${verb} ${named}`) } };
  };

  const list = (of: Resource, namespace: string | null, url: URL, response: ServerResponse): void => {
    const matches = selectorFrom(url, namespace);
    const items = [...stored.values()]
      .filter((each) => each.resource === of && matches(each.object))
      .map(({ object }) => object);
    if (url.searchParams.get('watch') !== 'true') {
      return send(response, {
        kind: `${of.kind}List`,
        apiVersion: apiVersionOf(of),
        metadata: { resourceVersion: String(version) },
        items,
      });
    }
    response.setHeader('content-type', 'application/json');
    response.flushHeaders();
    const watcher = { resource: of, matches, response };
    watchers.add(watcher);
    const timer = setInterval(advance, 50);
    response.once('close', () => {
      watchers.delete(watcher);
      clearInterval(timer);
    });
  };

  const apply = (
    request: IncomingMessage,
    response: ServerResponse,
    {
      target,
      found,
      url,
      body,
      isDry,
    }: { target: Target; found: Stored | undefined; url: URL; body: string; isDry: boolean },
  ): void => {
    if (request.headers['content-type'] !== 'application/apply-patch+yaml') {
      return status(response, 415, 'UnsupportedMediaType', 'the fake takes server-side apply alone');
    }
    const config = parse(body) as KubeObject;
    const manager = url.searchParams.get('fieldManager') ?? '';
    const leaves = leavesOf(config);
    const entry: Stored = {
      resource: target.resource,
      object: structuredClone(
        found?.object ?? { apiVersion: config.apiVersion, kind: config.kind, metadata: { name: target.name ?? '' } },
      ),
      owners: new Map([...(found?.owners ?? [])].map(([name, paths]) => [name, new Set(paths)])),
    };
    const conflicts: { manager: string; path: string }[] = [];
    for (const [path, value] of leaves) {
      for (const [other, paths] of entry.owners) {
        if (other === manager || !paths.has(path) || isDeepStrictEqual(getAt(entry.object, path), value)) continue;
        if (url.searchParams.get('force') === 'true') paths.delete(path);
        else conflicts.push({ manager: other, path });
      }
    }
    if (conflicts.length > 0) return conflict(response, config, conflicts);
    for (const path of entry.owners.get(manager) ?? []) {
      const isShared = [...entry.owners].some(([other, paths]) => other !== manager && paths.has(path));
      if (!leaves.has(path) && !isShared) entry.object = setAt(entry.object, keysOf(path), undefined);
    }
    for (const [path, value] of leaves) entry.object = setAt(entry.object, keysOf(path), value);
    entry.owners.set(manager, new Set(leaves.keys()));
    const isOther = !isDeepStrictEqual(
      { ...found?.object, status: null, metadata: null },
      { ...entry.object, status: null, metadata: null },
    );
    entry.object.metadata.generation = (found?.object.metadata.generation ?? 0) + (isOther ? 1 : 0);
    entry.object.metadata['managedFields'] = [...entry.owners.keys()].map((name) => ({
      manager: name,
      operation: 'Apply',
    }));
    if (!isDry) {
      if (found === undefined && entry.resource.kind === 'Namespace') {
        const made = create(entry.object);
        for (const [name, paths] of entry.owners) made.owners.set(name, paths);
      } else if (found === undefined || !isDeepStrictEqual(found.object, entry.object)) put(entry);
      else found.owners.set(manager, new Set(leaves.keys()));
    }
    send(response, entry.object, found === undefined ? 201 : 200);
  };

  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    fake.requests.push({ line: `UPGRADE ${request.url}`, body: '' });
    forwarded.add(socket);
    socket.once('close', () => forwarded.delete(socket));
    if (fake.forwardTo === null) socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    else acceptForward(request, socket, fake.forwardTo);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return Object.assign(fake, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

interface Target {
  readonly resource: Resource;
  readonly namespace: string | null;
  readonly name: string | null;
}

const runningStatus = {
  phase: 'Running',
  ready: true,
  conditions: [{ type: 'Ready', status: 'True' }],
  containerStatuses: [{ name: 'server', ready: true, restartCount: 0, state: { running: {} } }],
};

function waitingStatus(failure: Failure, image: string): object {
  if (failure === 'deadline') return { phase: 'Pending' };
  const message =
    failure === 'ImagePullBackOff' ? `Back-off pulling image "${image}"` : 'back-off 20s restarting failed container';
  return {
    phase: 'Pending',
    containerStatuses: [
      {
        name: 'server',
        ready: false,
        restartCount: failure === 'CrashLoopBackOff' ? 3 : 0,
        state: { waiting: { reason: failure, message } },
      },
    ],
  };
}

/** Made by the cluster itself. */
function isGiven({ kind, metadata }: KubeObject): boolean {
  return (
    metadata.name === 'kube-root-ca.crt' ||
    (kind === 'ServiceAccount' && metadata.name === 'default') ||
    kind === 'Pod' ||
    kind === 'ReplicaSet'
  );
}

function ownedBy({ metadata }: KubeObject, uid: unknown): boolean {
  return ((metadata['ownerReferences'] ?? []) as { uid: unknown }[]).some((each) => each.uid === uid);
}

function apiVersionOf({ group, version }: Resource): string {
  return group === '' ? version : `${group}/${version}`;
}

function collectionPath(of: Resource): string {
  const root = of.group === '' ? `/api/${of.version}` : `/apis/${of.group}/${of.version}`;
  return `${root}${of.namespaced ? '/namespaces/{namespace}' : ''}/${of.plural}/{name}`;
}

function discovery(path: string): object | null {
  if (path === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  const groups = [...new Set(resources.map(({ group }) => group))].filter((group) => group !== '');
  if (path === '/apis') {
    return {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: groups.map((name) => {
        const each = { groupVersion: `${name}/${versionOf(name)}`, version: versionOf(name) };
        return { name, versions: [each], preferredVersion: each };
      }),
    };
  }
  const [, , group = '', found = ''] = path.startsWith('/apis/')
    ? path.split('/')
    : ['', '', '', path === '/api/v1' ? 'v1' : ''];
  const own = resources.filter((each) => each.group === group && each.version === found);
  const isGroup = path === '/api/v1' || /^\/apis\/[^/]+\/[^/]+$/.test(path);
  if (!isGroup || own.length === 0) return null;
  return {
    kind: 'APIResourceList',
    groupVersion: group === '' ? found : `${group}/${found}`,
    resources: own.map(({ plural, kind, namespaced }) => ({
      name: plural,
      singularName: kind.toLowerCase(),
      kind,
      namespaced,
      verbs: kind === 'SelfSubjectAccessReview' ? ['create'] : ['create', 'delete', 'get', 'list', 'patch', 'watch'],
    })),
  };
}

function versionOf(group: string): string {
  return resources.find((each) => each.group === group)?.version ?? 'v1';
}

function parsePath(path: string): Target | null {
  const match = /^\/(?:api|apis\/([^/]+))\/([^/]+)\/(?:namespaces\/([^/]+)\/)?([^/]+)(?:\/([^/]+))?$/.exec(path);
  if (match === null) return null;
  const [, group = '', version = '', namespace, plural = '', name] = match;
  const found = resources.find((each) => each.group === group && each.version === version && each.plural === plural);
  if (found === undefined) return null;
  return { resource: found, namespace: namespace ?? null, name: name ?? null };
}

function verbOf(method: string, name: string | null, url: URL): string {
  if (method === 'GET') return url.searchParams.get('watch') === 'true' ? 'watch' : name === null ? 'list' : 'get';
  return { PATCH: 'patch', DELETE: 'delete', POST: 'create', PUT: 'update' }[method] ?? method;
}

function selectorFrom(url: URL, namespace: string | null): (object: KubeObject) => boolean {
  const pairs = (name: string): string[][] =>
    (url.searchParams.get(name) ?? '')
      .split(',')
      .filter(Boolean)
      .map((each) => each.split(/==?/));
  const labels = pairs('labelSelector');
  const fields = pairs('fieldSelector');
  return ({ metadata }) =>
    (namespace === null || metadata.namespace === namespace) &&
    labels.every(([key = '', value]) => metadata.labels?.[key] === value) &&
    fields.every(([key, value]) => key !== 'metadata.name' || metadata.name === value);
}

/** The leaves of a configuration, by path; lists are one leaf. */
function leavesOf(config: KubeObject): Map<string, unknown> {
  const leaves = new Map<string, unknown>();
  const walk = (value: unknown, path: string): void => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0) {
      for (const [key, each] of Object.entries(value)) walk(each, `${path}.${key.replaceAll('.', '\u0001')}`);
    } else leaves.set(path, value);
  };
  const { apiVersion: _apiVersion, kind: _kind, ...rest } = config;
  walk(rest, '');
  for (const path of ['.metadata.name', '.metadata.namespace']) leaves.delete(path);
  if (config.metadata.namespace !== undefined) leaves.set('.metadata.namespace', config.metadata.namespace);
  return leaves;
}

function keysOf(path: string): string[] {
  return path
    .slice(1)
    .split('.')
    .map((key) => key.replaceAll('\u0001', '.'));
}

function getAt(object: unknown, path: string): unknown {
  let at = object;
  for (const key of keysOf(path)) at = (at as Record<string, unknown> | undefined)?.[key];
  return at;
}

function setAt<T>(object: T, [key = '', ...rest]: string[], value: unknown): T {
  const { [key]: now, ...others } = (object ?? {}) as Record<string, unknown>;
  const next = rest.length === 0 ? value : setAt(now ?? {}, rest, value);
  return (next === undefined ? others : { ...(object as object), [key]: next }) as T;
}

function conflict(
  response: ServerResponse,
  { apiVersion }: KubeObject,
  conflicts: { manager: string; path: string }[],
): void {
  const texts = conflicts.map(
    ({ manager, path }) => `conflict with "${manager}" using ${apiVersion}: ${path.replaceAll('\u0001', '.')}`,
  );
  const [first = ''] = texts;
  const words =
    texts.length === 1
      ? `Apply failed with 1 conflict: ${first}`
      : `Apply failed with ${texts.length} conflicts: conflicts with "${conflicts[0]?.manager}" using ${apiVersion}:\n${conflicts.map(({ path }) => `- ${path}`).join('\n')}`;
  status(response, 409, 'Conflict', words, {
    causes: conflicts.map(({ path }, index) => ({
      reason: 'FieldManagerConflict',
      message: texts[index],
      field: path,
    })),
  });
}

function missing(response: ServerResponse, { resource: of, name }: Target): void {
  status(response, 404, 'NotFound', `${of.plural}${of.group === '' ? '' : `.${of.group}`} "${name}" not found`, {
    name,
    group: of.group,
    kind: of.plural,
  });
}

function status(response: ServerResponse, code: number, reason: string, message: string, details: object = {}): void {
  send(
    response,
    { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, message, code, details },
    code,
  );
}

function send(response: ServerResponse, body: object, code = 200): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function readBody(request: IncomingMessage): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (text += chunk)).on('end', () => resolve(text));
  });
}
