import { EnvironmentError } from '../deployment/errors.ts';
import { handOver } from '../host/hand-over.ts';
import { scopeOf } from '../plan/deployment-paths.ts';
import type { CommandContext } from './context.ts';

/** Commands that change a host, or read what root alone may read. */
const forRoot: ReadonlySet<string> = new Set([
  'apply',
  'rollback',
  'uninstall',
  'start',
  'stop',
  'restart',
  'keys create',
  'keys rotate',
  'keys revoke',
  'cert renew',
]);

/**
 * Carries a command out as root where it needs that and this user is not: the same command line by sudo, as words and not
 * through a shell. One elevation for the whole change, since its journal, its lock and its undo belong to root as well.
 *
 * @returns the exit code of that command, or null when this process may go on by itself
 * @throws EnvironmentError (exit 3) before anything is changed, where there is no way to become root
 */
export async function runWithSudo(
  command: string,
  args: readonly string[],
  context: CommandContext,
): Promise<number | null> {
  if (
    context.stageDir !== null ||
    scopeOf(context.stateDir) !== 'system' ||
    process.getuid?.() === 0 ||
    !forRoot.has(command)
  )
    return null;
  const again = `sudo mcp-deploy ${command}`;
  const why = 'service.manager: systemd writes below /etc, /opt and /var, and starts services.';
  const { processes } = context.ports;
  const found = await processes.run(['sudo', '-n', 'true'], 20_000);
  if (found.exitCode === null) {
    throw new EnvironmentError('This changes the host, and that is for root.', {
      why: `${why} There is no sudo here.`,
      next: `Run it as root: mcp-deploy ${command}`,
    });
  }
  if (found.exitCode !== 0 && !context.interactive) {
    throw new EnvironmentError('This changes the host, and sudo does not let you without a password.', {
      why,
      next: again,
      excerpt: found.lastWords,
    });
  }
  context.output.progress(`  ${context.output.err.dim('·')} with sudo: every step, since ${why}`);
  const words = [process.execPath, ...process.execArgv, process.argv[1] ?? '', ...args];
  const { exitCode } = await handOver(
    ['sudo', ...(found.exitCode === 0 ? ['-n'] : []), '--', ...words],
    context.world.cwd,
    context.signal,
  );
  return exitCode;
}
