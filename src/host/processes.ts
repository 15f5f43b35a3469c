import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { basename, dirname } from 'node:path';
import { execa } from 'execa';
import { handOverSocketOf, type Processes, type Ran, type RunOptions } from '../apply/ports.ts';
import { EnvironmentError } from '../deployment/errors.ts';
import type { ReplacedServer } from '../plan/action.ts';
import { doorVariable } from '../server/systemd/handed-over.ts';
import { printableText } from './acme/printable-text.ts';
import { createFileSystem } from './files.ts';
import { explainFileError, hasCode } from './file-errors.ts';
import { runBeside } from './run-beside.ts';
import { createProcessTable, type CommandLine, type ProcessTable } from './process-table.ts';

const pollMs = 20;
/** How long a process may take to vanish after SIGKILL; only one stuck in the kernel takes longer. */
const killedMs = 5_000;
const mostServers = 5;
/** A server answers at once whether it can hand over. */
const askedMs = 10_000;

/**
 * Starts, finds and stops the bundled server. A pid alone is never trusted: a
 * process counts as our server only if it lives and `--pid-file` with our path
 * is in its command line. The same mark finds a server whose starter was
 * killed before the pid file was written.
 */
export function createProcesses(table: ProcessTable = createProcessTable()): Processes {
  const files = createFileSystem();
  let ownIdentity: string | null = null;

  async function findServer(pidFile: string): Promise<number | null> {
    const noted = parsePid(await files.read(pidFile));
    if (noted !== null) {
      const line = await table.commandLine(noted);
      if (line !== null && (isServerOf(pidFile, line) || (await isMovedServer(pidFile, line)))) return noted;
    }
    const found = await table.find((line) => isServerOf(pidFile, line));
    return found.find((pid) => pid > 1 && pid !== process.pid) ?? null;
  }

  /**
   * A server whose folder was moved while it ran still names the old place. It
   * is this folder's when our notes name its pid and nothing is left at the old
   * place: in a copied folder, the server is that of the original.
   */
  async function isMovedServer(pidFile: string, line: CommandLine): Promise<boolean> {
    const named = pidFileIn(line);
    if (named === null || named === pidFile || basename(named) !== basename(pidFile)) return false;
    return (await files.stat(dirname(dirname(named)))) === null;
  }

  return {
    self: {
      pid: process.pid,
      get identity() {
        return (ownIdentity ??= table.ownIdentity());
      },
      hostName: hostname(),
    },
    identity: (pid) => table.identity(pid),
    async serverState(pidFile) {
      const pid = await findServer(pidFile);
      return pid === null ? { state: 'stopped' } : { state: 'running', pid };
    },
    async reloadServer(pidFile) {
      const pid = await findServer(pidFile);
      if (pid !== null) signal(pid, 'SIGHUP', pid);
    },
    run: runToEnd,
    runBeside,
    variable: (name) => process.env[name] ?? null,
    startServer: (spec) => startServer(spec),
    async replaceServer(spec) {
      const before = await findServer(spec.pidFile);
      const identity = before === null ? null : await table.identity(before);
      const pid = before === null ? null : await askToHandOver(spec);
      if (before === null || identity === null || pid === null) {
        await stopServer(spec.pidFile, spec.graceMs);
        return { ...(await startServer(spec)), handedOver: false };
      }
      // Its successor begins when it has ended, however it ends.
      if (!(await isGone(table, before, identity, spec.graceMs))) {
        signal(before, 'SIGKILL', before);
        await isGone(table, before, identity, killedMs);
      }
      return { pid, handedOver: true };
    },
    stopServer,
  };

  async function stopServer(pidFile: string, graceMs: number): Promise<void> {
    // More than one only after a fault; none may stay.
    for (let round = 0; round < mostServers; round += 1) {
      const pid = await findServer(pidFile);
      if (pid === null) {
        await files.removeFile(pidFile);
        return;
      }
      await stopProcess(table, pid, graceMs);
    }
    throw new EnvironmentError('The server was stopped and is there again.', {
      why: 'Something else starts it, perhaps a service manager.',
      next: 'Stop it there, for example: systemctl stop NAME',
    });
  }
}

function isServerOf(pidFile: string, line: CommandLine): boolean {
  if ('text' in line)
    return `${line.text} `.includes(`--pid-file ${pidFile} `) || `${line.text} `.includes(`--pid-file=${pidFile} `);
  return line.args.some(
    (arg, index) => (arg === '--pid-file' && line.args[index + 1] === pidFile) || arg === `--pid-file=${pidFile}`,
  );
}

/** The path behind `--pid-file`. Where arguments come as one text (ps), a blank in it cannot be told from its end. */
function pidFileIn(line: CommandLine): string | null {
  if ('text' in line) return /--pid-file[ =](\S+)/.exec(line.text)?.[1] ?? null;
  const at = line.args.indexOf('--pid-file');
  return (at === -1 ? null : line.args[at + 1]) ?? null;
}

