import type { Command } from 'commander';
import { describeProgram } from './describe-program.ts';
import type { MakeCommand } from './make-command.ts';

/** Completion in shells and the manual page: both made from the program itself, which is only walked when it is asked for. */
export function addCompletionCommands(make: MakeCommand, program: Command): void {
  make(
    'completion <shell>',
    'print the completion script for bash, zsh or fish',
    (command) =>
      command.addHelpText(
        'after',
        `
Examples
  source <(mcp-deploy completion bash)                                    in ~/.bashrc
  source <(mcp-deploy completion zsh)                                     in ~/.zshrc, after compinit
  mcp-deploy completion fish > ~/.config/fish/completions/mcp-deploy.fish

Exit codes
  0 printed   2 wrong input
`,
      ),
    async (context, args) => (await import('./commands/completion.ts')).runCompletion(context, args[0] ?? ''),
  );
  make(
    'man',
    'print the manual page',
    (command) =>
      command.addHelpText(
        'after',
        `
Examples
  mcp-deploy man | man -l -
  mcp-deploy man > /usr/local/share/man/man1/mcp-deploy.1

Exit codes
  0 printed   2 wrong input
`,
      ),
    async (context) => (await import('./commands/completion.ts')).runManual(context, describeProgram(program)),
  );
  // Asked by the completion scripts, for every word; of no use to people.
  make(
    'complete',
    'print what can stand in place of the last word behind --',
    () => {},
    async (context) => (await import('./commands/completion.ts')).runComplete(context, describeProgram(program)),
  );
}
