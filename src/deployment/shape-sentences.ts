import { safeParse, type z } from 'zod';
import type { ShapeProblem } from './judge-shape.ts';
import { nearestWord } from './nearest-word.ts';
import { kindOfValue, unwrap, type Schema } from './schema-walk.ts';
import type { SettingPath } from './setting-path.ts';

/** What is wrong with one value (text, number, choice, size of a list), as a sentence, or null. */
export function leafProblem(schema: Schema, value: unknown, path: SettingPath): ShapeProblem | null {
  const result = safeParse(schema, value);
  const issue = result.success ? undefined : result.error.issues.find((found) => found.path.length === 0);
  if (issue === undefined) return null;
  const at = { path, at: 'value' } as const;
  if (issue.code === 'too_small') return { ...at, ...tooSmall(issue, value) };
  if (issue.code === 'too_big') return { ...at, message: `must be at most ${String(issue.maximum)}${notThis(value)}` };
  if (issue.code === 'invalid_format')
    return { ...at, message: `cannot be ${shown(value, path)}`, hint: issue.message };
  if (issue.code === 'invalid_value') return wrongChoice(schema, value, path);
  return typeProblem([schema], value, path);
}

/** The value is of a kind that none of these schemas takes. */
export function typeProblem(schemas: readonly Schema[], value: unknown, path: SettingPath): ShapeProblem {
  const expected = listInWords([...new Set(schemas.map(typeInWords))], 'or');
  const at = { path, at: 'value' } as const;
  if (value === null || value === undefined) return { ...at, message: 'is empty', hint: `it must be ${expected}` };
  const leaves = schemas.flatMap(leavesOf);
  const types = leaves.map((leaf) => leaf._zod.def.type);
  if (typeof value === 'number' && types.includes('number')) {
    // A number, and still refused: not whole, or not finite.
    return { ...at, message: `must be ${expected}, not ${numberInWords(value)}` };
  }
  const hint = spellingHint(leaves, types, value, path);
  return { ...at, message: `must be ${expected}, not ${kindInWords(value)}`, ...(hint === null ? {} : { hint }) };
}

/** What a schema takes, in words: "a number", "a list", `"on" or "off"`. */
export function typeInWords(schema: Schema): string {
  const { def } = unwrap(schema)._zod;
  if (def.type === 'number') return hasWholeNumberCheck(def) ? 'a whole number' : 'a number';
  if (def.type === 'literal') return listInWords(def.values.map(quoted), 'or');
  if (def.type === 'enum') return listInWords(Object.values(def.entries).map(quoted), 'or');
  if (def.type === 'union') {
    return listInWords([...new Set((def.options as readonly Schema[]).map(typeInWords))], 'or');
  }
  return typeNames[def.type] ?? 'text';
}

const typeNames: Partial<Record<Schema['_zod']['def']['type'], string>> = {
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of settings',
  record: 'a map of names',
};

/** What was written, in words: "a number", "text", "true". */
export function kindInWords(value: unknown): string {
  switch (kindOfValue(value)) {
    case 'list':
      return 'a list';
    case 'map':
      return 'a map';
    case 'number':
      return 'a number';
    case 'boolean':
      return String(value);
    case 'text':
      return 'text';
    case null:
      return 'nothing';
  }
}

/** A choice as it would be written: text in quotes, numbers bare, long text cut. */
export function quoted(value: unknown): string {
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
}

