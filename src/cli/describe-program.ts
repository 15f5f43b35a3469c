import type { Command } from 'commander';

/** One command as help, completion and the manual page see it: plain data, from the same program that runs. */
export interface CommandFact {
  /** Words behind `mcp-deploy`; none for the program itself. */
  readonly words: readonly string[];
  readonly summary: string;
  readonly usage: string;
  readonly flags: readonly FlagFact[];
  /** What its arguments are called: `client`, `label`, `target...`. */
  readonly arguments: readonly string[];
  readonly children: readonly CommandFact[];
  /** What stands behind the options in its help: examples and exit codes. */
  readonly footer: string;
}

export interface FlagFact {
  readonly names: readonly string[];
  readonly takesValue: boolean;
  readonly description: string;
}

/** The whole command line as data. */
export function describeProgram(command: Command, words: readonly string[] = []): CommandFact {
  const help = command.createHelp();
  return {
    words,
    summary: command.description(),
    usage: ['mcp-deploy', ...words, command.usage()].join(' '),
    flags: help.visibleOptions(command).map((option) => ({
      names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
      takesValue: option.required || option.optional,
      description: option.description,
    })),
    arguments: command.registeredArguments.map((argument) => `${argument.name()}${argument.variadic ? '...' : ''}`),
    children: help
      .visibleCommands(command)
      .filter((child) => child.name() !== 'help')
      .map((child) => describeProgram(child, [...words, child.name()])),
    footer: footerOf(command),
  };
}

/** A command and all below it. */
export function allCommands(fact: CommandFact): readonly CommandFact[] {
  return [fact, ...fact.children.flatMap(allCommands)];
}

/** The text that addHelpText put behind the options. */
function footerOf(command: Command): string {
  let whole = '';
  const before = command.configureOutput();
  command.configureOutput({ writeOut: (text) => (whole += text) });
  command.outputHelp();
  command.configureOutput(before);
  return whole.startsWith(command.helpInformation()) ? whole.slice(command.helpInformation().length).trim() : '';
}
