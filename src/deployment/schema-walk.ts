import type { z } from 'zod';
import { formatPath, type SettingPath } from './setting-path.ts';

/** Any zod schema, its definition told apart by `_zod.def.type`. */
export type Schema = z.core.$ZodTypes;

/** The schema under defaults and optional. */
export function unwrap(schema: Schema): Schema {
  let current = schema;
  for (;;) {
    const { def } = current._zod;
    if (def.type !== 'default' && def.type !== 'prefault' && def.type !== 'optional') return current;
    current = def.innerType as Schema;
  }
}

/** Whether the file may leave the setting out. */
export function mayBeLeftOut(schema: Schema): boolean {
  const { type } = schema._zod.def;
  return type === 'default' || type === 'prefault' || type === 'optional';
}

/** The settings of a map, by name; of all branches when it is a union. Null when it is no map with fixed names. */
export function settingsOf(schema: Schema): Readonly<Record<string, Schema>> | null {
  const { def } = unwrap(schema)._zod;
  if (def.type === 'object') return def.shape as Readonly<Record<string, Schema>>;
  if (def.type !== 'union') return null;
  const branches = (def.options as readonly Schema[]).map(settingsOf).filter((settings) => settings !== null);
  return branches.length === 0 ? null : Object.assign({}, ...branches);
}

export type Kind = 'text' | 'number' | 'boolean' | 'map' | 'list';

/** The kinds of value that a schema can take. */
export function kindOf(schema: Schema): ReadonlySet<Kind> {
  const { def } = unwrap(schema)._zod;
  if (def.type === 'union') return new Set((def.options as readonly Schema[]).flatMap((option) => [...kindOf(option)]));
  if (def.type === 'literal') return new Set(def.values.map((value) => kindOfValue(value) ?? 'text'));
  return new Set([kindsOfSchemas[def.type] ?? 'text']);
}

const kindsOfSchemas: Partial<Record<Schema['_zod']['def']['type'], Kind>> = {
  object: 'map',
  record: 'map',
  array: 'list',
  number: 'number',
  boolean: 'boolean',
};

/** The kind of a value, or null for nothing. */
export function kindOfValue(value: unknown): Kind | null {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return 'list';
  return kindsOfValues[typeof value] ?? 'map';
}

const kindsOfValues: Readonly<Record<string, Kind>> = {
  number: 'number',
  bigint: 'number',
  boolean: 'boolean',
  string: 'text',
};

/** The branch of a union that can take this kind of value, or null. */
export function branchFor(union: Schema, value: unknown): Schema | null {
  const { def } = union._zod;
  const kind = kindOfValue(value);
  if (def.type !== 'union' || kind === null) return null;
  const options = (def.options as readonly Schema[]).filter((option) => kindOf(option).has(kind));
  if (kind !== 'map' || options.length < 2) return options[0] ?? null;
  const forms = formsOf(union) ?? [];
  return forms.find((form) => Object.hasOwn(value as object, form.tellingKey))?.schema ?? options[0] ?? null;
}

/** One of several maps that a setting may be, and the setting that only this one has and needs. */
export interface Form {
  readonly tellingKey: string;
  readonly schema: Schema;
  readonly settings: Readonly<Record<string, Schema>>;
}

/** For a union of maps without a common key that tells them apart: what tells them apart. Null for other unions. */
export function formsOf(union: Schema): readonly Form[] | null {
  const { def } = union._zod;
  if (def.type !== 'union' || 'discriminator' in def) return null;
  const maps = (def.options as readonly Schema[]).flatMap((schema) => {
    const settings = settingsOf(schema);
    return settings === null ? [] : [{ schema, settings }];
  });
  if (maps.length < 2) return null;
  const forms = maps.flatMap(({ schema, settings }) => {
    const tellingKey = Object.keys(settings).find(
      (key) =>
        !mayBeLeftOut(settings[key] as Schema) &&
        maps.every((other) => other.schema === schema || !Object.hasOwn(other.settings, key)),
    );
    return tellingKey === undefined ? [] : [{ tellingKey, schema, settings }];
  });
  return forms.length === maps.length ? forms : null;
}

/** For a union told apart by one key: that key, and the settings of each variant by its name. */
export function discriminatorOf(union: Schema): {
  readonly key: string;
  readonly variants: Readonly<Record<string, Readonly<Record<string, Schema>>>>;
} | null {
  const { def } = union._zod;
  if (def.type !== 'union' || !('discriminator' in def)) return null;
  const key = String(def.discriminator);
  const variants: Record<string, Readonly<Record<string, Schema>>> = {};
  for (const option of def.options as readonly Schema[]) {
    const settings = settingsOf(option);
    const chosen = settings?.[key]?._zod.def;
    if (settings !== null && chosen?.type === 'literal') variants[String(chosen.values[0])] = settings;
  }
  return { key, variants };
}

/** The maps of the file, as paths, in which a setting of this name is known; names chosen by the user show as NAME. */
export function homesOf(root: Schema, setting: string): readonly string[] {
  const homes: string[] = [];
  const visit = (schema: Schema, path: SettingPath): void => {
    const inner = unwrap(schema);
    const settings = settingsOf(inner);
    if (settings !== null) {
      if (Object.hasOwn(settings, setting)) homes.push(path.length === 0 ? 'the top level' : formatPath(path));
      for (const [key, child] of Object.entries(settings)) visit(child, [...path, key]);
    } else if (inner._zod.def.type === 'record') {
      visit(inner._zod.def.valueType as Schema, [...path, 'NAME']);
    }
  };
  visit(root, []);
  return homes;
}
