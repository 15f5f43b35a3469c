import type { Answer, Observations } from '../observations.ts';
import type { Fix, Verdict } from '../types.ts';
import { mainAnswer, notSeen, unknown } from './endpoint-check.ts';

export type Answered = Extract<Answer, { kind: 'answered' }>;

/** Judges the answer that a client with all it was given would get; says why not when there is none. */
export function withAnswer(seen: Observations, judge: (answer: Answered) => Verdict): Verdict {
  if (seen.answers.status !== 'ok') return notSeen(seen.answers);
  const answer = mainAnswer(seen);
  return answer?.kind === 'answered' ? judge(answer) : unknown('the server did not answer over HTTP');
}

/** Status 2xx. */
export function isSuccess(answer: Answered): boolean {
  return answer.status >= 200 && answer.status < 300;
}

/** What to do when the process behind an answer is the trouble. */
export function restartFix({ target }: Observations, summary: string): Fix {
  return { summary, commands: target.own ? ['mcp-deploy logs', 'mcp-deploy restart'] : [] };
}
