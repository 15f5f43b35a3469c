import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Log } from '../observe/log.ts';

/**
 * What is told to systemd, in the order in which it is said. Node cannot open the kind of socket that systemd listens on,
 * so its own program `systemd-notify` says it; the unit has to allow that with NotifyAccess=all.
 * Source: sd_notify(3).
 */
export interface ServiceManager {
  /** Calls are answered from now on. */
  ready(status: string): void;
  reloading(): void;
  /** The end of it, also when the old configuration stays. */
  reloaded(status: string): void;
  stopping(status: string): void;
  /**
   * Beats as often as systemd asks for, while `isWell`. A process that hangs beats no more, and systemd starts another.
   */
  beatWhile(isWell: () => boolean): void;
  /** No more beats. Resolves when all was said. */
  close(): Promise<void>;
}

/** Of the time after which systemd ends the process: two beats may be late. */
const beatsPerTimeout = 3;
/** What the shell answers when there is no such program. */
const notFound = 127;
const closeWithinMs = 5_000;

/**
 * @param env NOTIFY_SOCKET says that a manager listens, WATCHDOG_USEC and WATCHDOG_PID that it wants to be told of life
 */
export function createServiceManager(env: NodeJS.ProcessEnv, log: Log, pid = process.pid): ServiceManager {
  const socket = env['NOTIFY_SOCKET'];
  let beats: NodeJS.Timeout | null = null;
  let isSilent = socket === undefined || socket === '';
  let speaker: Speaker | null = null;
  let last: Promise<void> = Promise.resolve();

  function say(...words: readonly string[]): void {
    if (isSilent) return;
    speaker ??= startSpeaker(env);
    last = speaker.say(words).catch((error: unknown) => {
      if (!isSilent) log.warn('service-manager.not-told', { error, words: words.join(' ') });
      // Without the program it is the same every time; a shell that was killed gets a successor.
      if (error instanceof NotToldError) isSilent ||= error.code === notFound;
      else speaker = null;
    });
  }

  return {
    ready: (status) => say('READY=1', `STATUS=${oneLine(status)}`),
    // With the time, systemd 253 and newer tells this reload from an earlier one.
    reloading: () => say('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`, 'STATUS=Reloading'),
    reloaded: (status) => say('READY=1', `STATUS=${oneLine(status)}`),
    stopping: (status) => say('STOPPING=1', `STATUS=${oneLine(status)}`),
    beatWhile(isWell) {
      const timeoutMs = Number(env['WATCHDOG_USEC'] ?? '0') / 1_000;
      const isForOther = env['WATCHDOG_PID'] !== undefined && env['WATCHDOG_PID'] !== String(pid);
      if (isSilent || isForOther || !(timeoutMs > 0)) return;
      const beat = (): void => {
        if (isWell()) say('WATCHDOG=1');
      };
      beat();
      beats = setInterval(beat, Math.max(100, timeoutMs / beatsPerTimeout)).unref();
    },
    async close() {
      if (beats !== null) clearInterval(beats);
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([
        last,
        new Promise((resolve) => {
          timer = setTimeout(resolve, closeWithinMs);
        }),
      ]);
      clearTimeout(timer);
      speaker?.end();
    },
  };
}

interface Stoppable {
  reload(): unknown;
  drain(): Promise<void>;
  stopNow(): Promise<void>;
}

/** The same server, whose reloads and end are told. */
export function tellServiceManager(server: Stoppable, manager: ServiceManager, describe: () => string): Stoppable {
  return {
    async reload() {
      manager.reloading();
      await server.reload();
      manager.reloaded(describe());
    },
    drain() {
      manager.stopping('Finishing the calls in flight');
      return server.drain();
    },
    stopNow() {
      manager.stopping('Stopping');
      return server.stopNow();
    },
  };
}

/** Words of a message, one a line, then an empty line; answers each with the exit code of systemd-notify. */
const speakerScript = `set --
while IFS= read -r word; do
  if [ -n "$word" ]; then set -- "$@" "$word"; continue; fi
  systemd-notify "$@" >/dev/null 2>&1
  echo $?
  set --
done`;

interface Speaker {
  /** Resolves when it was said. */
  say(words: readonly string[]): Promise<void>;
  end(): void;
}

/**
 * A shell that runs systemd-notify for us. To start a program, Node copies its own tables of memory while everything else
 * waits: tens of milliseconds when the server has grown large. The shell is started once, while it is small.
 */
function startSpeaker({ NOTIFY_SOCKET, PATH }: NodeJS.ProcessEnv): Speaker {
  const child = spawn('/bin/sh', ['-c', speakerScript], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { NOTIFY_SOCKET, PATH },
  });
  const waiting: { resolve(): void; reject(error: unknown): void }[] = [];
  const fail = (error: unknown): void => {
    for (const each of waiting.splice(0)) each.reject(error);
  };
  child.once('error', fail);
  child.once('close', () => fail(new Error('the shell that speaks to the service manager has ended')));
  child.stdin.on('error', () => {});
  createInterface({ input: child.stdout }).on('line', (code) => {
    if (code === '0') waiting.shift()?.resolve();
    else waiting.shift()?.reject(new NotToldError(Number(code)));
  });
  return {
    say: (words) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        child.stdin.write(`${words.join('\n')}\n\n`);
      }),
    end() {
      child.stdin.end();
    },
  };
}

class NotToldError extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`systemd-notify ended with ${code}`);
    this.code = code;
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ');
}
