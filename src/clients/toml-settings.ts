import { getStaticTOMLValue, ParseError, parseTOML, type AST } from 'toml-eslint-parser';
import { formatTomlKey, formatTomlTable, formatTomlValue } from './entry-text.ts';
import { SettingsSyntaxError } from './json-settings.ts';
import { applyEdits, type TextEdit } from './text-edits.ts';
import type { SettingTable } from './types.ts';

type Statement = AST.TOMLTable | AST.TOMLKeyValue;

/** The top of a TOML file: tables and values in their order. Throws SettingsSyntaxError with the offset of what is wrong. */
function parseTomlSettings(text: string): readonly Statement[] {
  try {
    return parseTOML(text).body[0].body;
  } catch (error) {
    if (error instanceof ParseError) throw new SettingsSyntaxError(error.message.toLowerCase(), error.index);
    throw error;
  }
}

/** The plain value of the whole file; dates as text. */
export function tomlValueOf(text: string): Readonly<Record<string, unknown>> {
  const top: Record<string, unknown> = {};
  for (const statement of parseTomlSettings(text)) {
    if (statement.type === 'TOMLKeyValue') {
      assign(top, pathOf(statement.key), plain(statement.value));
      continue;
    }
    const table =
      statement.kind === 'array' ? appendTable(top, pathOf(statement.key)) : tableAt(top, pathOf(statement.key));
    for (const pair of statement.body) assign(table, pathOf(pair.key), plain(pair.value));
  }
  return top;
}

/** The text with one more table at its end, or inside of the container where that is an inline table. */
export function addTomlTable(text: string, container: string, name: string, table: SettingTable): string {
  const eol = lineBreakOf(text);
  const inline = parseTomlSettings(text).find(
    (each) => each.type === 'TOMLKeyValue' && samePath(pathOf(each.key), [container]),
  );
  if (inline?.type === 'TOMLKeyValue') {
    const { value } = inline;
    if (value.type !== 'TOMLInlineTable') throw new SettingsSyntaxError(`${container} is not a table`, value.range[0]);
    const pair = `${formatTomlKey(name)} = ${formatTomlValue(table)}`;
    const last = value.body.at(-1);
    const edit =
      last === undefined
        ? { offset: value.range[0], length: value.range[1] - value.range[0], text: `{ ${pair} }` }
        : { offset: last.range[1], length: 0, text: `, ${pair}` };
    return applyEdits(text, [edit]);
  }
  const before = text === '' || text.endsWith('\n') ? text : `${text}${eol}`;
  return `${before}${before === '' ? '' : eol}${formatTomlTable([container, name], table, eol)}`;
}

/** The text with these values in the table, each changed in its place; null when the table is written in another way. */
export function changeTomlTable(text: string, container: string, name: string, changes: SettingTable): string | null {
  const table = parseTomlSettings(text).find(
    (each) => each.type === 'TOMLTable' && each.kind === 'standard' && samePath(pathOf(each.key), [container, name]),
  );
  if (table?.type !== 'TOMLTable') return null;
  const edits: TextEdit[] = [];
  const added: string[] = [];
  for (const [key, value] of Object.entries(changes)) {
    const pair = table.body.find((each) => samePath(pathOf(each.key), [key]));
    if (pair !== undefined) {
      const [start, end] = pair.value.range;
      edits.push({ offset: start, length: end - start, text: formatTomlValue(value) });
    } else if (table.body.some((each) => pathOf(each.key)[0] === key)) return null;
    else added.push(`${formatTomlKey(key)} = ${formatTomlValue(value)}`);
  }
  if (added.length > 0) {
    const eol = lineBreakOf(text);
    const offset = endOfLine(text, table.body.at(-1)?.range[1] ?? table.key.range[1]);
    edits.push({ offset, length: 0, text: added.map((line) => `${eol}${line}`).join('') });
  }
  return applyEdits(text, edits);
}

/** The text without this table, its sub-tables and whatever else says something about it. */
export function dropTomlTable(text: string, container: string, name: string): string {
  const edits: TextEdit[] = [];
  for (const statement of parseTomlSettings(text)) {
    if (statement.type === 'TOMLKeyValue') {
      const path = pathOf(statement.key);
      if (path[0] !== container) continue;
      if (path[1] === name) edits.push(cutLine(text, statement));
      else if (path.length === 1 && statement.value.type === 'TOMLInlineTable') {
        edits.push(...cutPairs(statement.value, name));
      }
      continue;
    }
    const path = pathOf(statement.key);
    if (path[0] !== container) continue;
    if (path[1] === name) edits.push(cutTable(text, statement));
    else if (path.length === 1) {
      edits.push(...statement.body.filter((pair) => pathOf(pair.key)[0] === name).map((pair) => cutLine(text, pair)));
    }
  }
  return applyEdits(text, edits);
}

