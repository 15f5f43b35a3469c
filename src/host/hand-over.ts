import { spawn } from 'node:child_process';

export interface HandedOver {
  /** 130 when a signal ended it. */
  readonly exitCode: number;
}

/**
 * Lets another program take this one's terminal until it ends: for sudo, which may ask for a password. What aborts the signal is
 * passed on, so that the other one can undo.
 */
export function handOver(argv: readonly string[], cwd: string, signal: AbortSignal): Promise<HandedOver> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: 'inherit' });
    const passOn = (): void => void child.kill('SIGTERM');
    signal.addEventListener('abort', passOn);
    child.once('error', reject);
    child.once('close', (code) => {
      signal.removeEventListener('abort', passOn);
      resolve({ exitCode: code ?? 130 });
    });
  });
}
