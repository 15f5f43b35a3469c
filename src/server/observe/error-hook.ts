import { spawn } from 'node:child_process';

export type ErrorHookTarget = { readonly command: readonly string[] } | { readonly url: string };

export interface ErrorHookOptions {
  readonly target: ErrorHookTarget;
  /** At least this long between two runs. */
  readonly everyMs: number;
  /** What takes longer is ended. */
  readonly timeoutMs: number;
  /** The few variables that the command gets are taken from here. */
  readonly env: NodeJS.ProcessEnv;
  /** Told when a run failed, with a reason that holds no secret. */
  readonly onFailure: (why: string) => void;
}

/** Tells somebody about errors, never more than one run at a time. */
export interface ErrorHook {
  /** Takes a log line at level error. Returns at once; what comes too quickly is counted and told with the next one. */
  tell(line: string): void;
  /** Waits for the run that is under way, or that is due, for up to `mostMs`. */
  settle(mostMs: number): Promise<void>;
}

/** The server's own environment holds secrets: a command gets what every program needs, and no more. */
const passedOn = ['PATH', 'HOME', 'LANG', 'TMPDIR', 'TZ', 'SYSTEMROOT'];

/** Makes the hook of `logs.errorHook`: a command that gets the line on its standard input, without a shell, or a POST. */
export function createErrorHook(options: ErrorHookOptions): ErrorHook {
  const { target, everyMs, timeoutMs, onFailure } = options;
  let waiting: string | null = null;
  let untold = 0;
  let running: Promise<void> | null = null;
  let nextMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | null = null;

  function schedule(): void {
    if (waiting === null || running !== null || timer !== null) return;
    const waitMs = nextMs - performance.now();
    if (waitMs <= 0) start();
    else {
      timer = setTimeout(start, waitMs);
      timer.unref();
    }
  }

  function start(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    if (waiting === null || running !== null) return;
    const body = untold === 0 ? waiting : waiting.replace(/\}\s*$/, `,"untoldErrors":${untold}}\n`);
    waiting = null;
    untold = 0;
    nextMs = performance.now() + everyMs;
    running = ('url' in target ? post(target.url, body, timeoutMs) : run(target.command, body, options))
      .catch((error: unknown) => onFailure(reasonOf(error)))
      .finally(() => {
        running = null;
        schedule();
      });
  }

  return {
    tell(line) {
      if (waiting !== null) untold += 1;
      // The first of several: it is the cause more often than the last.
      else waiting = line;
      schedule();
    },
    async settle(mostMs) {
      // The end of the process is no time to be patient.
      nextMs = Number.NEGATIVE_INFINITY;
      if (timer !== null) clearTimeout(timer);
      timer = null;
      schedule();
      if (running === null) return;
      await Promise.race([running, new Promise((resolve) => setTimeout(resolve, mostMs).unref())]);
    },
  };
}

async function post(url: string, body: string, timeoutMs: number): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
}

function run(command: readonly string[], body: string, { env, timeoutMs }: ErrorHookOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const [program = '', ...args] = command;
    const child = spawn(program, args, {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: Object.fromEntries(passedOn.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]))),
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`));
    });
    // A command that does not read its input is none of our trouble.
    child.stdin.on('error', () => {});
    child.stdin.end(body);
  });
}

/** The address of a webhook is a secret by itself, and errors of fetch may name it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const { code } = (error.cause ?? error) as NodeJS.ErrnoException;
  if (error.name === 'TimeoutError') return 'it took too long';
  return code ?? (error.message.startsWith('it ') ? error.message : error.name);
}