function pathOf(key: AST.TOMLKey): readonly string[] {
  return key.keys.map((part) => (part.type === 'TOMLBare' ? part.name : part.value));
}

function samePath(path: readonly string[], wanted: readonly string[]): boolean {
  return path.length === wanted.length && path.every((key, index) => key === wanted[index]);
}

/** The table with its header, and the empty line above that sets it apart. */
function cutTable(text: string, table: AST.TOMLTable): TextEdit {
  const header = text.lastIndexOf('\n', table.range[0] - 1) + 1;
  const start = header - (/(?<=\n)\r?\n$/.exec(text.slice(0, header))?.[0].length ?? 0);
  const end = endOfLine(text, table.body.at(-1)?.range[1] ?? table.key.range[1]);
  return { offset: start, length: afterLineBreak(text, end) - start, text: '' };
}

function cutLine(text: string, pair: AST.TOMLKeyValue): TextEdit {
  const start = text.lastIndexOf('\n', pair.range[0] - 1) + 1;
  return { offset: start, length: afterLineBreak(text, endOfLine(text, pair.range[1])) - start, text: '' };
}

function cutPairs(table: AST.TOMLInlineTable, name: string): TextEdit[] {
  const { body } = table;
  if (body.length > 0 && body.every((pair) => pathOf(pair.key)[0] === name)) {
    return [{ offset: table.range[0], length: table.range[1] - table.range[0], text: '{}' }];
  }
  return body.flatMap((pair, index) => {
    if (pathOf(pair.key)[0] !== name) return [];
    const [start, end] = pair.range;
    const previous = body[index - 1];
    if (previous !== undefined) return [{ offset: previous.range[1], length: end - previous.range[1], text: '' }];
    const next = body[index + 1]?.range[0] ?? end;
    return [{ offset: start, length: next - start, text: '' }];
  });
}

/** Behind the remark of a line, before its line break. */
function endOfLine(text: string, offset: number): number {
  const rest = /[^\n]*/y;
  rest.lastIndex = offset;
  const line = rest.exec(text)?.[0] ?? '';
  return offset + line.replace(/\r$/, '').length;
}

function afterLineBreak(text: string, offset: number): number {
  return offset + (/^\r?\n/.exec(text.slice(offset, offset + 2))?.[0].length ?? 0);
}

function lineBreakOf(text: string): string {
  return /\r?\n/.exec(text)?.[0] ?? '\n';
}

function plain(node: AST.TOMLContentNode): unknown {
  if (node.type === 'TOMLArray') return node.elements.map(plain);
  if (node.type === 'TOMLInlineTable') {
    const table: Record<string, unknown> = {};
    for (const pair of node.body) assign(table, pathOf(pair.key), plain(pair.value));
    return table;
  }
  const value: unknown = getStaticTOMLValue(node);
  return value instanceof Date ? value.toISOString() : value;
}

function ownOf(table: Record<string, unknown>, key: string): unknown {
  return Object.getOwnPropertyDescriptor(table, key)?.value as unknown;
}

/** Defined, not assigned: a key may be called __proto__. */
function define(table: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(table, key, { value, enumerable: true, configurable: true, writable: true });
}

function assign(table: Record<string, unknown>, path: readonly string[], value: unknown): void {
  define(tableAt(table, path.slice(0, -1)), path.at(-1) ?? '', value);
}

function tableAt(top: Record<string, unknown>, path: readonly string[]): Record<string, unknown> {
  let table = top;
  for (const key of path) {
    let next: unknown = ownOf(table, key);
    if (Array.isArray(next)) next = next.at(-1);
    if (typeof next !== 'object' || next === null) {
      next = {};
      define(table, key, next);
    }
    table = next as Record<string, unknown>;
  }
  return table;
}

function appendTable(top: Record<string, unknown>, path: readonly string[]): Record<string, unknown> {
  const parent = tableAt(top, path.slice(0, -1));
  const key = path.at(-1) ?? '';
  const list: unknown = ownOf(parent, key);
  const table = {};
  if (Array.isArray(list)) list.push(table);
  else define(parent, key, [table]);
  return table;
}
