import { brokenReferenceIn, fillVariables } from './fill-variables.ts';
import { kindOf, unwrap, type Kind, type Schema } from './schema-walk.ts';
import { secretReferencesIn } from './secret-reference.ts';
import type { SettingPath } from './setting-path.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** A `${` that cannot be filled; the message follows the path. */
export interface FillProblem {
  readonly path: SettingPath;
  readonly message: string;
  readonly hint: string;
  /** Variables that are not set. */
  readonly unset?: readonly string[];
}

/**
 * Settings whose `${NAME}` is not filled when the file is read, as dotted patterns. In the first ones the server fills
 * it when it starts, so that a secret never lands on disk; the others are passed on as written: commands, whose
 * programs may fill it themselves and whose arguments every user of the machine can read, and what is no setting at all.
 */
const leftAsWritten: readonly (readonly string[])[] = [
  'server.upstreams.*.env',
  'server.upstreams.*.headers',
  'auth.keys.*.secret',
  'redis.url',
  'logs.traces.headers',
  'server.upstreams.*.command',
  'server.upstreams.*.args',
  'server.tools',
  'server.safety.deny',
  'logs.errorHook.command',
  'tls.dnsHook',
].map((pattern) => pattern.split('.'));

/** Names of variables that hold secrets, as people call them; not of files that do (…_FILE). */
const secretName = /(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|CREDENTIALS?)$/i;

/**
 * Fills `${NAME}` and `${NAME:-default}` in the settings of a file, the numbers and switches among them included, and
 * leaves alone what the server fills. Pure: gives new data.
 * @param data of the file, as YAML gives it
 */
export function fillSettings(
  schema: Schema,
  data: unknown,
  env: Environment,
): { readonly data: unknown; readonly problems: readonly FillProblem[] } {
  const problems: FillProblem[] = [];
  const filled = mapTexts(schema, data, [], (text, path, kinds) => {
    const problem = judgeText(text, path, env);
    if (problem !== null) {
      problems.push(problem);
      return text;
    }
    const value = fillVariables(text, env).text;
    return isOneReference.test(text) ? asKind(value, kinds) : value;
  });
  return { data: filled, problems };
}

/** The same data for a file that is read again: what stands there as `${` stays so. Pure. */
export function escapeSettings<Data>(data: Data): Data {
  return mapTexts(null, data, [], (text) => text.replaceAll('${', () => '$${')) as Data;
}

const isOneReference = /^\$\{[^{}]*\}$/;

function judgeText(text: string, path: SettingPath, env: Environment): FillProblem | null {
  const broken = brokenReferenceIn(text);
  if (broken !== null) {
    const hint = 'write ${NAME} or ${NAME:-default}, and $${ for the two characters themselves';
    return { path, message: 'has a ${ that starts no variable', hint };
  }
  const [reference] = secretReferencesIn(text);
  if (reference !== undefined) {
    const message = `cannot hold \${${reference}}: it is written into files when it is applied`;
    return { path, message, hint: 'secrets stay elsewhere in env, headers, auth.keys and redis.url' };
  }
  const { missing } = fillVariables(text, env);
  const [first] = missing;
  if (first !== undefined) {
    const message = `needs ${missing.join(' and ')}, which ${missing.length === 1 ? 'is' : 'are'} not set`;
    const hint = `set it in the environment, or write a default: \${${first}:-value}; $\${ stands for the two characters`;
    return { path, message, hint, unset: missing };
  }
  const secret = namesIn(text).find((name) => secretName.test(name));
  if (secret === undefined) return null;
  const message = `would write ${secret} into files when it is applied, and its name is that of a secret`;
  return { path, message, hint: 'keep it in env, headers, auth.keys or redis.url, or call the variable otherwise' };
}

function namesIn(text: string): readonly string[] {
  return Array.from(text.replaceAll('$${', '').matchAll(/\$\{([A-Za-z_]\w*)/g), ([, name]) => name ?? '');
}

/** A number or a switch where the setting takes one. */
function asKind(text: string, kinds: ReadonlySet<Kind>): string | number | boolean {
  if (kinds.has('number') && /^-?\d+(?:\.\d+)?$/.test(text)) return Number(text);
  if (kinds.has('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

type Fill = (text: string, path: SettingPath, kinds: ReadonlySet<Kind>) => unknown;

/** Every text with a `${` that is filled when the file is read, through `fill`. */
function mapTexts(schema: Schema | null, value: unknown, path: SettingPath, fill: Fill): unknown {
  if (leftAsWritten.some((pattern) => fits(pattern, path))) return value;
  if (typeof value === 'string') {
    return value.includes('${') ? fill(value, path, schema === null ? new Set() : kindOf(schema)) : value;
  }
  if (Array.isArray(value)) {
    return value.map((item, index) => mapTexts(childOf(schema, index), item, [...path, index], fill));
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, mapTexts(childOf(schema, key), item, [...path, key], fill)]),
  );
}

function fits(parts: readonly string[], path: SettingPath): boolean {
  return parts.length === path.length && parts.every((part, at) => part === '*' || part === path[at]);
}

/** What the schema says of a member; of a union, what its first branch that knows it says. */
function childOf(schema: Schema | null, key: string | number): Schema | null {
  if (schema === null) return null;
  const { def } = unwrap(schema)._zod;
  if (def.type === 'object') return Object.hasOwn(def.shape, key) ? (def.shape[key] as Schema) : null;
  if (def.type === 'record') return typeof key === 'string' ? (def.valueType as Schema) : null;
  if (def.type === 'array') return typeof key === 'number' ? (def.element as Schema) : null;
  if (def.type !== 'union') return null;
  for (const option of def.options as readonly Schema[]) {
    const child = childOf(option, key);
    if (child !== null) return child;
  }
  return null;
}
