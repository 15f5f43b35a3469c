import { EnvironmentError } from '../deployment/errors.ts';
import type { ApplyPorts } from './ports.ts';

const defaultTimeoutMs = 60_000;

/** Runs a program that must end with 0. @throws EnvironmentError with its last words */
export async function runCommand(
  argv: readonly string[],
  { processes }: Pick<ApplyPorts, 'processes'>,
  timeoutMs = defaultTimeoutMs,
  failure?: string,
): Promise<void> {
  const { exitCode, lastWords } = await processes.run(argv, timeoutMs);
  if (exitCode === 0) return;
  const command = argv.join(' ');
  const ended = exitCode === null ? 'did not end in time, or could not be started' : `ended with ${exitCode}`;
  throw new EnvironmentError(failure ?? `This command failed: ${command}`, {
    why: `${failure === undefined ? 'It' : command} ${ended}.`,
    next: 'Try it by hand, mend what it says, then run the command again.',
    excerpt: lastWords,
  });
}
