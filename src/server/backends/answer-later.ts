import type { CancelCall } from '../types.ts';

const settled = Promise.resolve();

/**
 * Answers a call when its caller has returned, since nothing is answered inside `forward`; not when it is taken back
 * before. By a promise and not by queueMicrotask, which makes an async resource for every call of it.
 */
export function answerLater(answer: () => void): CancelCall {
  let cancelled = false;
  const answerNow = (): void => {
    if (!cancelled) answer();
  };
  void settled.then(answerNow);
  return () => {
    cancelled = true;
  };
}
