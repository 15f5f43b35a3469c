/** Time-outs of the looks, milliseconds. */
export interface Patience {
  readonly nameMs: number;
  readonly connectMs: number;
  readonly tlsMs: number;
  readonly answerMs: number;
  readonly lookMs: number;
  readonly streamHeadMs: number;
  /** How long a stream is watched once it is open. */
  readonly streamWatchMs: number;
  /** How long a stream is watched that nothing is asked of; 0: not at all. */
  readonly idleWatchMs: number;
}

export const usualPatience: Patience = {
  nameMs: 5_000,
  connectMs: 5_000,
  tlsMs: 8_000,
  answerMs: 10_000,
  lookMs: 20_000,
  streamHeadMs: 4_000,
  streamWatchMs: 300,
  idleWatchMs: 0,
};

/** `--deep`: longer than the 60 s after which proxies cut by themselves, and than three keep-alive comments. */
export const deepIdleWatchMs = 90_000;
