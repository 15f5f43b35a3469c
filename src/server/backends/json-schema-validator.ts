import { isIP } from 'node:net';
import type { Ajv2020 as Validator, ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';

/** Judges a value: null when it is fine, otherwise everything that is wrong with it, in words. */
export type JudgeValue = (value: unknown) => string | null;

export interface SchemaCompiler {
  /** Throws an Error whose message says what is wrong with the schema. `what` names the value as a whole. */
  compile(schema: Readonly<Record<string, unknown>>, what: string): JudgeValue;
}

/** Longer lists of mistakes help nobody. */
const mostErrors = 20;

/**
 * A compiler of JSON Schema 2020-12. Unknown keywords and formats are
 * refused, because they are typing mistakes most often. Formats: date, time,
 * date-time, duration, email, hostname, ipv4, ipv6, uri, uuid, regex.
 */
export async function loadSchemaCompiler(): Promise<SchemaCompiler> {
  // A fifth of the start-up time, for deployments that declare tools only.
  const { Ajv2020 } = await import('ajv/dist/2020.js');
  const ajv: Validator = new Ajv2020({
    allErrors: true,
    strict: true,
    strictTypes: false,
    strictRequired: false,
    strictTuples: false,
    logger: false,
    formats,
  });
  for (const keyword of ['example', 'x-mcp-header']) ajv.addKeyword(keyword);
  return {
    compile(schema, what) {
      const validate: ValidateFunction = ajv.compile(schema);
      if ('$async' in schema) throw new Error('$async is not supported');
      return (value) => (validate(value) ? null : describeErrors(validate.errors ?? [], what));
    },
  };
}

const isoDate = /^(\d{4})-(\d{2})-(\d{2})$/;
const isoTime = /^(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d{1,9})?(?:z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

function isDate(text: string): boolean {
  const [, year, month, day] = isoDate.exec(text) ?? [];
  if (year === undefined) return false;
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  return date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day);
}

function isDateTime(text: string): boolean {
  const [date, time, ...rest] = text.split(/[Tt]/);
  return rest.length === 0 && isDate(date ?? '') && isoTime.test(time ?? '');
}

function isRegex(text: string): boolean {
  try {
    return Boolean(new RegExp(text, 'u'));
  } catch {
    return false;
  }
}

/** Expressions without nested repetition, so that no text makes them slow. */
const formats = {
  date: isDate,
  time: isoTime,
  'date-time': isDateTime,
  duration: /^P(?=.)(?:\d+W|(?:\d+Y)?(?:\d+M)?(?:\d+D)?(?:T(?=\d)(?:\d+H)?(?:\d+M)?(?:\d+S)?)?)$/,
  email: (text: string) => text.length <= 320 && /^[^\s@"(),:;<>[\\\]]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*$/.test(text),
  hostname: (text: string) =>
    text.length <= 253 &&
    text.split('.').every((label) => /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label)),
  ipv4: (text: string) => isIP(text) === 4,
  ipv6: (text: string) => isIP(text) === 6 && !text.includes('%'),
  uri: (text: string) => /^[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"{}|\\^`]+$/.test(text) && URL.canParse(text),
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  regex: isRegex,
};

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
