import { quoteShell } from '../render/quote/shell.ts';

/** A command as one would type it. Throws a UserError for a word that no shell can carry. */
export function quoteCommand(words: readonly string[]): string {
  return words.map((word) => quoteShell(word, 'the command')).join(' ');
}
