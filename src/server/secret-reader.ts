import { spawn } from 'node:child_process';
import { open, stat } from 'node:fs/promises';
import { isAbsolute, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { parseSecretReference } from '../deployment/secret-reference.ts';
import type { Log } from './observe/log.ts';

/** A secret is a line or a PEM file; more is a mistake. */
const mostBytes = 65_536;

export interface SecretReader {
  /**
   * The secret behind a reference, without the newline at its end.
   * @param name the setting, for messages
   * @throws UserError or EnvironmentError that holds nothing of the secret and nothing that a command printed.
   */
  read(name: string, reference: string): Promise<string>;
  /** Reads everything anew from now on. */
  forget(): void;
}

export interface SecretReaderOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Folder of the deployment file: where commands run and relative paths start. */
  readonly baseDir: string;
  readonly log: Log;
  /** How long a command may take. */
  readonly timeoutMs?: number;
  /** How long a file must have stayed as it is: one that is younger may still be being written. */
  readonly settleMs?: number;
}

/** Follows `file:` and `exec:` references. What was read is kept until `forget`, so that one command runs once. */
export function createSecretReader(options: SecretReaderOptions): SecretReader {
  const kept = new Map<string, Promise<string>>();
  return {
    read(name, reference) {
      const known = kept.get(reference);
      if (known !== undefined) return known;
      const reading = follow(name, reference, options);
      kept.set(reference, reading);
      // A failure is not kept: the next reading may find the store awake.
      reading.catch(() => kept.delete(reference));
      return reading;
    },
    forget: () => kept.clear(),
  };
}

async function follow(name: string, reference: string, options: SecretReaderOptions): Promise<string> {
  const parsed = parseSecretReference(reference);
  if (parsed === null || typeof parsed === 'string') {
    throw new UserError(`${name} ${parsed ?? 'is no reference to a secret'}`, {
      next: 'Write file:PATH or exec:COMMAND ARGS.',
    });
  }
  const text =
    parsed.kind === 'file'
      ? await readSecretFile(name, parsed.path, options)
      : await runCommand(name, parsed.argv, options);
  const secret = text.replace(/\r?\n$/, '');
  if (secret !== '') return secret;
  throw new EnvironmentError(`${name} is empty`, {
    why: parsed.kind === 'file' ? 'The file holds nothing.' : `${parsed.argv[0]} printed nothing.`,
    next: 'Put the secret there, then start or reload the server.',
  });
}

/**
 * Reads a file that is not being written. Half a secret looks like a secret: a file that has just changed is read until it
 * gives the same twice. What is put there in one piece (rename, links of Kubernetes) is read at once.
 */
async function readSecretFile(name: string, given: string, options: SecretReaderOptions): Promise<string> {
  const path = placeOf(given, options);
  const { settleMs = 250 } = options;
  let text = await readWhole(name, path, options);
  for (let attempt = 0; attempt < mostAttempts; attempt++) {
    if (await hasSettled(path, settleMs)) return text;
    await pause(settleMs);
    const again = await readWhole(name, path, options);
    if (again === text) return text;
    text = again;
  }
  throw new EnvironmentError(`${name} cannot be read from ${path}`, {
    why: 'The file changes all the time.',
    next: 'Write the secret beside it and move it there, then reload the server.',
  });
}

const mostAttempts = 20;

async function hasSettled(path: string, settleMs: number): Promise<boolean> {
  const seen = await stat(path).catch(() => null);
  // Devices and pipes have no time of their content; a time in the future says nothing either.
  if (seen === null || !seen.isFile()) return true;
  const ageMs = Date.now() - seen.mtimeMs;
  return ageMs >= settleMs || ageMs < -settleMs;
}

