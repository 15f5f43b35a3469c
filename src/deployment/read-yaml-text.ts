import {
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  parseDocument,
  visit,
  type Document,
} from 'yaml';
import type { Alias, Node, YAMLError } from 'yaml';
import type { SettingPath } from './setting-path.ts';

/** Larger than any deployment, small enough to be parsed without a thought. */
const maxFileBytes = 1_048_576;
/** Values of the file once every alias is replaced by what it stands for. */
const maxExpandedValues = 50_000;

/** One thing wrong with the text as YAML. Offset counts characters from the start, without a byte order mark. */
interface YamlProblem {
  readonly offset: number;
  readonly message: string;
  readonly hint?: string;
  /** True when the message is about the setting whose name stands at the offset. */
  readonly aboutSetting?: true;
}

export interface YamlText {
  readonly document: Document.Parsed;
  /** The whole file as plain data; undefined when problems make it meaningless. */
  readonly data: unknown;
  readonly problems: readonly YamlProblem[];
  /** Line and column, both from 1, of an offset. */
  readonly position: (offset: number) => { readonly line: number; readonly column: number };
}

/** Reads one YAML 1.2 document (with merge keys, without tags) and says in words what is wrong with it. */
export function readYamlText(text: string): YamlText {
  const source = text.startsWith(byteOrderMark) ? text.slice(1) : text;
  if (Buffer.byteLength(source) > maxFileBytes) {
    return failed('the file is larger than 1 MiB', 'a deployment is a few hundred lines; is this the right file?');
  }
  const lines = new LineCounter();
  if (isNestedTooDeeply(source)) return failed('the file is nested too deeply');
  const document = parseDocument(source, {
    lineCounter: lines,
    merge: true,
    prettyErrors: false,
    resolveKnownTags: false,
    schema: 'core',
    stringKeys: true,
  });
  const position = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };

  const problems: YamlProblem[] = [...document.errors, ...document.warnings].map((error) =>
    yamlProblem(error, document),
  );
  const onlyDuplicates = document.errors.every((error) => error.code === 'DUPLICATE_KEY');
  if (!onlyDuplicates) return { document, data: undefined, problems, position };
  const aliasProblem = judgeAliases(document);
  if (aliasProblem !== null) return { document, data: undefined, problems: [...problems, aliasProblem], position };
  try {
    return { document, data: document.toJS({ maxAliasCount: -1 }) as unknown, problems, position };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const problem = { offset: 0, message: `the file cannot be read as YAML: ${why}` };
    return { document, data: undefined, problems: [...problems, problem], position };
  }
}

/** Offsets of the key and of the value at a path, as far as it exists; what an alias brought is shown where it stands. */
export function offsetsOf(
  document: Document.Parsed,
  path: SettingPath,
): { readonly key: number; readonly value: number; readonly found: boolean } {
  let node: Node | null = document.contents;
  let key = node?.range?.[0] ?? 0;
  let value = key;
  for (const part of path) {
    const next = stepInto(document, node, part);
    if (next === null) return { key, value, found: false };
    key = next.key ?? key;
    value = next.value?.range?.[0] ?? key;
    node = next.value;
  }
  return { key, value, found: true };
}

/** The path of the setting whose name stands at an offset; empty when there is none. */
export function pathAtOffset(document: Document.Parsed, offset: number): SettingPath {
  const search = (node: unknown, path: SettingPath): SettingPath | null => {
    if (!isCollection(node)) return null;
    for (const [index, item] of node.items.entries()) {
      const here = [...path, isPair(item) ? String(isScalar(item.key) ? item.key.value : '') : index];
      if (isPair(item) && isScalar(item.key) && item.key.range?.[0] === offset) return here;
      const found = search(isPair(item) ? item.value : item, here);
      if (found !== null) return found;
    }
    return null;
  };
  return search(document.contents, []) ?? [];
}

function stepInto(
  document: Document,
  node: Node | null,
  part: string | number,
): { readonly key: number | undefined; readonly value: Node | null } | null {
  const target = isAlias(node) ? (node.resolve(document) ?? null) : node;
  if (!isCollection(target)) return null;
  if (!isMap(target)) {
    const item = target.items[Number(part)] as Node | undefined;
    return item === undefined ? null : { key: item.range?.[0], value: item };
  }
  // With a key set twice the last one counts, as it does in the data.
  const pair = target.items.findLast((item) => isScalar(item.key) && String(item.key.value) === String(part));
  if (pair === undefined) return null;
  return { key: (pair.key as Node).range?.[0], value: pair.value as Node | null };
}

/**
 * The parser takes time with the square of the depth and its stack with the
 * depth itself, so depth is counted on the tokens. Block maps cannot be deep: each level costs its indentation.
 */
function isNestedTooDeeply(source: string): boolean {
  let brackets = 0;
  let onLine = 0;
  for (const token of new Lexer().lex(source)) {
    if (token === '[' || token === '{') brackets += 1;
    else if (token === ']' || token === '}') brackets -= 1;
    else if (token === '-' || token === '?') onLine += 1;
    else if (token.includes('\n')) onLine = 0;
    if (brackets > deepest || onLine > deepest) return true;
  }
  return false;
}

/** A deployment is six deep. */
const deepest = 50;

