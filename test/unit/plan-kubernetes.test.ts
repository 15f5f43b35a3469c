import { describe, expect, test } from 'vitest';
import type { DeploymentInput } from '../../src/deployment/schema.ts';
import type { ClusterFacts, ClusterObject } from '../../src/plan/cluster-facts.ts';
import { clusterOf, clusterSecrets } from '../../src/plan/cluster-objects.ts';
import { compareObjects, objectName, type LiveObject } from '../../src/plan/compare-objects.ts';
import type { HostFacts } from '../../src/plan/facts.ts';
import { judgeRollout } from '../../src/plan/judge-rollout.ts';
import { planClusterRemoval } from '../../src/plan/plan-cluster-removal.ts';
import { clearClusterSteps, clusterImage, planKubernetes } from '../../src/plan/plan-kubernetes.ts';
import { refuseEditedObjects } from '../../src/plan/refuse-cluster.ts';
import { afterPlan, emptyHost } from '../helpers/host-facts.ts';
import { targetInput } from '../helpers/target-input.ts';

const image = 'registry.example.com/team/notes:1';
const base = {
  name: 'notes',
  service: { manager: 'kubernetes' },
  container: { image, kubernetes: { autoscale: 'off' } },
} as const;
const server: ClusterObject = {
  name: 'deployment.apps/mcp-notes',
  rollout: { image, replicas: 2, ready: 2, isDone: true },
};

function factsOf(
  deployment: Omit<DeploymentInput, 'version'>,
  changes: Partial<ClusterFacts>,
  host: Partial<HostFacts>,
) {
  const input = targetInput({ version: 1, ...deployment });
  const { stateDir } = input.paths;
  const cluster: ClusterFacts = {
    cluster: clusterOf(input.deployment, stateDir, { kubectl: ['kubectl', '--context', 'test'], manifests: [] }),
    access: { state: 'ready', context: 'test', version: 'v1.30.0' },
    namespace: 'theirs',
    denied: [],
    objects: [],
    foreign: [],
    drift: [],
    trial: { state: 'taken' },
    secrets: Object.fromEntries(
      clusterSecrets(input).map(({ name, sources }) => [
        name,
        {
          state: 'ours' as const,
          keys: Object.fromEntries(sources.map(({ key }) => [key, { here: true, there: true, same: true }])),
        },
      ]),
    ),
    ...changes,
  };
  return { input, facts: emptyHost({ baseDir: '/srv/mcp', stateDir, cluster, ...host }) };
}

function planWith(
  changes: Partial<ClusterFacts> = {},
  deployment: Omit<DeploymentInput, 'version'> = base,
  host: Partial<HostFacts> = {},
) {
  const { input, facts } = factsOf(deployment, changes, host);
  const wishes = { input, adopt: false, changes: { keys: false, certificate: false } };
  return { plan: planKubernetes(wishes, facts), wishes, facts };
}

test('a first apply writes the manifests, makes the namespace, hands the keys over and rolls out, in this order', () => {
  const { plan } = planWith({
    namespace: 'absent',
    secrets: {
      'mcp-notes-keys': { state: 'absent', keys: { 'keys.json': { here: true, there: false, same: false } } },
    },
  });
  expect(plan.steps.map(({ id }) => id)).toEqual([
    'folder-kubernetes',
    'folder-kubernetes-manifests',
    'file-namespace-yaml',
    'file-manifests-serviceaccount-yaml',
    'file-manifests-configmap-yaml',
    'file-manifests-deployment-yaml',
    'file-manifests-service-yaml',
    'file-manifests-networkpolicy-yaml',
    'file-manifests-disruptionbudget-yaml',
    'make-namespace',
    'secret-mcp-notes-keys',
    'roll-out',
  ]);
  expect(plan.steps.flatMap(({ action }) => ('cluster' in action ? [action.cluster.kubectl] : []))).toEqual(
    Array.from({ length: 3 }, () => ['kubectl', '--context', 'test', '--namespace', 'mcp']),
  );
  expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
});

/** The same machine after the first apply. */
function applied(deployment: Omit<DeploymentInput, 'version'> = base): Partial<HostFacts> {
  const { plan, facts } = planWith({}, deployment);
  const whole = {
    schemaVersion: 1,
    deployment: 'notes',
    purpose: 'apply',
    release: 1,
    steps: plan.steps,
    notices: [],
  } as const;
  const { files, directories, release } = afterPlan({ ...whole, desired: null }, facts);
  return { files, directories: directories ?? [], release };
}

