import type { CommanderError } from 'commander';
import { UserError } from '../deployment/errors.ts';

/** The command that a wrong line was about. */
export interface RefusedCommand {
  /** Its name with that of its group: `keys list`; empty for mcp-deploy itself. */
  readonly name: string;
  /** What it takes, as its help names it: `FILE`. */
  readonly takes: readonly string[];
  /** Whether it takes the command of an MCP server behind `--`. */
  readonly takesServerCommand: boolean;
  /** Every word of the line, without what stands behind `--`. */
  readonly words: readonly string[];
  /** The words that are no flags. */
  readonly operands: readonly string[];
}

/**
 * What commander found wrong with a line, in the form of every other error: what, why, the next command. Values that were
 * typed are not repeated, since one may be a secret.
 */
export function explainUsageError(error: CommanderError, command: RefusedCommand): UserError {
  const self = ['mcp-deploy', ...(command.name === '' ? [] : [command.name])].join(' ');
  const [what = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const meant = suggestionsOf(rest.join(' '));
  const why = meant.length === 0 ? {} : { why: `Did you mean ${meant.join(' or ')}?` };
  switch (error.code) {
    case 'commander.unknownCommand':
      return new UserError(`${self} has no command ${quotedWord(what)}.`, {
        ...why,
        next: meant[0] === undefined ? `${self} --help` : `${self} ${meant[0]}${restOf(command)}`,
      });
    case 'commander.unknownOption':
      return isServerCommand(command)
        ? refuseBareServerCommand(self, command)
        : new UserError(`${self} has no flag ${quotedWord(what)}.`, { ...why, next: `${self} --help` });
    case 'commander.excessArguments':
      return command.takesServerCommand
        ? refuseBareServerCommand(self, command)
        : new UserError(`"${command.operands[command.takes.length] ?? ''}" is one word too many for ${self}.`, {
            why: command.takes.length === 0 ? 'It takes flags only.' : `It takes ${command.takes.join(' ')}.`,
            next: `${self} --help`,
          });
    case 'commander.optionMissingArgument':
      return new UserError(`${quotedWord(what)} has no value.`, { next: `${self} --help` });
    case 'commander.missingArgument':
      return new UserError(`${self} needs ${command.takes.join(' ')}.`, { next: `${self} --help` });
    default:
      return new UserError(sentence(what), { ...why, next: `${self} --help` });
  }
}

/** `up npx -y SERVER`: everything that is theirs stands behind `--`, or its flags would be read as ours. */
function refuseBareServerCommand(self: string, { words, operands }: RefusedCommand): UserError {
  const [program = ''] = operands;
  const more = words.indexOf(program) < words.length - 1 ? ' …' : '';
  return new UserError(`${self} does not know what to do with "${program}".`, {
    why: 'The command of your MCP server stands behind --.',
    next: `${self} -- ${program}${more}`,
  });
}

function isServerCommand({ takesServerCommand, words, operands }: RefusedCommand): boolean {
  const [program] = operands;
  return takesServerCommand && program !== undefined && !program.startsWith('-') && words.includes(program);
}

/** What followed the mistyped word, as far as it is words that no secret is made of. */
function restOf({ name, words, operands }: RefusedCommand): string {
  const wrong = operands[0] ?? '';
  const rest = words.slice(words.indexOf(wrong, name === '' ? 0 : 1) + 1);
  if (rest.length === 0) return '';
  return rest.every((word) => /^(?:--?)?[a-z][a-z-]{0,20}$/.test(word)) ? ` ${rest.join(' ')}` : ' …';
}

/** `(Did you mean one of create, rotate?)` as a list. */
function suggestionsOf(text: string): readonly string[] {
  const [, list = ''] = /^\(Did you mean (?:one of )?(.*)\?\)$/.exec(text) ?? [];
  return list === '' ? [] : list.split(', ');
}

/** The word that commander's message has in quotes. */
function quotedWord(text: string): string {
  return /'(.*)'/s.exec(text)?.[1] ?? '';
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${/[.?]$/.test(text) ? '' : '.'}`;
}
