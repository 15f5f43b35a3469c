import type { Cluster } from './cluster.ts';

/** What is seen of a cluster, and of a deployment in it. */
export interface ClusterFacts {
  readonly cluster: Cluster;
  readonly access: ClusterAccess;
  /** `hidden` where it may not be asked for. */
  readonly namespace: 'ours' | 'theirs' | 'absent' | 'hidden';
  /** What may not be done, as `kubectl auth can-i` is asked: `patch deployments.apps`. */
  readonly denied: readonly string[];
  /** Objects with our label. */
  readonly objects: readonly ClusterObject[];
  /** Objects that have a name that is wanted, and not our label: `service/notes`. */
  readonly foreign: readonly string[];
  /** How objects differ from the manifests that were written last. */
  readonly drift: readonly ObjectDrift[];
  /** What the server says to the wanted manifests, without taking them. */
  readonly trial: ManifestTrial;
  /** Of each Secret that is wanted. */
  readonly secrets: Readonly<Record<string, SecretFact>>;
}

/** Whether a cluster is reached; otherwise why not. */
export type ClusterAccess =
  | { readonly state: 'ready'; readonly context: string; readonly version: string }
  | { readonly state: 'no-kubectl' }
  | { readonly state: 'no-context'; readonly wanted: string | null; readonly words: string }
  | { readonly state: 'silent'; readonly context: string; readonly words: string }
  | { readonly state: 'refused'; readonly context: string; readonly words: string };

export interface ClusterObject {
  /** As kubectl names it: `deployment.apps/notes`. */
  readonly name: string;
  /** Of a Deployment. */
  readonly rollout?: {
    readonly image: string;
    readonly replicas: number;
    readonly ready: number;
    readonly isDone: boolean;
  };
}

export type ObjectDrift =
  | { readonly object: string; readonly state: 'removed' }
  | { readonly object: string; readonly state: 'edited'; readonly fields: readonly string[] };

export type ManifestTrial =
  | { readonly state: 'taken' }
  /** There is nothing to try, or no namespace to try it in. */
  | { readonly state: 'not-tried' }
  /** Fields belong to other managers. */
  | { readonly state: 'conflict'; readonly fields: readonly string[] }
  | { readonly state: 'refused'; readonly words: string };

export interface SecretFact {
  readonly state: 'ours' | 'theirs' | 'absent';
  /** By key: whether its source is here, whether the cluster has it, and whether both are the same. */
  readonly keys: Readonly<Record<string, { readonly here: boolean; readonly there: boolean; readonly same: boolean }>>;
}
