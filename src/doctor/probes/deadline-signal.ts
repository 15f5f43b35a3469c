import { setMaxListeners } from 'node:events';

/** A signal with an end to it; released once the work is over, so that nothing is left waiting. */
export interface DeadlineSignal {
  readonly signal: AbortSignal;
  release(): void;
}

/**
 * Aborts with the reason of `outer`, or with a TimeoutError after so long. Not AbortSignal.any over
 * AbortSignal.timeout: Node 20 and 22 let go of the inner signal at the next garbage collection, and then it never fires.
 */
export function deadlineSignal(outer: AbortSignal, timeoutMs: number): DeadlineSignal {
  const control = new AbortController();
  const onAbort = (): void => control.abort(outer.reason);
  const timer = setTimeout(() => {
    control.abort(new DOMException(`no answer within ${timeoutMs} ms`, 'TimeoutError'));
  }, timeoutMs);
  // Many looks at once wait for one Ctrl-C; from the eleventh on Node would warn of a leak on the terminal.
  setMaxListeners(0, outer);
  if (outer.aborted) onAbort();
  else outer.addEventListener('abort', onAbort, { once: true });
  return {
    signal: control.signal,
    release() {
      clearTimeout(timer);
      outer.removeEventListener('abort', onAbort);
    },
  };
}