/** "a", "a or b", "a, b or c". */
export function listInWords(words: readonly string[], last: 'or' | 'and'): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1) ?? ''}`;
}

function tooSmall(
  issue: z.core.$ZodIssueTooSmall,
  value: unknown,
): { readonly message: string; readonly hint?: string } {
  if (issue.origin === 'array') return { message: 'is an empty list', hint: 'give at least one, or leave it out' };
  if (issue.origin === 'string') return { message: 'is empty', hint: issue.message };
  const bound = issue.inclusive === false ? 'more than' : 'at least';
  return { message: `must be ${bound} ${String(issue.minimum)}${notThis(value)}` };
}

function wrongChoice(schema: Schema, value: unknown, path: SettingPath): ShapeProblem {
  const { def } = unwrap(schema)._zod;
  const choices = def.type === 'enum' ? Object.values(def.entries) : def.type === 'literal' ? def.values : [];
  const at = { path, at: 'value' } as const;
  if (value === null || value === undefined) {
    return { ...at, message: 'is empty', hint: `it must be ${typeInWords(schema)}` };
  }
  const written = typeof value === 'string' || typeof value === 'number' ? String(value) : null;
  const bare = choices.find((choice) => String(choice) === written);
  if (bare !== undefined && typeof bare !== typeof value) {
    const hint = typeof bare === 'string' ? `put it in quotes: "${bare}"` : `write it without quotes: ${String(bare)}`;
    return { ...at, message: `must be ${typeInWords(schema)}, not ${kindInWords(value)}`, hint };
  }
  const given = kindOfValue(value) === 'map' || kindOfValue(value) === 'list' ? kindInWords(value) : quoted(value);
  const near = typeof value === 'string' ? nearestWord(value, choices.map(String)) : null;
  const hint = near === null ? spellingHint([schema], [], value, path) : `did you mean "${near}"?`;
  return { ...at, message: `must be ${typeInWords(schema)}, not ${given}`, ...(hint === null ? {} : { hint }) };
}

/** The usual slips: quotes around a number, none around text, yes and no of older YAML. */
function spellingHint(
  leaves: readonly Schema[],
  types: readonly string[],
  value: unknown,
  path: SettingPath,
): string | null {
  if (typeof value === 'string' && types.includes('boolean')) {
    const word = value.toLowerCase();
    if (['yes', 'on', 'true'].includes(word)) return 'write true';
    if (['no', 'off', 'false'].includes(word)) return 'write false';
  }
  if (typeof value === 'string' && types.includes('number') && /^[0-9]+(?:\.[0-9]+)?$/.test(value)) {
    return `write it without quotes: ${value}`;
  }
  if (typeof value === 'boolean') {
    // on and off are true and false to older YAML, and to editors that still speak it.
    const word = value ? 'on' : 'off';
    if (leaves.some((leaf) => leaf._zod.def.type !== 'string' && safeParse(leaf, word).success))
      return `write "${word}"`;
  }
  if (
    (typeof value === 'number' || typeof value === 'boolean') &&
    leaves.some((leaf) => leaf._zod.def.type === 'string' && safeParse(leaf, String(value)).success)
  ) {
    return mayBeSecret(path) ? 'put it in quotes' : `put it in quotes: "${value}"`;
  }
  if (typeof value === 'string' && types.includes('array')) return 'write a list: [one, two]';
  return null;
}

/** The schemas at the end of unions in unions. */
function leavesOf(schema: Schema): readonly Schema[] {
  const inner = unwrap(schema);
  const { def } = inner._zod;
  return def.type === 'union' ? (def.options as readonly Schema[]).flatMap(leavesOf) : [inner];
}

function shown(value: unknown, path: SettingPath): string {
  return mayBeSecret(path) ? 'this' : quoted(value);
}

/** Values of the environment and arguments of upstreams often are secrets: they are never repeated. */
function mayBeSecret(path: SettingPath): boolean {
  return path.includes('env') || path.includes('args') || path.includes('headers');
}

function notThis(value: unknown): string {
  return typeof value === 'number' ? `, not ${value}` : '';
}

function numberInWords(value: number): string {
  if (Number.isNaN(value)) return '.nan';
  return Number.isFinite(value) ? String(value) : '.inf';
}

function hasWholeNumberCheck(def: z.core.$ZodNumberDef): boolean {
  // z.int() is its own check; a number made whole by .int() has one in its list.
  return 'format' in def || (def.checks ?? []).some((check) => check._zod.def.check === 'number_format');
}
