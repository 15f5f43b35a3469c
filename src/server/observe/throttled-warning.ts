import type { Log } from './log.ts';

/** Logs an event at most once a second, with how many there were since the line before: a flood must not become one of lines. */
export function throttledWarning(log: Log, event: string): (details: Readonly<Record<string, unknown>>) => void {
  let since = 0;
  let nextMs = 0;
  return (details) => {
    since++;
    const now = performance.now();
    if (now < nextMs) return;
    log.warn(event, { ...details, sinceLastLine: since });
    since = 0;
    nextMs = now + 1_000;
  };
}
