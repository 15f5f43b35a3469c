import type { LiveObject } from './compare-objects.ts';

/** How far the copies of a Deployment are. */
export type Rollout =
  | { readonly state: 'done'; readonly ready: number }
  | { readonly state: 'waiting'; readonly words: string }
  /** It will not come about by waiting; `pod` is one of the new copies. */
  | { readonly state: 'failed'; readonly words: string; readonly pod: string | null };

/** Why a container does not start, in the words of the kubelet: what waiting does not mend. */
const hopeless: ReadonlySet<string> = new Set([
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'CreateContainerConfigError',
  'CreateContainerError',
]);
/** A server may fail once, while what it needs comes up beside it. */
const fewRestarts = 2;

/**
 * Judges a Deployment with its ReplicaSets and pods, as `kubectl rollout status` does, and sooner where pods say that it
 * cannot become ready. Source: kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status.
 */
export function judgeRollout(objects: readonly LiveObject[]): Rollout {
  const deployment: DeploymentObject | undefined = objects.find(({ kind }) => kind === 'Deployment');
  if (deployment === undefined) return { state: 'failed', words: 'there is no Deployment', pod: null };
  const { spec = {}, status = {}, metadata } = deployment;
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 0)) {
    return { state: 'waiting', words: 'the cluster has not taken it up yet' };
  }
  const wanted = spec.replicas ?? 1;
  const { updatedReplicas = 0, replicas = 0, availableReplicas = 0, readyReplicas = 0 } = status;
  if (updatedReplicas >= wanted && replicas === updatedReplicas && availableReplicas >= updatedReplicas) {
    return { state: 'done', ready: readyReplicas };
  }
  const problem = problemOf(deployment, objects);
  if (problem !== null) return problem;
  const old = replicas - updatedReplicas;
  const words =
    updatedReplicas < wanted || old <= 0
      ? `${Math.min(updatedReplicas, availableReplicas)} of ${wanted} copies are the new one`
      : `${old} old ${old === 1 ? 'copy finishes its' : 'copies finish their'} calls`;
  return { state: 'waiting', words };
}

interface DeploymentObject extends LiveObject {
  readonly spec?: { readonly replicas?: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly replicas?: number;
    readonly updatedReplicas?: number;
    readonly readyReplicas?: number;
    readonly availableReplicas?: number;
    readonly conditions?: readonly { type: string; status: string; reason?: string; message?: string }[];
  };
}

interface PodObject extends LiveObject {
  readonly status?: {
    readonly containerStatuses?: readonly {
      readonly restartCount?: number;
      readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
    }[];
  };
}

function problemOf(deployment: DeploymentObject, objects: readonly LiveObject[]): Rollout | null {
  const pods = newPods(deployment, objects);
  for (const pod of pods) {
    for (const { state, restartCount = 0 } of pod.status?.containerStatuses ?? []) {
      const { reason = '', message = '' } = state?.waiting ?? {};
      const fails = hopeless.has(reason) || (reason === 'CrashLoopBackOff' && restartCount >= fewRestarts);
      if (!fails) continue;
      return { state: 'failed', words: message === '' ? reason : `${reason}: ${message}`, pod: pod.metadata.name };
    }
  }
  const conditions = deployment.status?.conditions ?? [];
  const failed =
    conditions.find(({ type, status }) => type === 'ReplicaFailure' && status === 'True') ??
    conditions.find(({ type, reason }) => type === 'Progressing' && reason === 'ProgressDeadlineExceeded');
  if (failed === undefined) return null;
  const words = failed.message ?? failed.reason ?? failed.type;
  return { state: 'failed', words, pod: pods[0]?.metadata.name ?? null };
}

/** The pods of the newest ReplicaSet: those of before may be ill for reasons of their own. */
function newPods(deployment: DeploymentObject, objects: readonly LiveObject[]): readonly PodObject[] {
  const revision = 'deployment.kubernetes.io/revision';
  const newest = objects.find(
    ({ kind, metadata }) =>
      kind === 'ReplicaSet' && metadata.annotations?.[revision] === deployment.metadata.annotations?.[revision],
  );
  const hash = newest?.metadata.labels?.['pod-template-hash'];
  return objects.filter(
    ({ kind, metadata }) => kind === 'Pod' && hash !== undefined && metadata.labels?.['pod-template-hash'] === hash,
  );
}
