import type { z } from 'zod';
import { nearestWord } from './nearest-word.ts';
import type { SettingPath } from './setting-path.ts';
import {
  branchFor,
  discriminatorOf,
  formsOf,
  homesOf,
  kindOf,
  mayBeLeftOut,
  unwrap,
  type Form,
  type Schema,
} from './schema-walk.ts';
import { kindInWords, leafProblem, listInWords, quoted, typeInWords, typeProblem } from './shape-sentences.ts';

/** Something wrong at one setting; the sentence follows the path: "must be a number, not text". */
export interface ShapeProblem {
  readonly path: SettingPath;
  /** Whether the key or the value is to be shown; for a missing setting the key of the map it is missing from. */
  readonly at: 'key' | 'value' | 'parent';
  readonly message: string;
  readonly hint?: string;
}

export interface ShapeJudgement {
  readonly problems: readonly ShapeProblem[];
  /** What is left when everything wrong is taken out, or undefined when nothing is. */
  readonly sound: unknown;
}

/**
 * Compares plain data with the schema of the deployment file and says all that
 * is wrong, in words. Zod judges the single values; the walk around it is our
 * own, because only it can tell which branch of a union was meant.
 */
export function judgeShape(schema: Schema, value: unknown): ShapeJudgement {
  const problems: ShapeProblem[] = [];
  const sound = visit({ root: schema, problems }, schema, value, []);
  return { problems, sound: sound === wrong ? undefined : sound };
}

interface Visit {
  readonly root: Schema;
  readonly problems: ShapeProblem[];
}

/** In place of a value that cannot be used. */
const wrong = Symbol('wrong');

function visit(context: Visit, outer: Schema, value: unknown, path: SettingPath): unknown {
  const schema = unwrap(outer);
  const { def } = schema._zod;
  if (def.type === 'union') return visitUnion(context, schema, value, path);
  if (def.type === 'object') {
    if (isMap(value)) return visitObject(context, def.shape, value, path);
  } else if (def.type === 'record') {
    if (isMap(value)) return visitRecord(context, def, value, path);
  } else if (def.type === 'array') {
    if (Array.isArray(value)) return visitList(context, schema, def.element as Schema, value, path);
  } else {
    const problem = leafProblem(schema, value, path);
    if (problem === null) return value;
    context.problems.push(problem);
    return wrong;
  }
  context.problems.push(typeProblem([schema], value, path));
  return wrong;
}

function visitObject(
  context: Visit,
  shape: Readonly<Record<string, z.core.$ZodType>>,
  value: Readonly<Record<string, unknown>>,
  path: SettingPath,
  otherHomes: ReadonlyMap<string, string> = new Map(),
): unknown {
  const known = Object.keys(shape);
  const meant = new Set<string>();
  for (const key of Object.keys(value).filter((key) => !Object.hasOwn(shape, key))) {
    const problem = unknownKey(context, key, known, value, path, otherHomes);
    if (problem.meant !== null) meant.add(problem.meant);
    context.problems.push(problem.problem);
  }

  const sound: Record<string, unknown> = {};
  let usable = true;
  for (const [key, child] of Object.entries(shape) as [string, Schema][]) {
    const given = Object.hasOwn(value, key) ? value[key] : undefined;
    // A section whose lines are all commented out reads as nothing: the same as leaving it out.
    if (given === undefined || (given === null && mayBeLeftOut(child) && isSection(child))) {
      if (mayBeLeftOut(child)) continue;
      usable = false;
      if (!meant.has(key)) context.problems.push(missing(child, [...path, key]));
      continue;
    }
    const result = visit(context, child, given, [...path, key]);
    if (result !== wrong) sound[key] = result;
    else if (!mayBeLeftOut(child)) usable = false;
  }
  return usable ? sound : wrong;
}