function parsePid(bytes: Buffer | null): number | null {
  if (bytes === null) return null;
  try {
    const { pid } = JSON.parse(bytes.toString('utf8')) as { pid?: unknown };
    // Never 1 or less: kill(-1) would mean every process.
    return typeof pid === 'number' && Number.isSafeInteger(pid) && pid > 1 ? pid : null;
  } catch {
    // Half-written by a killed server: the search by command line decides.
    return null;
  }
}

async function startServer(spec: Omit<Parameters<Processes['startServer']>[0], 'type'>): Promise<{ pid: number }> {
  const [program = '', ...args] = spec.argv;
  if (!args.some((arg, index) => arg === '--pid-file' && args[index + 1] === spec.pidFile)) {
    throw new Error('start-server without --pid-file in its argv: the server could not be found again');
  }
  const log = await open(spec.logFile, 'a', 0o600).catch((error: unknown) => {
    throw explainFileError(error, 'write', spec.logFile);
  });
  try {
    // The types of execa know descriptors 3 to 9 only; it takes any.
    const output = log.fd as 3;
    const child = execa(program, args, {
      cwd: spec.cwd,
      env: doorOf(spec.pidFile),
      detached: true,
      cleanup: false,
      buffer: false,
      reject: false,
      stdin: 'ignore',
      stdout: output,
      stderr: output,
    });
    child.unref();
    if (child.pid !== undefined) return { pid: child.pid };
    const { originalMessage } = await child;
    throw new EnvironmentError('The server could not be started.', {
      why: `${originalMessage ?? 'The system gave no reason'}.`,
      next: `Look whether these exist and may be used: ls -l ${program} ${spec.cwd}`,
    });
  } finally {
    await log.close();
  }
}

/** A path of a Unix socket has at most 103 bytes everywhere; in a deeper folder a server is stopped and started. */
function doorOf(pidFile: string): Record<string, string> {
  const path = handOverSocketOf(pidFile);
  return Buffer.byteLength(path) > 103 || process.platform === 'win32' ? {} : { [doorVariable]: path };
}

/** The number of the successor; null where the server that runs cannot hand over. */
async function askToHandOver(spec: ReplacedServer): Promise<number | null> {
  const door = doorOf(spec.pidFile)[doorVariable];
  if (door === undefined) return null;
  const env = { ...process.env, [doorVariable]: door };
  const request = JSON.stringify({ argv: spec.argv, env, cwd: spec.cwd, logFile: spec.logFile });
  const answer = await new Promise<string>((resolve) => {
    let text = '';
    const socket = connect(door, () => socket.write(`${request}\n`));
    socket.setTimeout(askedMs, () => socket.destroy());
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
  try {
    const { ok, pid } = JSON.parse(answer) as { ok?: unknown; pid?: unknown };
    return ok === true && typeof pid === 'number' ? pid : null;
  } catch {
    return null;
  }
}

async function runToEnd(argv: readonly string[], timeoutMs: number, options: RunOptions = {}): Promise<Ran> {
  const [program = '', ...args] = argv;
  const result = await execa(program, args, {
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    timeout: timeoutMs,
    forceKillAfterDelay: 2_000,
    maxBuffer: options.outputBytes ?? 100_000,
    reject: false,
  });
  const said = result.stderr.trim() || result.stdout.trim() || (result.failed ? (result.originalMessage ?? '') : '');
  return {
    exitCode: result.exitCode ?? null,
    lastWords: said
      .split('\n')
      .filter(Boolean)
      .slice(-(options.lastLines ?? 5))
      .map(printableText),
    output: result.stdout,
  };
}

async function stopProcess(table: ProcessTable, pid: number, graceMs: number): Promise<void> {
  const identity = await table.identity(pid);
  if (identity === null) return;
  signal(pid, 'SIGTERM', pid);
  if (await isGone(table, pid, identity, graceMs)) return;
  // The server leads its own process group, so its children end with it.
  signal(-pid, 'SIGKILL', pid);
  if (await isGone(table, pid, identity, killedMs)) return;
  throw new EnvironmentError(`The server (pid ${pid}) does not end.`, {
    why: 'It is stuck in the kernel, perhaps on a dead network disk; even SIGKILL did not end it.',
    next: `See: ps -o pid,stat,wchan:30,args -p ${pid}`,
  });
}

function signal(target: number, name: NodeJS.Signals, pid: number): void {
  try {
    process.kill(target, name);
  } catch (error) {
    if (hasCode(error, 'ESRCH')) {
      // A server that was not started by us may lead no group of its own.
      if (target < 0) signal(pid, name, pid);
      return;
    }
    throw new EnvironmentError(`Cannot stop the server (pid ${pid}).`, {
      why: 'It belongs to another user.',
      next: `Run the command as that user, see: ps -o user= -p ${pid}`,
      cause: error,
    });
  }
}

async function isGone(table: ProcessTable, pid: number, identity: string, withinMs: number): Promise<boolean> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    if ((await table.identity(pid)) !== identity) return true;
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
