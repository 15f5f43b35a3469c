import { CommanderError } from 'commander';
import { ExplainedError, UserError } from '../deployment/errors.ts';
import { createContext, type CommandContext, type CommonOptions } from './context.ts';
import { createOutput, type Output } from './output/output.ts';
import { buildProgram, serverCommandTakers } from './program.ts';
import { realWorld, type World } from './world.ts';

export type { World } from './world.ts';

/** What a test may put in place of the real adapters: see test/helpers. */
export type Overrides = Partial<Pick<CommandContext, 'ports'>>;

/**
 * Runs one command line and gives its exit code (the table is in README.md).
 * Never throws and never ends the process: bin/ does.
 *
 * @param args the words after `mcp-deploy`
 */
export async function runCli(
  args: readonly string[],
  world: World = realWorld(),
  overrides: Overrides = {},
): Promise<number> {
  const interruption = new AbortController();
  const stopListening = world.onInterrupt((signal) => interruption.abort(signal));
  const { own, serverCommand } = splitAtDoubleDash(args);
  let output: Output = createOutput(world, { json: own.includes('--json'), quiet: false, verbose: false });

  try {
    const program = buildProgram(world, async (options: CommonOptions, run) => {
      output = createOutput(world, {
        json: options.json ?? false,
        quiet: options.quiet ?? false,
        verbose: options.verbose ?? false,
      });
      const context = createContext({ world, output, options, serverCommand, signal: interruption.signal, overrides });
      return run(context);
    });
    program.refuseServerCommandExceptFor([...serverCommandTakers, 'complete'], own, serverCommand);
    return await program.run(own);
  } catch (error) {
    return reportFailure(error, output, interruption.signal);
  } finally {
    stopListening();
  }
}

/** Everything behind the first `--` is the user's own MCP server command; none of it is ours to read. */
function splitAtDoubleDash(args: readonly string[]): { own: string[]; serverCommand: string[] | null } {
  const at = args.indexOf('--');
  if (at === -1) return { own: [...args], serverCommand: null };
  return { own: args.slice(0, at), serverCommand: args.slice(at + 1) };
}

function reportFailure(error: unknown, output: Output, interrupted: AbortSignal): number {
  if (error instanceof CommanderError) {
    // Help and version are "errors" of commander with exit code 0; its own text is already out.
    if (error.exitCode === 0) return 0;
    writeErrorDocument(output, { what: 'No command is named; its help is on standard error.', exitCode: 2 });
    return 2;
  }
  if (isInterruption(error) || (interrupted.aborted && !(error instanceof ExplainedError))) {
    output.failure(
      new UserError('Interrupted.', { why: 'Nothing was left half done.', next: 'Run the command again.' }),
    );
    writeErrorDocument(output, { what: 'interrupted', exitCode: 130 });
    return 130;
  }
  if (error instanceof ExplainedError) {
    output.failure(error);
    writeErrorDocument(output, {
      what: error.message,
      exitCode: error.exitCode,
      ...(error.why === undefined ? {} : { why: error.why }),
      ...(error.next === undefined ? {} : { next: error.next }),
      ...(error.excerpt.length === 0 ? {} : { excerpt: error.excerpt }),
    });
    return error.exitCode;
  }
  const bug = error instanceof Error ? error : new Error(String(error));
  output.failure(
    new UserError(`This is a bug in mcp-deploy: ${bug.message}`, {
      next: 'Please report it with the output of the same command and --verbose.',
      ...(output.verbose && bug.stack !== undefined ? { excerpt: bug.stack.split('\n') } : {}),
    }),
  );
  writeErrorDocument(output, { what: `bug: ${bug.message}`, exitCode: 70 });
  return 70;
}

function writeErrorDocument(
  output: Output,
  error: { what: string; exitCode: number; [detail: string]: unknown },
): void {
  if (!output.documentWritten) output.document({ ok: false, error });
}

/** Ctrl-C at a prompt arrives as ExitPromptError, in a wait as AbortError. */
function isInterruption(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === 'ExitPromptError' || error.name === 'AbortError' || error.name === 'AbortPromptError')
  );
}
