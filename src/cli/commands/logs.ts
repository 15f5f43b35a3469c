import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describeLogLine } from '../../apply/log-lines.ts';
import { UserError } from '../../deployment/errors.ts';
import { explainFileError } from '../../host/file-errors.ts';
import type { Deployment } from '../../deployment/schema.ts';
import { streamLines } from '../../host/stream-lines.ts';
import { readAppliedDeployment } from '../applied-deployment.ts';
import { clusterFlags, isInCluster } from '../cluster-options.ts';
import { isInContainers } from '../render-containers.ts';
import { readServerState } from '../server-state.ts';
import type { CommandContext } from '../context.ts';
import { readDeployment } from '../deployment-folder.ts';
import { deploymentPaths } from '../../plan/deployment-paths.ts';

/** How much of the end of the log is read at most: logs may be gigabytes. */
const tailBytes = 4 * 1024 * 1024;
const pollMs = 200;

/**
 * `mcp-deploy logs [-f] [-n N]`: the server log, readable. With --json one document that holds the lines, or, with
 * --follow, each line as it is: a stream has no end to close a document at.
 */
export async function runLogs(context: CommandContext, options: Record<string, unknown>): Promise<number> {
  const lines = Number(options['lines']);
  if (!Number.isInteger(lines) || lines < 0) {
    throw new UserError(`--lines ${String(options['lines'])} is not a number of lines.`, {
      next: 'mcp-deploy logs --lines 100',
    });
  }
  const write = (line: string): void => context.output.raw(`${context.output.json ? line : describeLogLine(line)}\n`);
  const following = options['follow'] === true;
  const applied = await readAppliedDeployment(context).catch(() => null);
  if (applied !== null && isInContainers(applied)) {
    return logsOfContainer(context, applied, { lines, following, write });
  }
  const logFile = await logFileOf(context);
  const size = (await context.ports.files.stat(logFile))?.size ?? null;
  if (size === null) {
    throw new UserError(`There is no log yet: ${logFile} does not exist.`, { next: 'mcp-deploy up' });
  }
  const start = Math.max(0, size - tailBytes);
  const tail = (await readFrom(logFile, start, size)).split('\n');
  const rest = tail.pop() ?? '';
  // A start in the middle of the file is most likely in the middle of a line.
  if (start > 0) tail.shift();
  const shown = lines === 0 ? [] : [...tail, ...(following || rest === '' ? [] : [rest])].slice(-lines);
  if (!following) context.output.document({ ok: true, file: logFile, lines: shown });
  if (following || !context.output.json) for (const line of shown) write(line);
  if (!following) return 0;
  await follow(context, { logFile, from: size - Buffer.byteLength(rest), write });
  return 0;
}

/** The engine keeps what a container says. */
async function logsOfContainer(
  context: CommandContext,
  applied: Deployment,
  { lines, following, write }: { lines: number; following: boolean; write: (line: string) => void },
): Promise<number> {
  const server = await readServerState(context, applied);
  if (!('container' in server)) {
    throw new UserError('No container of the server runs here.', { next: 'mcp-deploy start' });
  }
  const logs = applied.service.manager === 'swarm' ? ['docker', 'service', 'logs', '--raw'] : ['docker', 'logs'];
  const program = isInCluster(applied) ? [...clusterFlags(context, applied), 'logs'] : logs;
  const argv = [...program, '--tail', String(lines), ...(following ? ['--follow'] : []), server.container];
  const shown: string[] = [];
  const onLine = following || !context.output.json ? write : (line: string): void => void shown.push(line);
  await streamLines(argv, { signal: context.signal, onLine });
  if (!following) context.output.document({ ok: true, container: server.container, lines: shown });
  return 0;
}

/** A deployment file with a mistake must not hide the log that says why. */
async function logFileOf(context: CommandContext): Promise<string> {
  const loaded = await readDeployment(context).catch(() => null);
  const file = loaded?.deployment.logs.file;
  return file === undefined ? deploymentPaths(context.stateDir).logFile : resolve(context.baseDir, file);
}

/** Until interrupted, which is the ordinary end of `logs -f` and no failure. A file made smaller or anew is read from its start. */
async function follow(
  context: CommandContext,
  tail: { logFile: string; from: number; write: (line: string) => void },
): Promise<void> {
  let { from } = tail;
  let pending = '';
  while (!context.signal.aborted) {
    const size = (await sizeOf(tail.logFile)) ?? 0;
    if (size < from) from = 0;
    if (size > from) {
      const end = Math.min(size, from + tailBytes);
      const pieces = (pending + (await readFrom(tail.logFile, from, end))).split('\n');
      pending = pieces.pop() ?? '';
      for (const line of pieces) tail.write(line);
      from = end;
    } else {
      await context.ports.clock.sleep(pollMs, context.signal).catch(() => {});
    }
  }
}

async function sizeOf(file: string): Promise<number | null> {
  return stat(file).then(
    (found) => found.size,
    () => null,
  );
}

async function readFrom(file: string, start: number, end: number): Promise<string> {
  try {
    const handle = await open(file, 'r');
    try {
      const buffer = Buffer.alloc(end - start);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, start);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw explainFileError(error, 'read', file);
  }
}
