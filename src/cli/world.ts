import type { Readable, Writable } from 'node:stream';
import { interruptSignals } from './platform-support.ts';

/**
 * What the command line takes from the process it runs in. Tests pass their
 * own; bin/ lets the real one be taken.
 */
export interface World {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly platform: NodeJS.Platform;
  /** Calls the listener on SIGINT, SIGTERM, SIGHUP and what else ends a command here; returns how to stop listening. */
  onInterrupt(listener: (signal: NodeJS.Signals) => void): () => void;
}

/** The process itself. */
export function realWorld(): World {
  // Progress that nobody reads any more must not end a change in the middle: it goes on, or undoes, and says so in its journal.
  process.stderr.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
    platform: process.platform,
    onInterrupt(listener) {
      const signals = interruptSignals(process.platform);
      for (const signal of signals) process.on(signal, listener);
      return () => {
        for (const signal of signals) process.off(signal, listener);
      };
    },
  };
}
