import type { Log as ServerLog } from '../observe/log.ts';

/** What the backends need of the server's log. */
export type Log = Pick<ServerLog, 'debug' | 'info' | 'warn' | 'error'>;

/** Reason of a failure as text, for log fields. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
