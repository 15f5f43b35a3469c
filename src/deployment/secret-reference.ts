/**
 * Where a secret is kept, in place of the secret: `file:PATH` or `exec:COMMAND ARGS`, alone or within a text as
 * `${file:PATH}` and `${exec:COMMAND ARGS}`. Only the server follows a reference; everything else hands it on.
 */
export type SecretReference =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'exec'; readonly argv: readonly [string, ...string[]] };

/** `${file:…}` and `${exec:…}`. `${file:-x}` is a variable with a default. */
const embedded = /\$\{((?:file|exec):(?!-)[^{}]+)\}/g;

/** Reads `file:PATH` or `exec:COMMAND ARGS`. A text says what is wrong with it; null stands for no reference. Pure. */
export function parseSecretReference(text: string): SecretReference | string | null {
  if (text.startsWith('file:')) {
    const path = text.slice(5);
    return path.trim() === '' ? 'names no file' : { kind: 'file', path };
  }
  if (!text.startsWith('exec:')) return null;
  const argv = splitWords(text.slice(5));
  if (argv === null) return 'has a quote that does not end';
  const [command, ...args] = argv;
  return command === undefined || command === '' ? 'names no command' : { kind: 'exec', argv: [command, ...args] };
}

/** The references within a text, each as it is written between the braces. Pure. */
export function secretReferencesIn(text: string): readonly string[] {
  return Array.from(text.matchAll(embedded), (match) => match[1] ?? '');
}

/**
 * Puts values in the place of references. What stands in a value is not looked at again: a `${` in it is escaped for
 * `fillVariables`. Pure.
 */
export function placeSecrets(text: string, valueOf: (reference: string) => string): string {
  return text.replace(embedded, (_whole, reference: string) => valueOf(reference).replaceAll('${', () => '$${'));
}

/** Words as a shell splits them, with ' and " and nothing else of a shell; null when a quote does not end. */
function splitWords(text: string): string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let quote: string | null = null;
  for (const character of text) {
    if (quote !== null) {
      if (character === quote) quote = null;
      else word += character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= '';
    } else if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      word = (word ?? '') + character;
    }
  }
  if (quote !== null) return null;
  if (word !== null) words.push(word);
  return words;
}
