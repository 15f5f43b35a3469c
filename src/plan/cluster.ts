/** A cluster, and what of a deployment is in it. */
export interface Cluster {
  /** kubectl and the flags that lead to this cluster and namespace, whatever is current later. */
  readonly kubectl: readonly string[];
  readonly namespace: string;
  /** Name of the Deployment and its Service, and value of the label app.kubernetes.io/instance. */
  readonly app: string;
  /** Folder of the manifests that apply writes. */
  readonly folder: string;
  /** Resources that objects of ours may be of, such as `deployments.apps`. */
  readonly resources: readonly string[];
}

/** What a Secret is made from; values are read when it is handed over, and stand in no plan. */
export interface ClusterSecret {
  readonly name: string;
  readonly sources: readonly SecretSource[];
}

export type SecretSource =
  | { readonly key: string; readonly file: string }
  /** Of the environment of the command that applies; one that is not set stays as it is in the cluster. */
  | { readonly key: string; readonly variable: string };
