import { availableParallelism } from 'node:os';
import { ExplainedError, UserError } from '../deployment/errors.ts';
import type { Deployment } from '../deployment/schema.ts';
import { checkServer } from './check-server.ts';
import { formatProblem } from './format-problem.ts';
import { openHandOverDoor } from './hand-over-door.ts';
import { createLog } from './observe/log.ts';
import { openLog, type OpenedLog } from './open-log.ts';
import { openServerTraces, sayWhatNeedsRestart } from './open-server-traces.ts';
import { removePidFile, writePidFile } from './pid-file.ts';
import { startServer } from './running-server.ts';
import type { ServerConfig } from './server-config.ts';
import { describeServe, parseServeFlags, type ServeFlags } from './serve-flags.ts';
import { followReferences, standInKeys } from './resolve-secrets.ts';
import { readConfigFile, readServeSettings } from './serve-settings.ts';
import { watchSignals, type ServeSignals } from './serve-signals.ts';
import { startStdio } from './stdio/stdio-server.ts';
import { awaitPredecessor, doorVariable } from './systemd/handed-over.ts';
import type { InheritedPlace } from './systemd/inherited-places.ts';
import { openInheritedSockets } from './systemd/inherited-sockets.ts';
import { createServiceManager, tellServiceManager, type ServiceManager } from './systemd/service-manager.ts';
import { serverVersion } from './version.ts';
import { watchFile } from './watch-file.ts';
import { runPrimary } from './workers/run-primary.ts';
import { runWorker } from './workers/run-worker.ts';
import { workerArgument } from './workers/worker-argument.ts';

/**
 * Runs the server in the foreground until a signal ends it. Prints where it listens on standard output; what goes
 * wrong goes to standard error.
 * @returns the exit code: 0 ended as asked, 2 wrong input, 3 refused to start, 70 a bug.
 */
export async function runServe(argv: string[]): Promise<number> {
  if (argv[0] === workerArgument && process.send !== undefined) return runWorker();
  const handedOver = await awaitPredecessor(process.env);
  let pidFile: string | null = null;
  let endWatch = (): void => {};
  const signals = watchSignals();
  try {
    const flags = parseServeFlags(argv, process.env);
    if (flags.mode === 'help') {
      process.stdout.write(describeServe());
      return 0;
    }
    const configBytes = flags.mode === 'config' ? readConfigFile(flags.configFile) : null;
    if (flags.pidFile !== null && !flags.check) {
      writePidFile(flags.pidFile, serverVersion, configBytes);
      pidFile = flags.pidFile;
    }
    if (flags.mode === 'config' && flags.watch && !flags.check)
      endWatch = watchFile(flags.configFile, () => signals.reload());
    return await serve(argv, flags, configBytes, signals, handedOver);
  } catch (error) {
    if (!(error instanceof ExplainedError)) throw error;
    process.stderr.write(formatProblem(error));
    return error.exitCode;
  } finally {
    if (pidFile !== null) removePidFile(pidFile);
    endWatch();
    signals.close();
  }
}

async function serve(
  argv: readonly string[],
  flags: Exclude<ServeFlags, { mode: 'help' }>,
  configBytes: Buffer | null,
  signals: ServeSignals,
  handedOver: readonly InheritedPlace[] | null,
): Promise<number> {
  const doorPath = process.env[doorVariable];
  delete process.env[doorVariable];
  const settings = await readServeSettings(flags, configBytes, process.env);
  const { logs } = settings.config.deployment;
  // A check leaves nothing behind.
  const opened = flags.check ? { log: createLog({ level: logs.level }), settle: null } : openLog(logs, process.env);
  const { log } = opened;
  const common = { version: serverVersion, env: process.env, log };
  const { stdio } = settings;
  if (flags.check) {
    const extraKeys = [...settings.extraKeys, ...standInKeys(settings.config.deployment)];
    process.stdout.write(checkServer(settings.config, { ...common, extraKeys }, stdio));
    const wanted = countWorkers(flags, settings.config.deployment);
    if (wanted > 1 && !stdio)
      process.stdout.write(`    ${wanted} workers share the work; each starts its own upstreams\n`);
    return 0;
  }
  const { config, ...keys } = await followReferences(settings, process.env, log);
  let readBytes = configBytes;
  const options = {
    ...common,
    ...keys,
    async readAgain() {
      if (flags.mode === 'flags') {
        log.info('config.only-keys-and-certificates', {
          why: 'flags and environment of a running process do not change; a server with --config reads its file again',
        });
      }
      readBytes = flags.mode === 'config' ? readConfigFile(flags.configFile) : null;
      return followReferences(await readServeSettings(flags, readBytes, process.env), process.env, log);
    },
    onReloaded(next: ServerConfig) {
      log.useLevel(next.deployment.logs.level);
      sayWhatNeedsRestart(config, next, log);
      if (flags.pidFile === null) return;
      try {
        writePidFile(flags.pidFile, serverVersion, readBytes);
      } catch (error) {
        log.warn('pid-file.not-written', { file: flags.pidFile, error });
      }
    },
  };
  if (stdio) {
    const traces = await openServerTraces(config, process.env, log);
    const server = startStdio(config, { ...options, traces }, process.stdin, process.stdout);
    log.info('server.on-stdio', { version: serverVersion, pid: process.pid });
    return finish(await signals.untilStopped(server, log, server.inputEnded), opened);
  }
  const workers = countWorkers(flags, config.deployment);
  const serviceManager = createServiceManager(process.env, log);
  const inherited = openInheritedSockets(process.env, handedOver);
  if (workers > 1) {
    const primary = { argv, flags, configBytes, config, options, workers, signals, inherited, serviceManager };
    return finish(await runPrimary(primary), opened, serviceManager);
  }
  const traces = await openServerTraces(config, process.env, log);
  const server = await startServer(config, { ...options, traces, inherited });
  inherited?.warnOfUnused(log);
  for (const url of server.urls) process.stdout.write(`listening ${url}\n`);
  log.info('server.listening', {
    urls: server.urls,
    pages: server.pageOrigins,
    version: serverVersion,
    pid: process.pid,
  });
  const describe = (): string => `Serving on ${server.urls.join(', ')}`;
  serviceManager.ready(describe());
  serviceManager.beatWhile(() => true);
  const told = tellServiceManager(server, serviceManager, describe);
  const door = doorPath === undefined ? null : openHandOverDoor(doorPath, log);
  const left = door?.left.then(() => server.leaveToSuccessor());
  const code = await signals.untilStopped(told, log, left);
  door?.close();
  return finish(code, opened, serviceManager);
}

/**
 * How many processes are to share the work; `auto`: as many as there are cores for this process.
 * @throws UserError with certificates of clients, which a call that is passed on does not carry.
 */
function countWorkers(flags: Exclude<ServeFlags, { mode: 'help' }>, { server, auth }: Deployment): number {
  const wanted = flags.workers ?? server.workers;
  const count = wanted === 'auto' ? availableParallelism() : wanted;
  if (count > 1 && auth.mtls !== undefined) {
    throw new UserError('Several workers do not go with auth.mtls', {
      why: 'A call that one worker passes on to another comes without the certificate of the client.',
      next: 'Run one worker, or let a proxy in front ask for certificates.',
    });
  }
  return count;
}

async function finish(code: number, { log, settle }: OpenedLog, serviceManager?: ServiceManager): Promise<number> {
  log.info('server.stopped');
  await serviceManager?.close();
  await settle?.();
  return code;
}
