import type { Ajv2020 as Validator, ErrorObject, Format, ValidateFunction } from 'ajv/dist/2020.js';
import type { FormatName } from 'ajv-formats';

/** Judges a value: null when it is fine, otherwise everything that is wrong with it, in words. */
export type JudgeValue = (value: unknown) => string | null;

export interface SchemaCompiler {
  /** Throws a BadSchema. `what` names the value as a whole. */
  compile(schema: Readonly<Record<string, unknown>>, what: string): JudgeValue;
}

/** A schema that is none; `path` leads to the wrong part as far as that is known. */
export class BadSchema extends Error {
  readonly path: readonly string[];

  constructor(message: string, path: readonly string[], cause: unknown) {
    super(message, { cause });
    this.path = path;
  }
}

/** Longer lists of mistakes help nobody. */
const mostErrors = 20;

/**
 * Formats of texts that schemas may use, from ajv-formats. Left out: `url`, whose expression takes time with the square
 * of the length and refuses private networks, and `byte`, which goes line by line.
 */
export const formatNames: readonly FormatName[] = [
  'date',
  'time',
  'date-time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uri',
  'uri-reference',
  'uri-template',
  'uuid',
  'regex',
  'json-pointer',
  'relative-json-pointer',
];
/** No text of these formats is longer in practice; it bounds what an expression can cost. */
const maxFormatCharacters = 4_096;

/**
 * A compiler of JSON Schema 2020-12. Unknown keywords and formats are refused, because they are typing mistakes most
 * often.
 */
export async function loadSchemaCompiler(): Promise<SchemaCompiler> {
  // A fifth of the start-up time, for deployments that declare tools only.
  // By their default export: a bundle that is cut into parts keeps no other name of a CommonJS package.
  const [{ default: ajvModule }, { default: plugin }] = await Promise.all([
    import('ajv/dist/2020.js'),
    import('ajv-formats'),
  ]);
  const ajv: Validator = new ajvModule.Ajv2020({
    allErrors: true,
    strict: true,
    strictTypes: false,
    strictRequired: false,
    strictTuples: false,
    logger: false,
    formats: Object.fromEntries(formatNames.map((name) => [name, boundFormat(plugin.default.get(name))])),
  });
  // Ajv follows $anchor, but its strict mode does not know the word.
  for (const keyword of ['$anchor', 'example', 'x-mcp-header']) ajv.addKeyword(keyword);
  return {
    compile(schema, what) {
      const validate = compileWith(ajv, schema);
      return (value) => (validate(value) ? null : describeErrors(validate.errors ?? [], what));
    },
  };
}

function compileWith(ajv: Validator, schema: Readonly<Record<string, unknown>>): ValidateFunction {
  if ('$async' in schema) throw new BadSchema('$async is not supported', ['$async'], undefined);
  // What an earlier schema did wrong is not said of this one.
  ajv.errors = null;
  try {
    return ajv.compile(schema);
  } catch (error) {
    const [first] = (ajv.errors as readonly ErrorObject[] | null) ?? [];
    const message = error instanceof Error ? error.message : String(error);
    if (first === undefined) throw new BadSchema(message, [], error);
    const path = first.instancePath.split('/').slice(1).map(unescapePointer);
    throw new BadSchema(first.message ?? message, path, error);
  }
}

/** RFC 6901. */
function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

/** The format, which looks at no text beyond its bound. */
function boundFormat(format: Format): (text: string) => boolean {
  const given = typeof format === 'object' && 'validate' in format ? format.validate : format;
  if (given instanceof RegExp) return (text) => text.length <= maxFormatCharacters && given.test(text);
  if (typeof given !== 'function') throw new TypeError('a format is an expression or a function');
  const judge = given as (text: string) => boolean;
  return (text) => text.length <= maxFormatCharacters && judge(text);
}

function describeErrors(errors: readonly ErrorObject[], what: string): string {
  const said = errors.slice(0, mostErrors).map(({ instancePath, keyword, params, message }) => {
    const place = instancePath.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~');
    const at = place === '' ? what : place;
    const given = params as Record<string, unknown>;
    if (keyword === 'required')
      return `${place === '' ? '' : `${place}.`}${String(given['missingProperty'])} is missing`;
    if (keyword === 'additionalProperties')
      return `${place === '' ? '' : `${place}.`}${String(given['additionalProperty'])} is not known`;
    if (keyword === 'enum')
      return `${at} must be one of ${(given['allowedValues'] as unknown[]).map((one) => JSON.stringify(one)).join(', ')}`;
    return `${at} ${message ?? 'is not allowed'}`;
  });
  if (errors.length > mostErrors) said.push(`and ${errors.length - mostErrors} more`);
  return [...new Set(said)].join('; ');
}
