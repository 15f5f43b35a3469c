import { confirm, input, select } from '@inquirer/prompts';
import type { ChalkInstance } from 'chalk';
import { UserError } from '../../deployment/errors.ts';
import type { CommandContext } from '../context.ts';
import type { Output } from '../output/output.ts';
import { wrapText } from '../output/wrap-text.ts';
import type { AskedQuestion, Asker, Reply } from './asker.ts';

/** Prompts that are drawn anew at every key: lists with arrows, lines that can be edited. */
export function askOnScreen(context: CommandContext): Asker {
  return {
    ask: (question) => askOne(context, question),
    say: (text) => context.output.progress(wrapText(text, { columns: context.output.columns, indent: 2 })),
    close() {},
  };
}

/** What ends a prompt before its answer. */
type Word = 'back' | 'help' | 'end';

async function askOne(context: CommandContext, question: AskedQuestion): Promise<Reply> {
  const word = new AbortController();
  const terminal: Drawing = {
    signal: AbortSignal.any([context.signal, word.signal]),
    input: context.world.stdin,
    output: context.world.stderr,
    clearPromptOnDone: false,
  };
  const leave = (reason: Word): void => {
    terminal.clearPromptOnDone = true;
    word.abort(reason);
  };
  // In a list and at yes-or-no a key is enough; in a line `?` may be a part of the answer.
  const onKey = (text: string | undefined, key: { name?: string; ctrl?: boolean } | undefined): void => {
    if (key?.ctrl === true && key.name === 'd') leave('end');
    else if (question.kind === 'write') return;
    else if (text === '?') leave('help');
    else if (text === '<' || (key?.name === 'left' && question.kind === 'choose')) leave('back');
  };
  const onEnd = (): void => leave('end');
  context.world.stdin.on('keypress', onKey).once('end', onEnd).once('close', onEnd);
  try {
    return await put(question, terminal, context.output);
  } catch (error) {
    if (!word.signal.aborted || context.signal.aborted) throw error;
    const reason = word.signal.reason as Word;
    if (reason === 'end') throw endOfInput(error);
    return { kind: reason };
  } finally {
    context.world.stdin.off('keypress', onKey).off('end', onEnd).off('close', onEnd);
  }
}

interface Drawing {
  readonly signal: AbortSignal;
  readonly input: CommandContext['world']['stdin'];
  readonly output: CommandContext['world']['stderr'];
  /** Whether nothing of the question stays on the screen. Read when it ends. */
  clearPromptOnDone: boolean;
}

async function put(question: AskedQuestion, terminal: Drawing, output: Output): Promise<Reply> {
  const { message } = question;
  const theme = themeOf(output.err);
  switch (question.kind) {
    case 'choose': {
      const choices = question.choices.map(({ value, title, about }) => ({
        value,
        name: title,
        description: wrapText(about, { columns: output.columns, indent: 0 }),
      }));
      const value = await select(
        { message, choices, default: question.preset, pageSize: 14, loop: false, theme },
        terminal,
      );
      return { kind: 'answer', value };
    }
    case 'yes-or-no': {
      const value = await confirm({ message, default: question.preset, theme }, terminal);
      return { kind: 'answer', value };
    }
    case 'write': {
      const isWord = (text: string): boolean => text === '?' || text === '<';
      const validate = (text: string): true | string => {
        terminal.clearPromptOnDone = isWord(text);
        return terminal.clearPromptOnDone || question.judge(text.trim());
      };
      const text = await input({ message, default: question.preset, validate, theme }, terminal);
      if (isWord(text)) return { kind: text === '?' ? 'help' : 'back' };
      return { kind: 'answer', value: text.trim() };
    }
  }
}

/** The colours of everything else here: the own ones of the prompts do not know NO_COLOR on every version of Node. */
function themeOf(style: ChalkInstance) {
  return {
    prefix: { idle: style.blue('?'), done: style.green('✔') },
    style: {
      answer: (text: string) => style.cyan(text),
      message: (text: string) => style.bold(text),
      error: (text: string) => style.red(`> ${text}`),
      defaultAnswer: (text: string) => style.dim(`(${text})`),
      help: (text: string) => style.dim(text),
      highlight: (text: string) => style.cyan(text),
      description: (text: string) => style.dim(text),
      disabled: (text: string) => style.dim(text),
      keysHelpTip: () => undefined,
    },
  };
}

/** The terminal has no more to say: Ctrl-D, or it is gone. */
export function endOfInput(cause?: unknown): UserError {
  return new UserError('The input ended before the last question; nothing was changed.', {
    next: 'Run it again, or give the answers by flags or a file: mcp-deploy init --help',
    exitCode: 130,
    cause,
  });
}