function unknownKey(
  context: Visit,
  key: string,
  known: readonly string[],
  value: Readonly<Record<string, unknown>>,
  path: SettingPath,
  otherHomes: ReadonlyMap<string, string>,
): { problem: ShapeProblem; meant: string | null } {
  const at = { path: [...path, key], at: 'key' } as const;
  const otherHome = otherHomes.get(key);
  if (otherHome !== undefined) {
    return { problem: { ...at, message: 'does not belong here', hint: otherHome }, meant: null };
  }
  const message = 'is not a known setting';
  const near = nearestWord(
    key,
    known.filter((name) => !Object.hasOwn(value, name)),
  );
  const homes = homesOf(context.root, key);
  // The exact word at another place beats a word that only looks alike.
  if (homes.length > 0 && homes.length <= 2) {
    return { problem: { ...at, message, hint: `it belongs to ${listInWords(homes, 'or')}` }, meant: null };
  }
  if (near !== null) return { problem: { ...at, message, hint: `did you mean "${near}"?` }, meant: near };
  return { problem: { ...at, message, hint: `known here: ${known.join(', ')}` }, meant: null };
}

function visitRecord(
  context: Visit,
  def: z.core.$ZodRecordDef,
  value: Readonly<Record<string, unknown>>,
  path: SettingPath,
): unknown {
  const sound: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(value)) {
    const at = [...path, key];
    const badKey = leafProblem(def.keyType as Schema, key, at);
    if (badKey !== null) {
      const hint = badKey.hint === undefined ? {} : { hint: badKey.hint };
      context.problems.push({ path: at, at: 'key', message: 'is not a name that can be used', ...hint });
    }
    const result = visit(context, def.valueType as Schema, child, at);
    if (result !== wrong && badKey === null) sound[key] = result;
  }
  return sound;
}

function visitList(
  context: Visit,
  schema: Schema,
  element: Schema,
  value: readonly unknown[],
  path: SettingPath,
): unknown {
  const before = context.problems.length;
  const sound = value
    .map((item, index) => visit(context, element, item, [...path, index]))
    .filter((item) => item !== wrong);
  if (context.problems.length > before) return sound.length > 0 ? sound : wrong;
  const problem = leafProblem(schema, value, path);
  if (problem === null) return sound;
  context.problems.push(problem);
  return wrong;
}

function visitUnion(context: Visit, union: Schema, value: unknown, path: SettingPath): unknown {
  const discriminator = discriminatorOf(union);
  if (discriminator !== null && isMap(value)) return visitVariants(context, discriminator, value, path);
  const forms = formsOf(union);
  if (forms !== null && isMap(value)) return visitForms(context, forms, value, path);
  const branch = branchFor(union, value);
  if (branch !== null && unwrap(branch)._zod.def.type !== 'literal') return visit(context, branch, value, path);
  if (branch !== null && leafProblem(branch, value, path) === null) return value;
  if (branch !== null) {
    const message = `must be ${typeInWords(union)}, not ${quoted(value)}`;
    context.problems.push({ path, at: 'value', message });
    return wrong;
  }
  const variants = discriminator === null ? [] : Object.keys(discriminator.variants);
  const problem = typeProblem([union], value, path);
  const hint =
    typeof value === 'string' && variants.includes(value) ? { hint: `write { ${discriminator?.key}: ${value} }` } : {};
  context.problems.push({ ...problem, ...hint });
  return wrong;
}

