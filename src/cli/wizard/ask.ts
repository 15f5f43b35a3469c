import type { CommandContext } from '../context.ts';
import { wrapText } from '../output/wrap-text.ts';
import type { AnswerKey, Answers, GivenAnswers } from './answers.ts';
import type { Asker } from './asker.ts';
import type { ServerCandidate, WizardFacts } from './facts.ts';
import { other, questionsFor, type Question } from './question-list.ts';
import { publicCertificate } from './propose.ts';

/** What the questions are about, and what is known without them. */
export interface Interview {
  /** By flag or file: not asked. */
  readonly given: GivenAnswers;
  readonly facts: WizardFacts;
  readonly candidates: readonly ServerCandidate[];
  /** Every answer, from what was given and what was answered so far. */
  readonly settle: (answered: GivenAnswers) => Answers;
}

/** The answers, and how to take the last one back. */
export interface Interviewed {
  readonly answers: Answers;
  /** Goes on from the last question, as `<` does. */
  again(): Promise<Interviewed>;
}

/**
 * Puts the questions whose answers no flag has given, one after the other; `<` goes back, `?` explains. Asks and changes
 * nothing. Ctrl-C throws ExitPromptError.
 */
export async function askQuestions(asker: Asker, interview: Interview): Promise<Interviewed> {
  return walk(asker, interview, { answered: {}, ownServer: false, asked: [] }, null);
}

interface Progress {
  readonly answered: GivenAnswers;
  readonly ownServer: boolean;
  /** Keys of the questions that were answered, the last one at the end. */
  readonly asked: readonly Question['key'][];
}

async function walk(
  asker: Asker,
  interview: Interview,
  from: Progress,
  at: Question['key'] | null,
): Promise<Interviewed> {
  let progress = from;
  let current = at ?? nextKey(interview, progress, null);
  while (current !== null) {
    const question = questionsNow(interview, progress).find(({ key }) => key === current);
    if (question === undefined) throw new Error(`no question ${current}`);
    const reply = await asker.ask(question);
    if (reply.kind === 'help') {
      asker.say(question.help);
      continue;
    }
    if (reply.kind === 'back') {
      const back = goBack(interview, progress);
      if (back === null) asker.say('This is the first question. Ctrl-C leaves everything as it is.');
      else [progress, current] = back;
      continue;
    }
    const judged = question.kind === 'yes-or-no' ? question.judge(reply.value === true) : true;
    if (judged !== true) {
      asker.say(judged);
      continue;
    }
    progress = {
      answered: { ...progress.answered, ...taken(question, reply.value) },
      ownServer: current === 'server' ? reply.value === other : progress.ownServer,
      asked: [...progress.asked, current],
    };
    current = nextKey(interview, progress, current);
  }
  const done = progress;
  return {
    answers: interview.settle(done.answered),
    again: () => {
      const [before, key] = goBack(interview, done) ?? [done, null];
      return walk(asker, interview, before, key);
    },
  };
}

function questionsNow({ settle, facts, candidates, given }: Interview, progress: Progress): readonly Question[] {
  const answers = settle(progress.answered);
  const isDecided = given.certificate !== undefined || progress.answered.certificate !== undefined;
  const shown = isDecided ? answers : { ...answers, certificate: publicCertificate(answers) };
  return questionsFor(shown, facts, candidates, progress.ownServer).filter(({ key }) => !isGiven(key, given));
}

function isGiven(key: Question['key'], given: GivenAnswers): boolean {
  const isServer = key === 'server' || key === 'command';
  if (isServer) return given.command !== undefined || given.url !== undefined;
  return given[key] !== undefined;
}

function nextKey(interview: Interview, progress: Progress, after: Question['key'] | null): Question['key'] | null {
  const keys = questionsNow(interview, progress).map(({ key }) => key);
  return keys[after === null ? 0 : keys.indexOf(after) + 1] ?? null;
}

/** The last question that was asked and still makes sense. */
function goBack(interview: Interview, progress: Progress): [Progress, Question['key']] | null {
  const keys = new Set(questionsNow(interview, progress).map(({ key }) => key));
  const asked = [...progress.asked];
  for (let key = asked.pop(); key !== undefined; key = asked.pop()) {
    if (keys.has(key)) return [{ ...progress, asked }, key];
  }
  return null;
}

function taken(question: Question, value: string | boolean): GivenAnswers {
  if (question.kind === 'yes-or-no') return question.take(value === true);
  return question.take(String(value));
}

/** What is said before the first question. */
export function describeKeys({ output, deploymentFile }: CommandContext, isEdit: boolean): string {
  const about = isEdit
    ? `${deploymentFile} is there: its settings are the answers that are offered, and its comments stay.`
    : 'A few questions; nothing is changed before the last one.';
  return wrapText(
    `${about} Enter takes what is offered, ? explains a question, < goes back, Ctrl-C leaves everything as it is.`,
    {
      columns: output.columns,
      indent: 2,
    },
  );
}

/** Names of the answers that only a person can give, under the others, each with the flag that gives it. */
export function missingAnswers(
  answers: Answers,
  facts: WizardFacts,
): readonly { readonly key: AnswerKey; readonly flag: string; readonly message: string }[] {
  return questionsFor(answers, facts, [], true).flatMap((question) => {
    const { key, flag, message } = question;
    if (key === 'server') return [];
    const judged = question.kind === 'choose' ? true : judgedPreset(question);
    return judged === true ? [] : [{ key, flag, message }];
  });
}

function judgedPreset(question: Exclude<Question, { kind: 'choose' }>): true | string {
  return question.kind === 'write' ? question.judge(question.preset) : question.judge(question.preset);
}
