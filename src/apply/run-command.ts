import { EnvironmentError } from '../deployment/errors.ts';
import type { ApplyPorts } from './ports.ts';

const defaultTimeoutMs = 60_000;

/** Runs a program that must end with 0. @throws EnvironmentError with its last words */
export async function runCommand(
  argv: readonly string[],
  { processes }: Pick<ApplyPorts, 'processes'>,
  timeoutMs = defaultTimeoutMs,
): Promise<void> {
  const { exitCode, lastWords } = await processes.run(argv, timeoutMs);
  if (exitCode === 0) return;
  throw new EnvironmentError(`This command failed: ${argv.join(' ')}`, {
    why: exitCode === null ? 'It did not end in time, or could not be started.' : `It ended with ${exitCode}.`,
    next: 'Try it by hand, mend what it says, then run the command again.',
    excerpt: lastWords,
  });
}
