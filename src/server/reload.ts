import { EnvironmentError, ExplainedError } from '../deployment/errors.ts';
import { tellingWords } from '../deployment/telling-words.ts';
import type { Gateway } from './gateway.ts';
import type { Log } from './observe/log.ts';
import type { ServerConfig } from './server-config.ts';
import type { ExtraKey } from './startup-checks.ts';
import type { Backend } from './types.ts';

/** A configuration with the keys from outside of its key file. */
export interface ConfigWithKeys {
  readonly config: ServerConfig;
  readonly extraKeys: readonly ExtraKey[];
  /** Reads `extraKeys` anew, where some are kept in a secret store. */
  readonly readKeys?: (() => Promise<readonly ExtraKey[]>) | undefined;
}

/**
 * The reload of a server: reads, takes over, and says how it went in log, metrics and status. Never rejects. One runs
 * at a time; what is asked for meanwhile runs once more after it, however often it was asked.
 */
export function createReload(
  gateway: Pick<Gateway, 'noteReload'>,
  log: Log,
  read: () => Promise<ConfigWithKeys>,
  takeOver: (next: ConfigWithKeys) => Promise<void>,
): () => Promise<void> {
  return oneAtATime(async () => {
    try {
      await takeOver(await read());
      gateway.noteReload(null);
      log.info('config.reloaded');
    } catch (error) {
      gateway.noteReload(describeRefusal(error));
      logRefusal(log, error);
    }
  });
}

/**
 * Starts backends and waits until each can be called.
 * @param isGivenUp asked often: the server stops meanwhile
 * @throws EnvironmentError that names the first that cannot be called; all of them are ended then.
 */
export async function startAll(backends: readonly Backend[], isGivenUp: () => boolean): Promise<void> {
  for (const backend of backends) backend.start();
  try {
    for (const backend of backends) {
      // A backend that takes too long says so itself: it is down then.
      while (backend.state.state === 'starting' && !isGivenUp()) await nap(20);
      const { state } = backend;
      if (state.state === 'up') continue;
      const why = 'reason' in state ? [state.reason, ...tellingWords(state.lastWords)].join('\n') : 'The server stops.';
      throw new EnvironmentError(`The upstream "${backend.name}" cannot be called`, { why });
    }
  } catch (error) {
    await Promise.all(backends.map((backend) => backend.stop(0)));
    throw error;
  }
}

/** Ends backends once they have answered what they have, at the latest after `withinMs`. */
export async function retireAll(
  backends: readonly Backend[],
  withinMs: number,
  graceMs: number,
  isGivenUp: () => boolean,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  const retire = async (backend: Backend): Promise<void> => {
    while (backend.inFlight > 0 && performance.now() < deadline && !isGivenUp()) await nap(20);
    await backend.stop(graceMs);
  };
  await Promise.all(backends.map(retire));
}

/** A problem in one text, for /status. */
function describeRefusal(error: unknown): string {
  if (!(error instanceof ExplainedError)) return error instanceof Error ? error.message : String(error);
  return [error.message, error.why, ...error.excerpt].filter((part) => part !== undefined && part !== '').join('\n');
}

/** Says what was refused, in the words of the error and with the lines of the file. */
function logRefusal(log: Log, error: unknown): void {
  const explained = error instanceof ExplainedError;
  log.error('config.refused', {
    problem: explained ? error.message : String(error),
    ...(explained ? { why: error.why, next: error.next } : { error }),
    ...(explained && error.excerpt.length > 0 ? { where: error.excerpt.join('\n') } : {}),
    consequence: 'the configuration read before stays in force',
  });
}

function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  const run = (): Promise<void> => {
    running = work().finally(() => {
      running = null;
    });
    return running;
  };
  return () => {
    if (running === null) return run();
    next ??= running.then(() => {
      next = null;
      return run();
    });
    return next;
  };
}

function nap(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
