import { EnvironmentError } from '../deployment/errors.ts';
import { hasCode } from '../host/file-errors.ts';
import { handOver } from '../host/hand-over.ts';
import { scopeOf } from '../plan/deployment-paths.ts';
import { NeedsRoot } from './needs-root.ts';
import type { CommandContext } from './context.ts';

/** Commands that go through a plan: all until the first change is for everybody. */
const planned: ReadonlySet<string> = new Set(['apply', 'rollback', 'uninstall', 'start', 'stop', 'restart']);

/** Commands that begin with what root alone may read. */
const forRoot: ReadonlySet<string> = new Set([
  'upgrade',
  'keys create',
  'keys rotate',
  'keys revoke',
  'cert renew',
  'audit rotate-key',
]);

/**
 * Runs a command of who is not root. What goes through a plan looks, renders and plans as this user; from the first change on, or
 * where root alone may look, the same command line is carried out by sudo, as words and not through a shell. One elevation for
 * the whole change, since its journal, its lock and its undo belong to root as well.
 *
 * @throws EnvironmentError (exit 3) before anything is changed, where there is no way to become root
 */
export async function runWithSudo(
  command: string,
  args: readonly string[],
  context: CommandContext,
  run: (context: CommandContext) => Promise<number>,
): Promise<number> {
  const isOfHost = context.stageDir === null && scopeOf(context.stateDir) === 'system';
  if (!isOfHost || process.getuid?.() === 0) return run(context);
  if (forRoot.has(command)) return carryOut(command, args, 'root alone reads and writes the keys', context);
  if (!planned.has(command)) return run(context);
  try {
    return await run({ ...context, onlyPlans: true });
  } catch (error) {
    if (error instanceof NeedsRoot) return carryOut(command, args, error.message, context);
    // Keys and records of what is installed are for root: so is a look at them.
    if (hasCode(error, 'EACCES', 'EPERM')) {
      const what = error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
      return carryOut(command, args, `also for the look, since root alone may: ${what}`, context);
    }
    throw error;
  }
}

async function carryOut(
  command: string,
  args: readonly string[],
  reason: string,
  context: CommandContext,
): Promise<number> {
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
  context.output.progress(`  ${context.output.err.dim('·')} with sudo from here on: ${reason}`);
  // Asked once, of the one who is there.
  const agreed = command === 'uninstall' && context.interactive && reason.includes('steps') ? ['--yes'] : [];
  const words = [process.execPath, ...process.execArgv, process.argv[1] ?? '', ...args, ...agreed];
  const { exitCode } = await handOver(
    ['sudo', ...(found.exitCode === 0 ? ['-n'] : []), '--', ...words],
    context.world.cwd,
    context.signal,
  );
  return exitCode;
}
