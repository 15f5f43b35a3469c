/** A stack of Docker Swarm and its file. */
export interface SwarmStack {
  readonly name: string;
  readonly file: string;
  /** Copies of the server. */
  readonly replicas: number;
}
