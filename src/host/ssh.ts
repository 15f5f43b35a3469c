import { spawn, type ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { SshHost } from '../deployment/ssh-host.ts';

export interface RemoteRun {
  /** What the command ended with; 255 is what ssh itself ends with, null when a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  /** The last lines of its standard error. */
  readonly lastWords: readonly string[];
}

export interface RemoteOptions {
  /** What the command reads; its input ends with this program otherwise. */
  readonly input?: Buffer | Readable;
  /** Leaves the input open behind `input`, so that the other side sees when this program is gone. */
  readonly keepOpen?: boolean;
  /** Whether ssh may ask for a password or about a host key. */
  readonly interactive: boolean;
  readonly onLine?: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Runs a command on another host with the ssh of this system, whose configuration says keys and jumps. An abort ends
 * the connection; the other side sees its input end.
 *
 * @param command one text for the shell there: that is how ssh takes it
 */
export function runOverSsh(
  { destination, port }: SshHost,
  command: string,
  options: RemoteOptions,
): Promise<RemoteRun> {
  const batch = options.interactive ? [] : ['-o', 'BatchMode=yes'];
  return new Promise((resolve, reject) => {
    const at = port === null ? [] : ['-p', String(port)];
    const child = spawn('ssh', ['-T', ...batch, ...at, '--', destination, command], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const end = (): void => void child.kill('SIGTERM');
    options.signal.addEventListener('abort', end);
    let stdout = '';
    const lines: string[] = [];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (stdout.length < mostOutput) stdout += text;
    });
    forEachLine(child, (line) => {
      lines.push(line);
      if (lines.length > keptLines) lines.shift();
      options.onLine?.(line);
    });
    child.once('error', reject);
    child.once('close', (exitCode) => {
      options.signal.removeEventListener('abort', end);
      resolve({ exitCode, stdout, lastWords: lines });
    });
    // It may end without reading.
    child.stdin.on('error', () => {});
    const { input } = options;
    if (input === undefined) {
      if (options.keepOpen !== true) child.stdin.end();
    } else if (Buffer.isBuffer(input)) {
      if (options.keepOpen === true) child.stdin.write(input);
      else child.stdin.end(input);
    } else input.pipe(child.stdin);
  });
}

/** Files of a folder as a tar archive, made while it is read. @throws through the stream when tar fails */
export function packFiles(folder: string, names: readonly string[]): Readable {
  const child = spawn('tar', ['-C', folder, '-czf', '-', '--', ...names], { stdio: ['ignore', 'pipe', 'ignore'] });
  child.once('error', (error) => child.stdout.destroy(error));
  return child.stdout;
}

const keptLines = 20;
/** Far more than any document of ours, in characters. */
const mostOutput = 16_777_216;

function forEachLine(child: ChildProcess, take: (line: string) => void): void {
  let rest = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    lines.forEach(take);
  });
  child.stderr?.once('end', () => {
    if (rest !== '') take(rest);
  });
}
