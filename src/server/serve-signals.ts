import type { Log } from './observe/log.ts';
import type { RunningServer } from './running-server.ts';

type Stoppable = Pick<RunningServer, 'drain' | 'stopNow'> & { reload(): unknown };

/** Signals and bugs from the moment on that the process began to serve: one that comes early is not lost. */
export interface ServeSignals {
  /**
   * Serves until a signal: SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads. The end of the input
   * (`ended`) drains too.
   * @returns the exit code: 0, or 70 after a bug.
   */
  untilStopped(server: Stoppable, log: Log, ended?: Promise<void>): Promise<number>;
  /** As SIGHUP does. */
  reload(): void;
  /** Leaves signals to their defaults again. */
  close(): void;
}

type Event = { readonly kind: 'stop' | 'reload' } | { readonly kind: 'bug'; readonly error: unknown };

/** Which signals end a server and which make it read its configuration again. Windows sends SIGHUP when its window is closed. */
export function signalMeanings(platform: NodeJS.Platform): {
  readonly stop: readonly NodeJS.Signals[];
  readonly reload: readonly NodeJS.Signals[];
} {
  return platform === 'win32'
    ? { stop: ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGBREAK'], reload: [] }
    : { stop: ['SIGTERM', 'SIGINT'], reload: ['SIGHUP'] };
}

export function watchSignals(): ServeSignals {
  const early: Event[] = [];
  let take = (event: Event): void => void early.push(event);
  const onStop = (): void => take({ kind: 'stop' });
  const onReload = (): void => take({ kind: 'reload' });
  const onBug = (error: unknown): void => take({ kind: 'bug', error });
  const { stop, reload } = signalMeanings(process.platform);
  for (const signal of stop) process.on(signal, onStop);
  for (const signal of reload) process.on(signal, onReload);

  return {
    async untilStopped(server, log, ended) {
      // A bug while serving: nobody knows what state we are in, so the service manager gets a fresh process.
      process.on('uncaughtException', onBug).on('unhandledRejection', onBug);
      const asked = await new Promise<Event>((resolve) => {
        take = (event) => {
          if (event.kind === 'reload') {
            log.info('server.reloading');
            void server.reload();
          } else {
            resolve(event);
          }
        };
        for (const event of early) take(event);
        void ended?.then(() => resolve({ kind: 'stop' }));
      });
      take = (event) => {
        log.info('server.stopping-now', event.kind === 'bug' ? { error: event.error } : {});
        if (event.kind !== 'reload') void server.stopNow();
      };
      if (asked.kind === 'bug') {
        log.error('server.bug', { error: asked.error });
        await server.stopNow();
        return 70;
      }
      log.info('server.draining');
      await server.drain();
      return 0;
    },
    reload: onReload,
    close() {
      for (const signal of stop) process.off(signal, onStop);
      for (const signal of reload) process.off(signal, onReload);
      process.off('uncaughtException', onBug).off('unhandledRejection', onBug);
    },
  };
}
