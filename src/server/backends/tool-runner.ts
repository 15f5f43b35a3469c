import type { ToolContext } from './tool-context.ts';

/** What a call of a tool gave: text, or a value that stands for itself. */
export type ToolOutput =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly value: unknown };

/** A failure that the caller is to read: its message goes into the result of the tool. */
export class ToolFailure extends Error {}

/** What a tool works with did not answer as it should: counted, so that it is left alone when that does not end. */
export class ToolOutage extends ToolFailure {
  /** It had the call, so that the failure may be the fault of what was asked. */
  readonly reached: boolean;

  constructor(message: string, reached: boolean) {
    super(message);
    this.reached = reached;
  }
}

/** The tool was not run, because a rule or a person said no: the audit tells it from a failure. */
export class ToolRefusal extends ToolFailure {}

export type ToolArguments = Readonly<Record<string, unknown>>;

/** Runs one call. Rejects with a ToolFailure for what the caller is to know; anything else stays in the log. */
export type RunTool = (input: ToolArguments, context: ToolContext) => Promise<ToolOutput>;

/** An argument as it stands inside of a text; null when the caller left it out. */
export function argumentText(input: ToolArguments, name: string): string | null {
  const value = Object.hasOwn(input, name) ? input[name] : undefined;
  if (value === undefined || value === null) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