async function readWhole(name: string, path: string, options: SecretReaderOptions): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { mode, size } = await file.stat();
      if (size > mostBytes) throw tooLong(name);
      if (process.platform !== 'win32' && (mode & 0o077) !== 0 && !isProvided(path, options.env)) {
        options.log.warn('secret.readable-by-others', {
          setting: name,
          file: path,
          mode: (mode & 0o777).toString(8),
          next: `chmod 600 ${path}`,
        });
      }
      // One byte more than allowed: the size of a pipe or of /proc says nothing.
      const bytes = Buffer.alloc(mostBytes + 1);
      let length = 0;
      for (;;) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
        length += bytesRead;
        if (bytesRead === 0 || length > mostBytes) break;
      }
      if (length > mostBytes) throw tooLong(name);
      return bytes.subarray(0, length).toString('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof EnvironmentError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    throw new EnvironmentError(`${name} cannot be read from ${path}`, {
      why:
        code === 'ENOENT' ? 'There is no such file.' : code === 'EACCES' ? 'This user may not read it.' : String(code),
      next: 'Put the secret there, readable for the user of the server alone.',
      cause: error,
    });
  }
}

/** `$CREDENTIALS_DIRECTORY/NAME` is where systemd puts credentials (systemd.exec, LoadCredential=). */
function placeOf(given: string, { env, baseDir }: SecretReaderOptions): string {
  const credential = /^\$CREDENTIALS_DIRECTORY\/(.+)$/.exec(given)?.[1];
  if (credential === undefined) return isAbsolute(given) ? given : resolve(baseDir, given);
  const folder = env['CREDENTIALS_DIRECTORY'];
  if (folder !== undefined && folder !== '') return join(folder, credential);
  throw new EnvironmentError(`The credential ${credential} was not given to the server`, {
    why: '$CREDENTIALS_DIRECTORY is not set.',
    next: `Start the server as a unit of systemd with LoadCredential=${credential}:/path/of/the/secret.`,
  });
}

/** Files of systemd, Docker and Kubernetes have the modes that those give them, in folders that only the service sees. */
function isProvided(path: string, env: NodeJS.ProcessEnv): boolean {
  const credentials = env['CREDENTIALS_DIRECTORY'];
  return [credentials, '/run/secrets', '/var/run/secrets'].some(
    (folder) => folder !== undefined && folder !== '' && path.startsWith(`${folder}/`),
  );
}

/** Runs a command without a shell. Its whole process group ends with it, or when it takes too long. */
function runCommand(
  name: string,
  [command, ...args]: readonly [string, ...string[]],
  { env, baseDir, timeoutMs = 10_000 }: SecretReaderOptions,
): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, {
      cwd: baseDir,
      env,
      // What it says in its errors may hold the secret: nobody reads it.
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: process.platform !== 'win32',
      windowsHide: true,
    });
    let failure: EnvironmentError | null = null;
    const end = (error: EnvironmentError): void => {
      failure ??= error;
      child.stdout.destroy();
      try {
        if (process.platform === 'win32' || child.pid === undefined) child.kill('SIGKILL');
        else process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended already.
      }
    };
    const timer = setTimeout(() => {
      end(
        new EnvironmentError(`${name} could not be read: ${command} took longer than ${timeoutMs / 1_000} s`, {
          next: 'Run the command by hand as the user of the server; it must print the secret and end.',
        }),
      );
    }, timeoutMs);
    const chunks: Buffer[] = [];
    let length = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.length;
      chunks.push(chunk);
      if (length > mostBytes) end(tooLong(name));
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      fail(
        new EnvironmentError(`${name} could not be read: ${command} cannot be started`, {
          why: error.code === 'ENOENT' ? 'It is not on the PATH of the server.' : String(error.code),
          next: 'Write its full path.',
          cause: error,
        }),
      );
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (failure !== null) fail(failure);
      else if (code === 0) done(Buffer.concat(chunks).toString('utf8'));
      else {
        fail(
          new EnvironmentError(`${name} could not be read: ${command} ended with ${signal ?? `exit code ${code}`}`, {
            why: 'What it printed is not shown, since it may hold the secret.',
            next: 'Run the command by hand as the user of the server.',
          }),
        );
      }
    });
  });
}

function tooLong(name: string): EnvironmentError {
  return new EnvironmentError(`${name} is longer than 64 kB`, {
    why: 'No key is.',
    next: 'Point the reference at the secret alone.',
  });
}
