import { ExplainedError } from '../../deployment/errors.ts';
import { openLog } from '../open-log.ts';
import { openServerTraces, sayWhatNeedsRestart } from '../open-server-traces.ts';
import { startServer, type RunningServer } from '../running-server.ts';
import { formatProblem } from '../format-problem.ts';
import { parseServeFlags } from '../serve-flags.ts';
import { followReferences } from '../resolve-secrets.ts';
import { readConfigFile, readServeSettings } from '../serve-settings.ts';
import { watchSignals } from '../serve-signals.ts';
import { serverVersion } from '../version.ts';
import type { FromWorker, StartMessage, ToWorker } from './messages.ts';
import { createWorkerSide, type WorkerSide } from './worker-side.ts';
import { leaveWorkersFolder } from './workers-folder.ts';

/**
 * One worker: the whole server, but connections come from the primary. Ends when it is told to, or when the primary is
 * gone: then it finishes its calls first.
 * @returns the exit code: 0 ended as asked, 70 a bug, else what the primary is told with the reason.
 */
export async function runWorker(): Promise<number> {
  const signals = watchSignals();
  const send = (message: FromWorker): void => {
    if (process.connected) process.send?.(message);
  };
  let endNow = (): void => {};
  let server: RunningServer | null = null;
  const ended = new Promise<void>((resolve) => {
    endNow = resolve;
  });
  let side: WorkerSide | null = null;
  let reloads = 0;
  let folder: string | null = null;
  let isAlone = false;
  const gone = (): void => {
    isAlone = true;
    endNow();
  };
  process.on('disconnect', gone);
  const started = new Promise<StartMessage>((resolve) => {
    process.on('message', (message: ToWorker, socket: unknown) => {
      if (message.kind === 'start') resolve(message);
      else if (message.kind === 'beat') send({ kind: 'beat' });
      else if (message.kind === 'drain') endNow();
      else if (message.kind === 'reload') void reload();
      else if (message.kind === 'stop-now') {
        endNow();
        void server?.stopNow();
      } else side?.take(message, socket);
    });
  });
  try {
    const start = await started;
    folder = start.folder;
    const flags = parseServeFlags([...start.argv], process.env);
    if (flags.mode === 'help') return 0;
    const bytes = start.config === null ? null : Buffer.from(start.config);
    const settings = await readServeSettings(flags, bytes, process.env);
    const root = openLog(settings.config.deployment.logs, process.env).log;
    const log = root.child({ worker: start.slot });
    const { config, ...keys } = await followReferences(settings, process.env, log);
    side = createWorkerSide(start, send);
    const traces = await openServerTraces(config, process.env, log);
    const running = await startServer(config, {
      traces,
      version: serverVersion,
      env: process.env,
      log,
      ...keys,
      async readAgain() {
        const again = flags.mode === 'config' ? readConfigFile(flags.configFile) : null;
        return followReferences(await readServeSettings(flags, again, process.env), process.env, log);
      },
      onReloaded(next) {
        reloads++;
        root.useLevel(next.deployment.logs.level);
        sayWhatNeedsRestart(config, next, log);
      },
      siblings: side.siblings,
      open: side.open,
      openPages: side.openPages,
    });
    server = running;
    send({ kind: 'ready' });
    log.info('worker.ready', { pid: process.pid });
    return await signals.untilStopped(
      {
        reload: () => running.reload(),
        drain() {
          send({ kind: 'leaving' });
          return running.drain();
        },
        stopNow: () => running.stopNow(),
      },
      log,
      ended,
    );
  } catch (error) {
    if (!(error instanceof ExplainedError)) throw error;
    send({ kind: 'refused', text: formatProblem(error), exitCode: error.exitCode });
    return error.exitCode;
  } finally {
    signals.close();
    process.off('disconnect', gone);
    process.removeAllListeners('message');
    // The channel would keep the process alive.
    if (process.connected) process.disconnect();
    if (isAlone && folder !== null) leaveWorkersFolder(folder);
  }

  async function reload(): Promise<void> {
    const before = reloads;
    await server?.reload();
    send({ kind: 'reloaded', accepted: reloads > before });
  }
}
