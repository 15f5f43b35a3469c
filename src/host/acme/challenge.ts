/** What a challenge needs to be answered. */
export interface ChallengeTask {
  /** The DNS name (without `*.`) or the IP address. */
  readonly name: string;
  readonly kind: 'dns' | 'ip';
  readonly token: string;
  /** Token and thumbprint of the account key (RFC 8555, 8.1). */
  readonly keyAuthorization: string;
}

/** Answers challenges of one kind for the time of an order. */
export interface ChallengeSolver {
  /** The answer stands when this resolves. @throws EnvironmentError when it cannot be given here. */
  present(task: ChallengeTask): Promise<void>;
  /** Takes everything away again, also what a failed `present` left. Never throws; what stays is returned, one line each. */
  close(): Promise<readonly string[]>;
}
