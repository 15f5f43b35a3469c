import type { Command } from 'commander';
import type { CommandContext } from './context.ts';

/** Makes one command; its module is loaded when it runs, so that start-up stays quick. */
export type MakeCommand = (
  spec: string,
  summary: string,
  define: (command: Command) => void,
  run: (context: CommandContext, args: readonly string[], options: Record<string, unknown>) => Promise<number>,
  parent?: Command,
) => Command;

/** For commands that have no flags of their own. */
export function noFlags(): void {}
