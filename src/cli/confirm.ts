import { UserError } from '../deployment/errors.ts';
import type { CommandContext } from './context.ts';

/** Asks before something that cannot be taken back. Without a terminal, --yes must be given: exit 2 names it. */
export async function confirmOrRefuse(context: CommandContext, question: string, what: string): Promise<boolean> {
  if (context.yes) return true;
  if (!context.interactive) {
    throw new UserError(`${what} needs --yes when nobody can be asked.`, {
      why: 'There is no terminal here, so the question cannot be put.',
      next: 'Add --yes to the command.',
    });
  }
  const { confirm } = await import('@inquirer/prompts');
  return confirm({ message: question, default: false }, { signal: context.signal, output: context.world.stderr });
}
