import { spawn } from 'node:child_process';
import { closeSync, openSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { listeningPlaces } from './http/listening-places.ts';
import type { Log } from './observe/log.ts';
import { successorVariable } from './systemd/handed-over.ts';

/** Where the command line of the same user asks this server to leave its place to another one. */
export interface HandOverDoor {
  /** Resolves when a successor waits for the end of this process. */
  readonly left: Promise<void>;
  close(): void;
}

const mostRequestBytes = 4_000_000;
const askWithinMs = 10_000;

interface Request {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly logFile: string;
}

/**
 * Opens the door. Who asks names the program that comes next: it is started with the listening sockets of this process and waits
 * until this process has ended; what connects meanwhile waits in the sockets, and nobody is refused. The folder of the socket
 * belongs to the user of the server alone; whoever may enter it could end this process as well.
 */
export function openHandOverDoor(path: string, log: Log): HandOverDoor {
  let leave = (): void => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  let isLeaving = false;
  async function leaveTo(request: Request, socket: Socket): Promise<void> {
    try {
      const pid = await startSuccessor(request);
      log.info('server.hand-over', { successor: pid });
      answer(socket, { ok: true, pid });
      leave();
    } catch (error) {
      isLeaving = false;
      answer(socket, { ok: false, why: error instanceof Error ? error.message : String(error) });
    }
  }
  const door = createServer((socket) => {
    socket.on('error', () => {});
    socket.setTimeout(askWithinMs, () => socket.destroy());
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.length > mostRequestBytes) socket.destroy();
      const end = text.indexOf('\n');
      if (end === -1) return;
      socket.removeAllListeners('data');
      const request = parseRequest(text.slice(0, end));
      if (request === null || isLeaving) {
        answer(socket, { ok: false, why: isLeaving ? 'it is leaving already' : 'the request is not understood' });
        return;
      }
      isLeaving = true;
      void leaveTo(request, socket);
    });
  });
  door.on('error', (error) => log.warn('hand-over.no-door', { path, error }));
  // A server that was killed leaves its socket.
  rmSync(path, { force: true });
  door.listen(path);
  door.unref();
  return {
    left,
    close() {
      door.close();
    },
  };
}

function answer(socket: Socket, value: unknown): void {
  socket.end(`${JSON.stringify(value)}\n`);
}

function parseRequest(text: string): Request | null {
  try {
    const { argv, env, cwd, logFile } = JSON.parse(text) as Partial<Request>;
    const isWhole =
      Array.isArray(argv) &&
      argv.length > 0 &&
      argv.every((word) => typeof word === 'string') &&
      typeof env === 'object' &&
      env !== null &&
      Object.values(env).every((value) => typeof value === 'string') &&
      typeof cwd === 'string' &&
      typeof logFile === 'string';
    return isWhole ? { argv, env, cwd, logFile } : null;
  } catch {
    return null;
  }
}

/** Started now, so that the sockets have a second holder; it begins when the channel between the two is cut, which our end does. */
async function startSuccessor({ argv, env, cwd, logFile }: Request): Promise<number> {
  const [program = '', ...args] = argv;
  const places = listeningPlaces();
  const handed = places.map(({ address }, at) => ({ fd: 3 + at, address }));
  const output = openSync(logFile, 'a', 0o600);
  try {
    const child = spawn(program, args, {
      cwd,
      detached: true,
      env: { ...env, [successorVariable]: JSON.stringify(handed) },
      stdio: ['ignore', output, output, ...places.map(({ fd }) => fd), 'ipc'],
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.on('error', () => {});
    child.unref();
    child.channel?.unref();
    if (child.pid === undefined) throw new Error('the successor has no process number');
    return child.pid;
  } finally {
    closeSync(output);
  }
}
