import type { Question } from './question-list.ts';

/** What comes back from a question. */
export type Reply =
  | { readonly kind: 'answer'; readonly value: string | boolean }
  | { readonly kind: 'back' }
  | { readonly kind: 'help' };

/** Puts questions to a person, on a screen that is drawn anew or line by line. */
export interface Asker {
  /** Puts one question until its answer is one that can be used. Ctrl-C and the end of the input throw. */
  ask(question: AskedQuestion): Promise<Reply>;
  /** Says something between two questions. */
  say(text: string): void;
  /** Gives the input back. */
  close(): void;
}

/** A question without what becomes of its answer. */
export type AskedQuestion = WithoutTake<Question>;
type WithoutTake<Q> = Q extends unknown ? Omit<Q, 'take' | 'flag' | 'key' | 'help'> : never;
