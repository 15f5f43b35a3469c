import { createInterface } from 'node:readline';
import type { CommandContext } from '../context.ts';
import { wrapText } from '../output/wrap-text.ts';
import { endOfInput } from './ask-on-screen.ts';
import type { AskedQuestion, Asker, Reply } from './asker.ts';

/** Questions line by line, without moving the cursor and without colour: for screen readers, dumb terminals and logs. */
export function askPlainly(context: CommandContext): Asker {
  const { world, output, signal } = context;
  const lines = createInterface({ input: world.stdin, terminal: false });
  const waiting: ((line: string | null) => void)[] = [];
  const early: string[] = [];
  let ended = false;
  /** The list that was read out last: it is not read again after a slip or an explanation. */
  let listed = '';
  lines.on('line', (line) => {
    const next = waiting.shift();
    if (next === undefined) early.push(line);
    else next(line);
  });
  lines.on('close', () => {
    ended = true;
    for (const next of waiting.splice(0)) next(null);
  });
  const say = (text: string): void => {
    world.stderr.write(`${wrapText(text, { columns: output.columns, indent: 0, hang: 4 })}\n`);
  };
  const readLine = async (prompt: string): Promise<string> => {
    world.stderr.write(`${wrapText(prompt, { columns: output.columns, indent: 0 })} `);
    const line =
      early.shift() ??
      (ended
        ? null
        : await new Promise<string | null>((resolve, reject) => {
            const onAbort = (): void => reject(new DOMException('interrupted', 'AbortError'));
            waiting.push((next) => {
              signal.removeEventListener('abort', onAbort);
              resolve(next);
            });
            signal.addEventListener('abort', onAbort, { once: true });
          }));
    if (line === null) throw endOfInput();
    return line.trim();
  };
  return {
    async ask(question) {
      for (;;) {
        if (question.kind === 'choose' && listed !== JSON.stringify(question.choices)) {
          say(question.message);
          for (const [index, { title, about }] of question.choices.entries()) say(`${index + 1}. ${title}: ${about}`);
        }
        listed = question.kind === 'choose' ? JSON.stringify(question.choices) : '';
        const reply = await askOnce(question, readLine, say);
        if (reply !== null) return reply;
      }
    },
    say,
    close: () => lines.close(),
  };
}

/** Null when the answer could not be used, which has been said. */
async function askOnce(
  question: AskedQuestion,
  readLine: (prompt: string) => Promise<string>,
  say: (text: string) => void,
): Promise<Reply | null> {
  const text = await readLine(promptFor(question));
  if (text === '?') return { kind: 'help' };
  if (text === '<') return { kind: 'back' };
  switch (question.kind) {
    case 'choose': {
      const chosen =
        text === ''
          ? question.preset
          : (question.choices[Number(text) - 1]?.value ?? question.choices.find(({ value }) => value === text)?.value);
      if (chosen !== undefined) return { kind: 'answer', value: chosen };
      say(`Give a number from 1 to ${question.choices.length}.`);
      return null;
    }
    case 'yes-or-no': {
      const value =
        text === '' ? question.preset : /^y(?:es)?$/i.test(text) ? true : /^no?$/i.test(text) ? false : null;
      if (value !== null) return { kind: 'answer', value };
      say('Answer y or n.');
      return null;
    }
    case 'write': {
      const value = text === '' ? question.preset : text === '-' ? '' : text;
      const judged = question.judge(value);
      if (judged === true) return { kind: 'answer', value };
      say(judged);
      return null;
    }
  }
}

function promptFor(question: AskedQuestion): string {
  switch (question.kind) {
    case 'choose': {
      const at = question.choices.findIndex(({ value }) => value === question.preset);
      return `Number [${at + 1}]:`;
    }
    case 'yes-or-no':
      return `${question.message} ${question.preset ? '[Y/n]' : '[y/N]'}:`;
    case 'write':
      return question.preset === ''
        ? `${question.message}:`
        : `${question.message} [${question.preset}${question.judge('') === true ? '; - for none' : ''}]:`;
  }
}
