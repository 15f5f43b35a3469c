import { ExplainedError } from '../deployment/errors.ts';
import { checkServer } from './check-server.ts';
import { createLog, type Log } from './observe/log.ts';
import { removePidFile, writePidFile } from './pid-file.ts';
import { startServer } from './running-server.ts';
import { describeServe, parseServeFlags, type ServeFlags } from './serve-flags.ts';
import { followReferences, standInKeys } from './resolve-secrets.ts';
import { readConfigFile, readServeSettings } from './serve-settings.ts';
import { watchSignals, type ServeSignals } from './serve-signals.ts';
import { startStdio } from './stdio/stdio-server.ts';
import { serverVersion } from './version.ts';

/**
 * Runs the server in the foreground until a signal ends it. Prints where it listens on standard output; what goes
 * wrong goes to standard error.
 * @returns the exit code: 0 ended as asked, 2 wrong input, 3 refused to start, 70 a bug.
 */
export async function runServe(argv: string[]): Promise<number> {
  let pidFile: string | null = null;
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
    return await serve(flags, configBytes, signals);
  } catch (error) {
    if (!(error instanceof ExplainedError)) throw error;
    process.stderr.write(formatProblem(error));
    return error.exitCode;
  } finally {
    if (pidFile !== null) removePidFile(pidFile);
    signals.close();
  }
}

async function serve(
  flags: Exclude<ServeFlags, { mode: 'help' }>,
  configBytes: Buffer | null,
  signals: ServeSignals,
): Promise<number> {
  const settings = await readServeSettings(flags, configBytes, process.env);
  const log = createLog({ level: settings.config.deployment.logs.level });
  const common = { version: serverVersion, env: process.env, log };
  const { stdio } = settings;
  if (flags.check) {
    const extraKeys = [...settings.extraKeys, ...standInKeys(settings.config.deployment)];
    process.stdout.write(checkServer(settings.config, { ...common, extraKeys }, stdio));
    return 0;
  }
  const { config, ...keys } = await followReferences(settings, process.env, log);
  const options = { ...common, ...keys };
  if (stdio) {
    const server = startStdio(config, options, process.stdin, process.stdout);
    log.info('server.on-stdio', { version: serverVersion, pid: process.pid });
    return finish(await signals.untilStopped(server, log, server.inputEnded), log);
  }
  const server = await startServer(config, options);
  for (const url of server.urls) process.stdout.write(`listening ${url}\n`);
  log.info('server.listening', { urls: server.urls, version: serverVersion, pid: process.pid });
  return finish(await signals.untilStopped(server, log), log);
}

function finish(code: number, log: Log): number {
  log.info('server.stopped');
  return code;
}

function formatProblem(error: ExplainedError): string {
  const lines = [`error   ${error.message}`];
  if (error.why !== undefined) lines.push(`        ${error.why}`);
  if (error.next !== undefined) lines.push(`        ${error.next}`);
  for (const line of error.excerpt) lines.push(`  ${line}`);
  return `${lines.join('\n')}\n`;
}
