import {
  isAlias,
  isCollection,
  isMap,
  isScalar,
  parseDocument,
  type Document,
  type Node,
  type Pair,
  type YAMLMap,
} from 'yaml';
import { UserError } from './errors.ts';
import { inlineYaml, quoteYaml } from './quote-yaml.ts';
import { formatPath, parsePath, type SettingPath } from './setting-path.ts';

/** A value to set, or to remove with undefined. The path is a list, or text as `limits.perKey.requests`. */
export interface DeploymentChange {
  readonly path: string | SettingPath;
  readonly value: unknown;
}

/**
 * Changes settings in the text of a deployment file; every other character
 * stays: comments, order, blank lines, line ends. Where the place itself
 * cannot be changed alone (an alias, a flow map of several lines), the file is
 * written anew by the yaml library, with its comments but in its layout.
 *
 * The text must be valid YAML. Throws UserError when a change would alter something else, as in a value that aliases share.
 */
export function editDeployment(text: string, changes: readonly DeploymentChange[]): string {
  return changes.reduce(
    (current, { path, value }) => changeOne(current, typeof path === 'string' ? parsePath(path) : path, value),
    text,
  );
}

function changeOne(text: string, path: SettingPath, value: unknown): string {
  const mark = text.startsWith('\uFEFF') ? '\uFEFF' : '';
  const source = text.slice(mark.length);
  const document = parseDocument(source, parseOptions);
  const error = document.errors[0];
  if (error !== undefined) throw new Error(`cannot edit a file that is not valid YAML: ${error.message}`);

  const data = document.toJS() as unknown;
  if (value === undefined && !document.hasIn(path)) return text;
  const wanted = changed(data, path, value);
  if (sameData(data, wanted)) return text;
  const spliced = splice(source, document, path, value);
  if (spliced !== null && sameData(readData(spliced), wanted)) return mark + spliced;

  const rewritten = rewrite(document, path, value);
  if (rewritten === null || !sameData(readData(rewritten), wanted)) {
    throw new UserError(`${formatPath(path)} cannot be changed by itself.`, {
      why: 'It is shared with other settings by a YAML anchor, alias or merge key.',
      next: 'Change it in the file by hand.',
    });
  }
  return mark + (source.includes('\r\n') ? rewritten.replaceAll(/\r?\n/g, '\r\n') : rewritten);
}

/** The whole file from the yaml library's own tree, or null when the place is not in it. */
function rewrite(document: Document, path: SettingPath, value: unknown): string | null {
  try {
    if (value === undefined) document.deleteIn(path);
    else document.setIn(path, document.createNode(value));
    return document.toString({ lineWidth: 0 });
  } catch {
    // An alias on the way, or one whose anchor has just gone.
    return null;
  }
}

const parseOptions = { merge: true, resolveKnownTags: false, schema: 'core' } as const;

/** The text with only the wanted place changed, or null when that place cannot be told apart. */
function splice(source: string, document: Document, path: SettingPath, value: unknown): string | null {
  const lineEnd = source.includes('\r\n') ? '\r\n' : '\n';
  const { pair, map, depth } = deepest(document, path);
  if (depth === path.length && pair !== null) {
    return value === undefined ? removed(source, map, pair) : replaced(source, pair, value, lineEnd);
  }
  if (value === undefined) return null;
  // What is missing on the way is made together with the value.
  const rest = path.slice(depth);
  const inner = rest.slice(1).reduceRight<unknown>((child, part) => ({ [part]: child }), value);
  return added(source, pair, map, String(rest[0]), inner, lineEnd);
}

interface Deepest {
  /** The last pair on the path that exists, and the map it is in. */
  readonly pair: Pair<Node, Node | null> | null;
  readonly map: YAMLMap | null;
  readonly depth: number;
}

function deepest(document: Document, path: SettingPath): Deepest {
  let map = isMap(document.contents) ? document.contents : null;
  let pair: Pair<Node, Node | null> | null = null;
  for (const [depth, part] of path.entries()) {
    const inside: Node | null = pair === null ? map : pair.value;
    if (!isMap(inside)) return { pair, map, depth };
    const next = inside.items.find((item) => isScalar(item.key) && String(item.key.value) === String(part));
    if (next === undefined) return { pair, map: inside, depth };
    map = inside;
    pair = next as Pair<Node, Node | null>;
  }
  return { pair, map, depth: path.length };
}

function replaced(source: string, pair: Pair<Node, Node | null>, value: unknown, lineEnd: string): string | null {
  const keyRange = pair.key.range;
  const old = pair.value;
  if (!keyRange || isAlias(old)) return null;
  const column = columnOf(source, keyRange[0]);
  if (isBlockValue(value) && column !== null) {
    const end = old?.range?.[1] ?? keyRange[1];
    const tail = source.slice(keyRange[1], end).endsWith('\n') ? lineEnd : '';
    const head = source.slice(keyRange[0], keyRange[1]);
    return source.slice(0, keyRange[0]) + `${head}:${blockYaml(value, column + 2, lineEnd)}${tail}` + source.slice(end);
  }
  const inline = inlineYaml(value);
  if (!old?.range || old.range[0] === old.range[1]) {
    const colon = source.indexOf(':', keyRange[1]) + 1;
    return colon === 0 ? null : `${source.slice(0, colon)} ${inline}${source.slice(colon)}`;
  }
  if (isCollection(old) && old.flow !== true) {
    return `${source.slice(0, keyRange[1])}: ${inline}${lineEnd}${source.slice(old.range[1]).replace(/^\r?\n/, '')}`;
  }
  return source.slice(0, old.range[0]) + inline + source.slice(old.range[1]);
}

