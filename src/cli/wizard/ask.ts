import { confirm, input } from '@inquirer/prompts';
import type { CommandContext } from '../context.ts';
import { quoteCommand } from '../quote-command.ts';
import {
  judgeListen,
  judgeName,
  judgeNames,
  judgeServerName,
  splitCommand,
  splitNames,
  type Answers,
} from './questions.ts';

/**
 * Puts the questions whose answers no flag has given. Asks everything first
 * and changes nothing. Ctrl-C throws ExitPromptError.
 */
export async function askQuestions(
  context: CommandContext,
  defaults: Answers,
  given: ReadonlySet<keyof Answers>,
): Promise<Answers> {
  const terminal = { signal: context.signal, output: context.world.stderr };
  const answers = { ...defaults };

  if (!given.has('command')) {
    const text = await input(
      {
        message: 'Command that starts your MCP server (empty: built-in tools)',
        default: quoteCommand(defaults.command ?? []),
        validate: (value) => splitCommand(value) !== null || 'a quote is not closed',
      },
      terminal,
    );
    const words = splitCommand(text) ?? [];
    answers.command = words.length === 0 ? null : words;
  }
  if (!given.has('name'))
    answers.name = await input(
      { message: 'Name of the deployment', default: defaults.name, validate: judgeName },
      terminal,
    );
  if (!given.has('listen'))
    answers.listen = await input({ message: 'Listen on', default: defaults.listen, validate: judgeListen }, terminal);
  if (!given.has('names')) {
    const text = await input(
      { message: 'Names and addresses of the certificate', default: defaults.names.join(', '), validate: judgeNames },
      terminal,
    );
    answers.names = splitNames(text);
  }
  if (!given.has('serverName')) {
    const text = await input(
      {
        message: 'Public name, if nginx or Caddy will stand in front (empty: none)',
        default: defaults.serverName ?? '',
        validate: judgeServerName,
      },
      terminal,
    );
    answers.serverName = text === '' ? null : text;
  }
  if (!given.has('keys'))
    answers.keys = await confirm({ message: 'Require an API key?', default: defaults.keys }, terminal);
  return answers;
}
