import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { EnvironmentError, ExplainedError, UserError } from '../deployment/errors.ts';
import { deploymentSchema, listenAddress } from '../deployment/schema.ts';
import { createLog } from './observe/log.ts';
import { removePidFile, writePidFile } from './pid-file.ts';
import { startServer } from './running-server.ts';
import { parseServerConfig, type ServerConfig } from './server-config.ts';
import { parseServeFlags, serveHelp, type ServeFlags } from './serve-flags.ts';
import { watchSignals, type ServeSignals } from './serve-signals.ts';
import type { ExtraKey } from './startup-checks.ts';
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
    const flags = parseServeFlags(argv);
    if (flags.mode === 'help') {
      process.stdout.write(serveHelp);
      return 0;
    }
    const configBytes = flags.mode === 'config' ? readConfigFile(flags.configFile) : null;
    if (flags.pidFile !== null) {
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
  const config =
    flags.mode === 'config'
      ? await parseServerConfig(configBytes?.toString('utf8') ?? '', flags.configFile)
      : configFromFlags(flags);
  const log = createLog({ level: config.deployment.logs.level });
  const extraKeys = [
    ...(flags.mode === 'flags' && flags.keyFile !== null ? readKeyFile(flags.keyFile) : []),
    ...keysFromEnvironment(process.env),
  ];
  const server = await startServer(config, { version: serverVersion, env: process.env, log, extraKeys });
  for (const url of server.urls) process.stdout.write(`listening ${url}\n`);
  log.info('server.listening', { urls: server.urls, version: serverVersion, pid: process.pid });
  const code = await signals.untilStopped(server, log);
  log.info('server.stopped');
  return code;
}

function readConfigFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new UserError(`${file} cannot be read`, {
      why: code === 'ENOENT' ? 'There is no such file.' : error instanceof Error ? error.message : String(error),
      next: 'Give the deployment file, or the server.json that mcp-deploy apply writes.',
    });
  }
}

function configFromFlags(flags: Extract<ServeFlags, { mode: 'flags' }>): ServerConfig {
  for (const address of flags.listen) {
    const judged = listenAddress.safeParse(address);
    if (!judged.success)
      throw new UserError(`--listen ${address} is no address`, { next: String(judged.error.issues[0]?.message) });
  }
  const [command, ...args] = flags.command;
  const parsed = deploymentSchema.safeParse({
    version: 1,
    server: {
      listen: flags.listen,
      path: flags.path,
      ...(command === undefined ? {} : { upstreams: { main: { command, args } } }),
    },
    tls: flags.tls === null ? { source: 'off' } : { source: 'files', ...absoluteTls(flags.tls) },
    auth: { required: !flags.noAuth },
  });
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UserError(`The flags do not fit: ${issue?.path.join('.')}`, { why: issue?.message ?? 'unknown' });
  }
  return { deployment: parsed.data, baseDir: process.cwd(), keyStoreFile: null };
}

function absoluteTls(tls: { certificate: string; key: string }): { certificate: string; key: string } {
  return { certificate: resolve(tls.certificate), key: resolve(tls.key) };
}

/** Keys, one a line; empty lines and lines that start with # are left out. */
function readKeyFile(file: string): ExtraKey[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new EnvironmentError(`The key file ${file} cannot be read`, {
      why: error instanceof Error ? error.message : String(error),
      cause: error,
    });
  }
  const keys = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.length === 0) throw new UserError(`The key file ${file} is empty`, { next: 'Put one key on each line.' });
  return keys.map((key) => ({ label: basename(file), key }));
}

function keysFromEnvironment(env: NodeJS.ProcessEnv): ExtraKey[] {
  const several = (env['MCP_API_KEYS'] ?? '').split(',').map((key) => ({ label: 'MCP_API_KEYS', key: key.trim() }));
  return [{ label: 'MCP_API_KEY', key: env['MCP_API_KEY'] ?? '' }, ...several].filter(({ key }) => key !== '');
}

function formatProblem(error: ExplainedError): string {
  const lines = [`error   ${error.message}`];
  if (error.why !== undefined) lines.push(`        ${error.why}`);
  if (error.next !== undefined) lines.push(`        ${error.next}`);
  for (const line of error.excerpt) lines.push(`  ${line}`);
  return `${lines.join('\n')}\n`;
}