describe('once applied', () => {
  test('nothing is left to do', () => {
    const { plan } = planWith({ objects: [server] }, base, applied());
    expect([plan.steps, plan.notices, plan.serves]).toEqual([[], [], false]);
  });

  test.each<[string, Partial<ClusterFacts>, string]>([
    [
      'copies that are not ready',
      { objects: [{ ...server, rollout: { image, replicas: 2, ready: 1, isDone: false } }] },
      '1 of 2 copies are ready',
    ],
    ['a Deployment that is gone', { drift: [{ object: server.name, state: 'removed' }] }, 'none yet'],
    [
      'an object that is gone',
      { objects: [server], drift: [{ object: 'service/mcp-notes', state: 'removed' }] },
      'removed by hand',
    ],
    [
      'an edit by hand',
      {
        objects: [server],
        drift: [{ object: server.name, state: 'edited', fields: ['spec.replicas: 5 in place of 2'] }],
      },
      'edited by hand',
    ],
  ])('%s: rolled out again, and why', (_, changes, why) => {
    const { plan } = planWith(changes, base, applied());
    expect(plan.steps.map(({ id, why: said }) => [id, said])).toEqual([['roll-out', why]]);
    expect(plan.notices.length).toBe(changes.drift === undefined ? 0 : 1);
  });

  test('another number of copies writes one file', () => {
    const three = { ...base, container: { ...base.container, replicas: 3 } };
    const { plan } = planWith({ objects: [server] }, three, applied());
    expect(plan.steps.map(({ id }) => id)).toEqual(['file-manifests-deployment-yaml', 'roll-out']);
  });

  test('an autoscaler takes the number of copies over without a dip, and gives it back by force', () => {
    const auto = { ...base, container: { image, kubernetes: { autoscale: { max: 5 } } } };
    const there = planWith({ objects: [server] }, auto, applied()).plan;
    expect(there.steps.map(({ id }) => id)).toContain('leave-replicas');
    const back = planWith({ objects: [server] }, base, applied(auto));
    expect(back.plan.steps.find(({ id }) => id === 'roll-out')?.action).toMatchObject({ takesReplicas: true });
    expect(back.plan.steps.map(({ id }) => id)).toContain('remove-file-autoscaler-yaml');
  });

  test('what no setting asks for any more is removed after the proof', () => {
    const { wishes, facts } = planWith({ objects: [server, { name: 'ingress.networking.k8s.io/mcp-notes' }] });
    expect(clearClusterSteps(wishes, facts).map(({ action }) => action)).toMatchObject([
      { type: 'remove-objects', objects: ['ingress.networking.k8s.io/mcp-notes'] },
    ]);
  });
});

test.each<[string, Partial<ClusterFacts>, string]>([
  ['no kubectl', { access: { state: 'no-kubectl' } }, 'There is no kubectl on this machine.'],
  ['no context', { access: { state: 'no-context', wanted: null, words: '' } }, 'kubectl knows no cluster here.'],
  ['another context', { access: { state: 'no-context', wanted: 'x', words: '' } }, 'kubectl knows no context x.'],
  ['no answer', { access: { state: 'silent', context: 'x', words: '' } }, 'does not answer'],
  ['no entry', { access: { state: 'refused', context: 'x', words: '' } }, 'does not let you in'],
  ['no right', { denied: ['patch services'] }, 'You may not patch services in the namespace mcp.'],
  [
    'no namespace',
    { namespace: 'absent', denied: ['create namespaces'] },
    'There is no namespace mcp, and you may not make one.',
  ],
  ['a name that is taken', { foreign: ['service/mcp-notes'] }, 'service/mcp-notes in mcp is not ours.'],
  [
    'a conflict',
    { trial: { state: 'conflict', fields: ['.spec.replicas'] } },
    'others have set what mcp-deploy.yaml would change: .spec.replicas',
  ],
  ['a refusal', { trial: { state: 'refused', words: 'no' } }, 'The cluster does not take the manifests.'],
])('%s is refused in one sentence', (_, changes, message) => {
  expect(() => planWith(changes)).toThrow(message);
});

test('ports that may not be forwarded, and namespaces that need not be made, keep nobody from applying', () => {
  expect(planWith({ denied: ['create pods/portforward', 'create namespaces'] }).plan.serves).toBe(true);
});

test('an edit by hand keeps apply from overwriting it, and nothing else', () => {
  const { facts } = planWith({
    drift: [{ object: server.name, state: 'edited', fields: ['spec.replicas: 5 in place of 2'] }],
  });
  expect(() => refuseEditedObjects(facts, 'apply')).toThrow('was edited by hand in the cluster');
  expect(() => refuseEditedObjects(facts, 'uninstall')).not.toThrow();
});

test.each<[string, string | undefined, string | undefined, string | RegExp, boolean]>([
  ['a tag: taken as it is', 'registry.example.com/notes:1', undefined, 'registry.example.com/notes:1', false],
  [
    'no tag: built, tagged by content',
    'registry.example.com/notes',
    undefined,
    /^registry\.example\.com\/notes:[0-9a-f]{12}$/,
    true,
  ],
  ['no name', undefined, undefined, /^mcp-notes:[0-9a-f]{12}$/, true],
  ['a release that is put back', undefined, 'mcp-notes:old', 'mcp-notes:old', false],
])('%s', (_, given, wanted, name, isBuilt) => {
  const input = targetInput({ version: 1, name: 'notes', container: given === undefined ? {} : { image: given } });
  const chosen = clusterImage(input, wanted);
  expect(chosen.isBuilt).toBe(isBuilt);
  expect(chosen.name).toMatch(name);
});

