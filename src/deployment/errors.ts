/**
 * The two kinds of failure that are not bugs. Everything else that is thrown
 * is a bug in mcp-deploy (exit 70).
 *
 * Every message follows one form: what happened, why, what to do next.
 */

export interface ErrorDetail {
  /** Why it happened, one sentence, when it is known. */
  readonly why?: string;
  /** What to do next: a sentence or a command. */
  readonly next?: string;
  /** Exit code that fits; 2 for wrong input, 3 for "refused before changing anything" by default. */
  readonly exitCode?: number;
  /** Lines of outside text that help (a child's last words, a program's complaint), shown indented. */
  readonly excerpt?: readonly string[];
  readonly cause?: unknown;
}

/** A failure with a kind sentence for a person; the base of the two below, never thrown itself. */
export abstract class ExplainedError extends Error {
  readonly why: string | undefined;
  readonly next: string | undefined;
  readonly exitCode: number;
  readonly excerpt: readonly string[];

  constructor(what: string, defaultExitCode: number, detail: ErrorDetail) {
    super(what, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = new.target.name;
    this.why = detail.why;
    this.next = detail.next;
    this.exitCode = detail.exitCode ?? defaultExitCode;
    this.excerpt = detail.excerpt ?? [];
  }
}

/** The user's input is wrong: a flag, the deployment file, an answer. Exit 2 unless said otherwise. */
export class UserError extends ExplainedError {
  constructor(what: string, detail: ErrorDetail = {}) {
    super(what, 2, detail);
  }
}

/** The user's machine is in the way: a taken port, no permission, a full disk. Exit 3 unless said otherwise. */
export class EnvironmentError extends ExplainedError {
  constructor(what: string, detail: ErrorDetail = {}) {
    super(what, 3, detail);
  }
}