/**
 * Aliases that stand for aliases multiply: ten lines can stand for a billion
 * values. Counted before anything is expanded, merge keys included.
 */
function judgeAliases(document: Document.Parsed): YamlProblem | null {
  const sizes = new Map<Node, number>();
  const open = new Set<Node>();
  let problem: YamlProblem | null = null;

  const sizeOf = (node: unknown): number => {
    if (isPair(node)) {
      if (isMergeKey(node.key) && !isMergeSource(node.value)) {
        const offset = (node.key as Node).range?.[0] ?? 0;
        problem ??= { offset, message: '<< takes a map, or aliases of maps', hint: 'for example: <<: *defaults' };
      }
      return sizeOf(node.key) + sizeOf(node.value);
    }
    if (isAlias(node)) return sizeOfAlias(node);
    if (!isCollection(node)) return 1;
    const known = sizes.get(node);
    if (known !== undefined) return known;
    open.add(node);
    let size = 1;
    for (const item of node.items) size += sizeOf(item);
    open.delete(node);
    sizes.set(node, size);
    return size;
  };
  const sizeOfAlias = (alias: Alias): number => {
    const offset = alias.range?.[0] ?? 0;
    const target = alias.resolve(document);
    if (target === undefined)
      problem ??= { offset, message: `*${alias.source} stands for nothing: no &${alias.source} before it` };
    else if (open.has(target))
      problem ??= { offset, message: `*${alias.source} stands for something that contains it` };
    else return sizeOf(target);
    return 1;
  };

  const isMergeSource = (node: unknown): boolean => {
    const target = isAlias(node) ? node.resolve(document) : node;
    return (
      isMap(target) ||
      (isSeq(target) && target.items.every((item) => isMap(isAlias(item) ? item.resolve(document) : item)))
    );
  };

  const size = sizeOf(document.contents);
  if (problem === null && size > maxExpandedValues) {
    return { offset: 0, message: 'the aliases of the file stand for too many values', hint: 'write the settings out' };
  }
  return problem;
}

const sentences: Partial<Record<YAMLError['code'], Omit<YamlProblem, 'offset'>>> = {
  TAB_AS_INDENT: { message: 'a tab is used to indent', hint: 'YAML indents with spaces' },
  DUPLICATE_KEY: { message: 'is set twice in the same map', hint: 'keep one of the two', aboutSetting: true },
  MULTIPLE_DOCS: { message: 'the file holds more than one document', hint: 'remove the line --- and what follows it' },
  TAG_RESOLVE_FAILED: { message: 'YAML tags (!...) are not supported', hint: 'put text that starts with ! in quotes' },
  BLOCK_AS_IMPLICIT_KEY: {
    message: 'a second ": " on one line',
    hint: 'put text that holds ": " in quotes, or begin a new line',
  },
  MULTILINE_IMPLICIT_KEY: { message: 'a setting has no ":" after its name', hint: 'write NAME: VALUE' },
  NON_STRING_KEY: { message: 'the name of a setting must be text' },
  BAD_DQ_ESCAPE: {
    message: 'a backslash in double quotes is not understood',
    hint: 'use single quotes, or write \\\\ for one backslash',
  },
  BAD_SCALAR_START: { message: 'text cannot start with this character', hint: 'put it in quotes' },
  BAD_INDENT: { message: 'the indentation does not fit the lines above' },
  BAD_ALIAS: { message: 'an alias needs a name', hint: 'put text that starts with * in quotes' },
};

function yamlProblem(error: YAMLError, document: Document.Parsed): YamlProblem {
  const offset = error.pos[0];
  if (error.message.startsWith('Missing closing')) {
    const opened = lastBefore(offset, document, (node) => isScalar(node) && node.type?.startsWith('QUOTE') === true);
    return { offset: opened ?? offset, message: 'this quote is never closed' };
  }
  if (error.message.startsWith('Flow')) {
    const opened = lastBefore(offset, document, (node) => isCollection(node) && node.flow === true);
    return { offset: opened ?? offset, message: 'this [ or { is never closed' };
  }
  const known = sentences[error.code];
  if (known !== undefined) return { offset, ...known };
  return {
    offset,
    message: `not understood as YAML: ${error.message.charAt(0).toLowerCase()}${error.message.slice(1)}`,
  };
}

/** Start of the last node of a kind that begins before an offset: where the thing that never ends was opened. */
function lastBefore(offset: number, document: Document.Parsed, isKind: (node: unknown) => boolean): number | null {
  let last: number | null = null;
  visit(document, {
    Node: (_, node) => {
      const start = node.range?.[0];
      if (start !== undefined && start < offset && (node.range?.[1] ?? 0) >= offset - 1 && isKind(node)) last = start;
    },
  });
  return last;
}

function isMergeKey(node: unknown): boolean {
  return isScalar(node) && node.value === '<<' && node.type === 'PLAIN';
}

function failed(message: string, hint?: string): YamlText {
  const problem = { offset: 0, message, ...(hint === undefined ? {} : { hint }) };
  const document = parseDocument('');
  return { document, data: undefined, problems: [problem], position: () => ({ line: 1, column: 1 }) };
}

const byteOrderMark = '\uFEFF';
