import { Chalk, type ChalkInstance } from 'chalk';
import { ExplainedError } from '../../deployment/errors.ts';
import type { World } from '../world.ts';

/**
 * The only way to the terminal. The result goes to stdout, everything else to
 * stderr; with --json stdout gets exactly one document. Colour repeats what
 * the words say, so nothing is lost without it.
 */
export interface Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** Styles for stdout and stderr: no-ops where colour is not wanted. */
  readonly out: ChalkInstance;
  readonly err: ChalkInstance;
  readonly columns: number;
  /** Writes result text to stdout (not with --json). */
  result(text: string): void;
  /** Writes the one JSON document of this command to stdout (only with --json). */
  document(value: unknown): void;
  /** Raw bytes of a stream result (logs, a rendered file). */
  raw(text: string): void;
  /** A line of progress on stderr; silent with --quiet. */
  progress(text: string): void;
  /** What is being done just now: one line on stderr that goes away again; nothing where that is no terminal. Null: nothing is. */
  passing(text: string | null): void;
  warning(text: string): void;
  /** What happened, why, what to do next. With --json the document says it too. */
  failure(error: ExplainedError): void;
  /** Whether a document was written: main writes one for a failure if not. */
  readonly documentWritten: boolean;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/** Makes the output of one run. Honours NO_COLOR, FORCE_COLOR and whether each stream is a terminal. */
export function createOutput(world: World, options: OutputOptions): Output {
  const out = new Chalk({ level: colourLevel(world.env, world.stdout.isTTY === true) });
  const err = new Chalk({ level: colourLevel(world.env, world.stderr.isTTY === true) });
  let documentWritten = false;
  const showsPassing = !options.json && !options.quiet && world.stderr.isTTY === true && world.env['TERM'] !== 'dumb';
  let passingShown = false;
  const erasePassing = (): void => {
    if (passingShown) world.stderr.write('\r\u001b[K');
    passingShown = false;
  };

  return {
    ...options,
    out,
    err,
    columns: Math.max(40, Math.min(world.stdout.columns ?? 80, 120)),
    get documentWritten() {
      return documentWritten;
    },
    result(text) {
      erasePassing();
      if (!options.json) world.stdout.write(withNewline(text));
    },
    document(value) {
      if (!options.json) return;
      documentWritten = true;
      world.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
    },
    raw(text) {
      erasePassing();
      world.stdout.write(text);
    },
    progress(text) {
      erasePassing();
      if (!options.quiet) world.stderr.write(withNewline(text));
    },
    passing(text) {
      erasePassing();
      if (text === null || !showsPassing) return;
      // A line that wraps could not be erased as one; a terminal that does not know its width says 0.
      const columns = world.stderr.columns ?? 0;
      world.stderr.write(err.dim(text.slice(0, (columns > 0 ? columns : 80) - 1)));
      passingShown = true;
    },
    warning(text) {
      erasePassing();
      world.stderr.write(withNewline(`  ${err.yellow('!')} ${text}`));
    },
    failure(error) {
      erasePassing();
      world.stderr.write(formatFailure(error, err));
    },
  };
}

/** The text of a failure: what, why, outside words indented, next. Exported for its golden test. */
export function formatFailure(error: ExplainedError, style: ChalkInstance): string {
  const [first = '', ...rest] = error.message.split('\n');
  const lines = [`  ${style.red('error')}   ${first}`, ...rest.map((line) => `          ${line}`)];
  if (error.why !== undefined) lines.push(...error.why.split('\n').map((line) => `          ${line}`));
  for (const line of error.excerpt) lines.push(style.dim(`            ${line}`));
  if (error.next !== undefined) {
    const [head = '', ...tail] = error.next.split('\n');
    lines.push(`  ${style.bold('next')}    ${head}`, ...tail.map((line) => `          ${line}`));
  }
  return `${lines.join('\n')}\n`;
}

function colourLevel(env: NodeJS.ProcessEnv, isTerminal: boolean): 0 | 1 {
  if (env['NO_COLOR'] !== undefined && env['NO_COLOR'] !== '') return 0;
  if (env['FORCE_COLOR'] !== undefined && env['FORCE_COLOR'] !== '0') return 1;
  return isTerminal && env['TERM'] !== 'dumb' ? 1 : 0;
}

function withNewline(text: string): string {
  return text.endsWith('\n') ? text : `${text}\n`;
}
