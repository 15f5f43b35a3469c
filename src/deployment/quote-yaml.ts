/**
 * A text as a YAML scalar that reads back as the same text, in block and in
 * flow context, for YAML 1.2 and for the 1.1 readers that editors still have:
 * bare only when nothing about it can be taken for something else.
 */
export function quoteYaml(text: string): string {
  if (bare.test(text) && !text.endsWith(':') && !reservedWords.has(text.toLowerCase())) return text;
  // Every JSON string is a YAML double-quoted scalar; what YAML calls a line break or unprintable is escaped as well.
  return JSON.stringify(text).replace(unprintable, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

/** Any plain value on one line: `[-y, "@scope/name"]`, `{ requests: 5 }`. */
export function inlineYaml(value: unknown): string {
  if (typeof value === 'string') return quoteYaml(value);
  if (Array.isArray(value)) return `[${value.map(inlineYaml).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const entries = Object.entries(value).filter(([, child]) => child !== undefined);
  if (entries.length === 0) return '{}';
  return `{ ${entries.map(([key, child]) => `${quoteYaml(key)}: ${inlineYaml(child)}`).join(', ')} }`;
}

const bare = /^(?:-{0,2}[A-Za-z]|_|\.{0,2}\/)[A-Za-z0-9_./:@=+~-]*$/;

const reservedWords: ReadonlySet<string> = new Set(['true', 'false', 'null', 'yes', 'no', 'on', 'off', 'y', 'n']);

const unprintable = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;