test.each<[string, boolean, ClusterFacts['namespace'], readonly string[]]>([
  ['Secrets stay, and with them our namespace', false, 'ours', ['remove-objects']],
  ['all of ours goes when that is asked for', true, 'ours', ['remove-objects', 'remove-secrets', 'remove-namespace']],
  ["somebody's namespace stays", true, 'theirs', ['remove-objects', 'remove-secrets']],
])('uninstall: %s', (_, purge, namespace, ids) => {
  const { facts, input } = factsOf(base, { namespace, objects: [server, { name: 'secret/mcp-notes-keys' }] }, {});
  const { steps, notices } = planClusterRemoval(input.deployment, facts, { purge });
  expect([steps.map(({ id }) => id), notices.length]).toEqual([ids, purge ? 0 : 1]);
});

const deploymentObject = (status: object, generation = 2): LiveObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'd', generation, annotations: { 'deployment.kubernetes.io/revision': '2' } },
  spec: { replicas: 2 },
  status: { observedGeneration: 2, ...status },
});
const podObject = (waiting: object, restartCount = 0, hash = 'new'): LiveObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: `d-${hash}`, labels: { 'pod-template-hash': hash } },
  status: { containerStatuses: [{ restartCount, state: { waiting } }] },
});
const newest: LiveObject = {
  apiVersion: 'apps/v1',
  kind: 'ReplicaSet',
  metadata: {
    name: 'd-new',
    labels: { 'pod-template-hash': 'new' },
    annotations: { 'deployment.kubernetes.io/revision': '2' },
  },
};
const half = { replicas: 3, updatedReplicas: 1, availableReplicas: 2, readyReplicas: 2 };
const whole = { replicas: 2, updatedReplicas: 2, availableReplicas: 2, readyReplicas: 2 };

test.each<[string, readonly LiveObject[], string, string]>([
  ['all copies are the new one', [deploymentObject(whole)], 'done', ''],
  ['not taken up yet', [deploymentObject(whole, 3)], 'waiting', 'the cluster has not taken it up yet'],
  ['half of them', [deploymentObject(half)], 'waiting', '1 of 2 copies are the new one'],
  ['old ones end', [deploymentObject({ ...whole, replicas: 3 })], 'waiting', '1 old copy finishes its calls'],
  [
    'an image that is not there',
    [deploymentObject(half), newest, podObject({ reason: 'ImagePullBackOff' })],
    'failed',
    'ImagePullBackOff',
  ],
  [
    'the first crash',
    [deploymentObject(half), newest, podObject({ reason: 'CrashLoopBackOff' }, 1)],
    'waiting',
    '1 of 2',
  ],
  [
    'a crash again and again',
    [deploymentObject(half), newest, podObject({ reason: 'CrashLoopBackOff' }, 2)],
    'failed',
    'CrashLoop',
  ],
  [
    'an old copy that is ill',
    [deploymentObject(half), newest, podObject({ reason: 'CrashLoopBackOff' }, 9, 'old')],
    'waiting',
    '',
  ],
  [
    'no progress in time',
    [
      deploymentObject({
        ...half,
        conditions: [{ type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded' }],
      }),
    ],
    'failed',
    'ProgressDeadlineExceeded',
  ],
  [
    'a quota',
    [
      deploymentObject({
        ...half,
        conditions: [{ type: 'ReplicaFailure', status: 'True', message: 'exceeded quota' }],
      }),
    ],
    'failed',
    'exceeded quota',
  ],
  ['no Deployment', [], 'failed', 'there is no Deployment'],
])('a roll: %s', (_, objects, state, words) => {
  const judged = judgeRollout(objects);
  expect(judged.state).toBe(state);
  expect('words' in judged ? judged.words : '').toContain(words);
});

test('objects are compared in what somebody wants, and not in what the server writes', () => {
  const live: LiveObject = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'd', generation: 4, managedFields: [1], labels: { a: 'b' } },
    spec: { replicas: 5, template: { containers: [{ image: 'a' }] } },
    status: { replicas: 5 },
  };
  const wanted: LiveObject = {
    ...live,
    metadata: { name: 'd', generation: 3, labels: { a: 'b' } },
    spec: { replicas: 2, template: { containers: [{ image: 'a\nb' }] } },
    status: {},
  };
  expect([objectName(live), compareObjects(live, wanted), compareObjects(live, live)]).toEqual([
    'deployment.apps/d',
    ['spec.replicas: 5 in place of 2', 'spec.template.containers[0].image: a in place of a…'],
    [],
  ]);
});