/** A map whose one key says which settings the others may be. */
function visitVariants(
  context: Visit,
  { key, variants }: NonNullable<ReturnType<typeof discriminatorOf>>,
  value: Readonly<Record<string, unknown>>,
  path: SettingPath,
): unknown {
  const names = Object.keys(variants);
  const chosen = value[key];
  const variant = typeof chosen === 'string' && Object.hasOwn(variants, chosen) ? variants[chosen] : undefined;
  if (variant !== undefined) {
    const otherHomes = new Map<string, string>();
    for (const shape of Object.values(variants)) {
      for (const setting of Object.keys(shape)) {
        const homes = Object.keys(variants).filter((other) => setting in (variants[other] ?? {}));
        otherHomes.set(setting, `it goes with ${key}: ${listInWords(homes, 'or')}; here ${key} is ${String(chosen)}`);
      }
    }
    return visitObject(context, variant, value, path, otherHomes);
  }

  const all = [...new Set(Object.values(variants).flatMap((shape) => Object.keys(shape)))];
  let misspelt = false;
  for (const other of Object.keys(value).filter((other) => !all.includes(other))) {
    const problem = unknownKey(context, other, all, value, path, new Map());
    misspelt ||= problem.meant === key;
    context.problems.push(problem.problem);
  }
  const choices = listInWords(names.map(quoted), 'or');
  if (chosen === undefined) {
    if (!misspelt) {
      context.problems.push({
        path: [...path, key],
        at: 'parent',
        message: 'is missing',
        hint: `write ${listInWords(names, 'or')}`,
      });
    }
    return wrong;
  }
  const near = typeof chosen === 'string' ? nearestWord(chosen, names) : null;
  context.problems.push({
    path: [...path, key],
    at: 'value',
    message: `must be ${choices}, not ${typeof chosen === 'string' ? quoted(chosen) : kindInWords(chosen)}`,
    ...(near === null ? {} : { hint: `did you mean "${near}"?` }),
  });
  return wrong;
}

/** A map of one of several forms, each with a setting of its own that it cannot be without. */
function visitForms(
  context: Visit,
  forms: readonly Form[],
  value: Readonly<Record<string, unknown>>,
  path: SettingPath,
): unknown {
  const given = forms.filter(({ tellingKey }) => Object.hasOwn(value, tellingKey));
  const [form, ...others] = given;
  if (form !== undefined && others.length === 0) {
    const otherHomes = new Map<string, string>();
    for (const { tellingKey, settings } of forms) {
      for (const setting of Object.keys(settings)) otherHomes.set(setting, `it goes with ${tellingKey}`);
    }
    for (const setting of Object.keys(form.settings)) otherHomes.delete(setting);
    return visitObject(context, form.settings, value, path, otherHomes);
  }
  const all = [...new Set(forms.flatMap(({ settings }) => Object.keys(settings)))];
  const choices = forms.map(({ tellingKey }) => tellingKey);
  let misspelt = false;
  for (const key of Object.keys(value).filter((key) => !all.includes(key))) {
    const problem = unknownKey(context, key, all, value, path, new Map());
    misspelt ||= problem.meant !== null && choices.includes(problem.meant);
    context.problems.push(problem.problem);
  }
  if (form !== undefined) {
    const second = [...path, others[0]?.tellingKey ?? ''];
    context.problems.push({
      path: second,
      at: 'key',
      message: `cannot stand beside ${form.tellingKey}`,
      hint: 'keep one of them',
    });
  } else if (!misspelt) {
    context.problems.push({
      path,
      at: 'key',
      message: `must have ${listInWords(choices, 'or')}`,
      hint: describeForms(forms),
    });
  }
  return wrong;
}

function describeForms(forms: readonly Form[]): string {
  return forms
    .map(({ tellingKey, settings }) => {
      const { description } = settings[tellingKey] as { description?: string };
      return description === undefined ? tellingKey : `${tellingKey}: ${description}`;
    })
    .join('; ');
}

function missing(schema: Schema, path: SettingPath): ShapeProblem {
  const inner = unwrap(schema);
  const { description } = schema as { description?: string };
  const { def } = inner._zod;
  const hint =
    def.type === 'literal' && def.values.length === 1
      ? `write ${String(path.at(-1))}: ${String(def.values[0])}`
      : `${typeInWords(inner)}${description === undefined ? '' : `: ${description}`}`;
  return { path, at: 'parent', message: 'is missing', hint };
}

function isSection(schema: Schema): boolean {
  const kinds = kindOf(schema);
  return kinds.has('map') || kinds.has('list');
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