function added(
  source: string,
  parent: Pair<Node, Node | null> | null,
  map: YAMLMap | null,
  key: string,
  value: unknown,
  lineEnd: string,
): string | null {
  const block = (column: number): string =>
    `${' '.repeat(column)}${quoteYaml(key)}:${isBlockValue(value) ? blockYaml(value, column + 2, lineEnd) : ` ${inlineYaml(value)}`}`;
  const siblings = parent !== null && isMap(parent.value) ? parent.value : map;
  const lastPair = (siblings?.items ?? []).at(-1) as Pair<Node, Node | null> | undefined;
  if (
    siblings !== null &&
    siblings.flow !== true &&
    lastPair !== undefined &&
    (parent === null || isMap(parent.value))
  ) {
    const column = columnOf(source, lastPair.key.range?.[0] ?? 0);
    const end = lastPair.value?.range?.[1] ?? lastPair.key.range?.[1];
    return column === null || end === undefined ? null : insertedAfterLine(source, end, block(column), lineEnd);
  }
  // A section without content (`upstreams:` or `upstreams: {}`) gets its first setting.
  const keyRange = parent?.key.range;
  const column = keyRange ? columnOf(source, keyRange[0]) : null;
  if (!parent || !keyRange || column === null) return null;
  if (isMap(parent.value) && parent.value.items.length > 0) return null;
  const from = isMap(parent.value) ? (parent.value.range?.[0] ?? 0) : keyRange[1];
  const to = isMap(parent.value) ? (parent.value.range?.[1] ?? 0) : keyRange[1];
  const emptied = isMap(parent.value) ? source.slice(0, from).trimEnd() + source.slice(to) : source;
  return insertedAfterLine(emptied, keyRange[1], block(column + 2), lineEnd);
}

function removed(source: string, map: YAMLMap | null, pair: Pair<Node, Node | null>): string | null {
  const start = pair.key.range?.[0];
  const end = pair.value?.range?.[1] ?? pair.key.range?.[1];
  if (map === null || map.flow === true || map.items.length < 2 || start === undefined || end === undefined)
    return null;
  if (columnOf(source, start) === null) return null;
  const lineStart = source.lastIndexOf('\n', start - 1) + 1;
  if (source[end - 1] === '\n') return source.slice(0, lineStart) + source.slice(end);
  const lineStop = source.indexOf('\n', end);
  return source.slice(0, lineStart) + (lineStop === -1 ? '' : source.slice(lineStop + 1));
}

/** Puts a line behind the line on which an offset lies. */
function insertedAfterLine(source: string, offset: number, line: string, lineEnd: string): string {
  const at = source[offset - 1] === '\n' ? offset - 1 : source.indexOf('\n', offset);
  if (at === -1) return `${source}${lineEnd}${line}${lineEnd}`;
  return `${source.slice(0, at + 1)}${line}${lineEnd}${source.slice(at + 1)}`;
}

/** The column of a key that stands first on its line, or null. */
function columnOf(source: string, offset: number): number | null {
  const before = source.slice(source.lastIndexOf('\n', offset - 1) + 1, offset);
  return /^ *$/.test(before) ? before.length : null;
}

function isBlockValue(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0;
}

function blockYaml(value: Readonly<Record<string, unknown>>, column: number, lineEnd: string): string {
  return Object.entries(value)
    .filter(([, child]) => child !== undefined)
    .map(([key, child]) => {
      const rest = isBlockValue(child) ? blockYaml(child, column + 2, lineEnd) : ` ${inlineYaml(child)}`;
      return `${lineEnd}${' '.repeat(column)}${quoteYaml(key)}:${rest}`;
    })
    .join('');
}

function readData(text: string): unknown {
  const document = parseDocument(text, parseOptions);
  try {
    return document.errors.length > 0 ? undefined : (document.toJS() as unknown);
  } catch {
    // An alias without its anchor.
    return undefined;
  }
}

/** Plain data with one value set or removed; what is missing on the way is made. */
function changed(data: unknown, path: SettingPath, value: unknown): unknown {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  if (Array.isArray(data))
    return data.map((item: unknown, index) => (index === part ? changed(item, rest, value) : item));
  const map: Record<string, unknown> = typeof data === 'object' && data !== null ? { ...data } : {};
  const child = changed(map[part], rest, value);
  if (child === undefined) delete map[part];
  else map[part] = child;
  return map;
}

function sameData(one: unknown, other: unknown): boolean {
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, child]) => child !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, child]) => [key, sorted(child)]),
  );
}
