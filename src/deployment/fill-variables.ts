/**
 * `${NAME}` and `${NAME:-default}`. Where secrets may stand (fill-settings.ts), the file and everything written from it
 * keep the reference, and only the server fills it when it starts, so that a secret never lands on disk.
 */

export interface FilledText {
  readonly text: string;
  /** Variables without a value and without a default, each once; their references are left in the text. */
  readonly missing: readonly string[];
}

/** `$${` (a literal `${`), then a reference with an optional default. */
const reference = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}/g;

/**
 * Fills the references of one text from `env`. As in a shell, the default also
 * stands in for an empty variable, and `$${` is written for a literal `${`.
 */
export function fillVariables(text: string, env: Readonly<Record<string, string | undefined>>): FilledText {
  const missing = new Set<string>();
  const filled = text.replace(reference, (whole: string, name: string | undefined, fallback: string | undefined) => {
    if (name === undefined) return '${';
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
    if (value !== undefined) return value;
    missing.add(name);
    return whole;
  });
  return { text: filled, missing: [...missing] };
}

/** `${file:PATH}` and `${exec:COMMAND}`, which the server alone follows (secret-reference.ts). */
const secretReference = /\$\{(?:file|exec):[^{}]+\}/g;

function blank(whole: string): string {
  return ' '.repeat(whole.length);
}

/** Names of the variables that a text refers to, each once, in order of appearance. */
export function variablesIn(text: string): readonly string[] {
  const names = new Set<string>();
  for (const match of text.matchAll(reference)) if (match[1] !== undefined) names.add(match[1]);
  return [...names];
}

/** The first `${` that starts neither a reference nor `$${`, with what follows it, or null: most likely a typing mistake. */
export function brokenReferenceIn(text: string): string | null {
  const rest = text.replace(reference, blank).replace(secretReference, blank);
  const start = rest.indexOf('${');
  return start === -1 ? null : text.slice(start, start + 20);
}
