import { parseTree, printParseErrorCode, type Node, type ParseError } from 'jsonc-parser';
import { formatJsonValue } from './entry-text.ts';
import { applyEdits, lineIndent, startOfOwnLine, type TextEdit } from './text-edits.ts';

/** JSON with comments and trailing commas, as editors keep their settings; every offset is one of `text`. */
export interface JsonSettings {
  readonly text: string;
  /** Null for a file that is empty or holds comments only. */
  readonly root: Node | null;
}

/** What is wrong with a text of settings, and where: counted from 0. */
export class SettingsSyntaxError extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.name = 'SettingsSyntaxError';
    this.offset = offset;
  }
}

/** Reads settings; throws SettingsSyntaxError for what is not JSON with comments, or is no object. */
export function parseJsonSettings(text: string): JsonSettings {
  const errors: ParseError[] = [];
  const root = parseTree(text, errors, { allowTrailingComma: true, allowEmptyContent: true }) ?? null;
  const [first] = errors;
  if (first !== undefined) {
    const words = printParseErrorCode(first.error).replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ');
    throw new SettingsSyntaxError(words.toLowerCase(), first.offset);
  }
  if (root !== null && root.type !== 'object') throw new SettingsSyntaxError('not an object', root.offset);
  return { text, root };
}

/** The plain value of a node. */
export function jsonValueOf(node: Node): unknown {
  if (node.type === 'array') return (node.children ?? []).map(jsonValueOf);
  if (node.type !== 'object') return node.value as unknown;
  return Object.fromEntries(propertiesOf(node).map(({ key, value }) => [key, jsonValueOf(value)]));
}

/** The node behind these keys, or null. Throws SettingsSyntaxError where a key stands twice: which one counts is a guess. */
export function jsonNodeAt({ root }: JsonSettings, path: readonly string[]): Node | null {
  let node = root;
  for (const key of path) {
    if (node === null) return null;
    if (node.type !== 'object') throw new SettingsSyntaxError(`not an object where ${key} is looked for`, node.offset);
    const found: readonly Property[] = propertiesOf(node).filter((property) => property.key === key);
    if (found.length > 1) throw new SettingsSyntaxError(`"${key}" stands here twice`, found[1]?.node.offset ?? 0);
    node = found[0]?.value ?? null;
  }
  return node;
}

/** The text with this value behind these keys: only what has to change is touched, objects on the way are made. */
export function setJsonValue(text: string, path: readonly string[], value: unknown): string {
  const settings = parseJsonSettings(text);
  if (settings.root === null) return newDocument(text, path, value);
  const there = jsonNodeAt(settings, path);
  if (there !== null) {
    const written = formatIn(settings, value, lineIndent(text, there.offset), isOnOneLine(settings));
    return applyEdits(text, [{ offset: there.offset, length: there.length, text: written }]);
  }
  let parent = settings.root;
  let depth = 0;
  for (; depth < path.length - 1; depth += 1) {
    const next = jsonNodeAt(settings, path.slice(0, depth + 1));
    if (next === null) break;
    parent = next;
  }
  if (parent.type !== 'object') throw new SettingsSyntaxError('not an object', parent.offset);
  const missing = path.slice(depth);
  const inner = missing.slice(1).reduceRight((content: unknown, key) => Object.fromEntries([[key, content]]), value);
  return addChild(settings, parent, (indent, oneLine) => {
    const colon = oneLine && !/":\s/.test(text) && text.includes('":') ? ':' : ': ';
    return `${formatJsonValue(missing[0], null)}${colon}${formatIn(settings, inner, indent, oneLine)}`;
  });
}

/** The text with one more element at the end of the list behind this key, which is made when it is not there. */
export function addJsonElement(text: string, key: string, element: unknown): string {
  const settings = parseJsonSettings(text);
  const list = settings.root === null ? null : jsonNodeAt(settings, [key]);
  if (list === null) return setJsonValue(text, [key], [element]);
  if (list.type !== 'array') throw new SettingsSyntaxError(`"${key}" is not a list`, list.offset);
  return addChild(settings, list, (indent, oneLine) => formatIn(settings, element, indent, oneLine));
}

/** The text without what stands behind these keys; the last key may be the number of an element. */
export function dropJsonValue(text: string, path: readonly string[], element: number | null = null): string {
  const settings = parseJsonSettings(text);
  const node = jsonNodeAt(settings, path);
  if (node === null) return text;
  if (element !== null) return removeChild(text, node, element);
  const parent = node.parent?.parent;
  if (parent === undefined) throw new Error('the whole document cannot be dropped');
  return removeChild(text, parent, (parent.children ?? []).indexOf(node.parent ?? node));
}

interface Property {
  readonly key: string;
  readonly node: Node;
  readonly value: Node;
}

function propertiesOf(node: Node): Property[] {
  return (node.children ?? []).flatMap((property) => {
    const [key, value] = property.children ?? [];
    return key === undefined || value === undefined ? [] : [{ key: String(key.value), node: property, value }];
  });
}

function newDocument(text: string, path: readonly string[], value: unknown): string {
  const eol = lineBreakOf(text);
  const document = path.reduceRight((content, key) => Object.fromEntries([[key, content]]), value);
  const before = text === '' || text.endsWith('\n') ? text : `${text}${eol}`;
  return `${before}${formatJsonValue(document, '  ').replaceAll('\n', eol)}${eol}`;
}

function addChild(settings: JsonSettings, parent: Node, write: (indent: string, oneLine: boolean) => string): string {
  const { text } = settings;
  const eol = lineBreakOf(text);
  const close = parent.offset + parent.length - 1;
  const first = parent.children?.[0];
  const last = parent.children?.at(-1);
  if (first === undefined || last === undefined) {
    const inner = text.slice(parent.offset + 1, close);
    if (inner.trim() === '' && isOnOneLine(settings)) {
      return applyEdits(text, [{ offset: parent.offset + 1, length: inner.length, text: write('', true) }]);
    }
    const outer = lineIndent(text, parent.offset);
    const indent = outer + unitOf(settings);
    const kept = inner.trimEnd();
    const added = `${eol}${indent}${write(indent, false)}${eol}${outer}`;
    return applyEdits(text, [
      { offset: parent.offset + 1 + kept.length, length: inner.length - kept.length, text: added },
    ]);
  }

  const end = last.offset + last.length;
  const comma = commaAfter(text, end);
  if (!text.slice(parent.offset + 1, first.offset).includes('\n')) {
    const gap = /[,:]\s/.test(text.slice(parent.offset, close)) || !isOnOneLine(settings) ? ' ' : '';
    return comma === null
      ? applyEdits(text, [{ offset: end, length: 0, text: `,${gap}${write('', true)}` }])
      : applyEdits(text, [{ offset: comma + 1, length: 0, text: `${gap}${write('', true)},` }]);
  }
  // Under the last line, behind its remark: a comma goes to the value, never into the remark.
  const indent = lineIndent(text, last.offset);
  const anchor = endOfRemark(text, comma === null ? end : comma + 1);
  const line = `${eol}${indent}${write(indent, false)}`;
  if (comma !== null) return applyEdits(text, [{ offset: anchor, length: 0, text: `${line},` }]);
  return anchor === end
    ? applyEdits(text, [{ offset: end, length: 0, text: `,${line}` }])
    : applyEdits(text, [
        { offset: end, length: 0, text: ',' },
        { offset: anchor, length: 0, text: line },
      ]);
}

function removeChild(text: string, parent: Node, index: number): string {
  const children = parent.children ?? [];
  const child = children[index];
  if (child === undefined) throw new Error(`there is no child ${index}`);
  const end = child.offset + child.length;
  const start = startOfOwnLine(text, child.offset);
  const comma = commaAfter(text, end);
  const previous = children[index - 1];
  const edits: TextEdit[] = [{ offset: start, length: (comma === null ? end : comma + 1) - start, text: '' }];
  if (comma === null && previous !== undefined) {
    const before = commaAfter(text, previous.offset + previous.length);
    if (before !== null) edits.push({ offset: before, length: 1, text: '' });
  }
  if (children.length === 1) {
    // What is left between the brackets is white space of ours, or a remark of theirs.
    const inside =
      text.slice(parent.offset + 1, start) +
      text.slice(comma === null ? end : comma + 1, parent.offset + parent.length - 1);
    if (inside.trim() === '')
      return applyEdits(text, [{ offset: parent.offset + 1, length: parent.length - 2, text: '' }]);
  }
  return applyEdits(text, edits);
}

function formatIn(settings: JsonSettings, value: unknown, indent: string, oneLine: boolean): string {
  const { text } = settings;
  if (!oneLine) {
    return formatJsonValue(value, unitOf(settings)).replaceAll('\n', `${lineBreakOf(text)}${indent}`);
  }
  return formatJsonValue(value, null);
}

/** A file without a single line break: what is added keeps it so. */
function isOnOneLine({ text, root }: JsonSettings): boolean {
  return root !== null && (root.children ?? []).length > 0 && !text.trimEnd().includes('\n');
}

/** One level of indentation, as the file has it. */
function unitOf({ text, root }: JsonSettings): string {
  const first = root?.children?.[0];
  if (first === undefined || !/\n[ \t]+$/.test(text.slice(0, first.offset))) return '  ';
  return lineIndent(text, first.offset).slice(lineIndent(text, root?.offset ?? 0).length) || '  ';
}

function lineBreakOf(text: string): string {
  return /\r?\n/.exec(text)?.[0] ?? '\n';
}

/** Offset of the comma behind a value, over white space and remarks; null when there is none. */
function commaAfter(text: string, offset: number): number | null {
  const trivia = /(?:\s|\/\/[^\n]*|\/\*[\s\S]*?\*\/)*/y;
  trivia.lastIndex = offset;
  trivia.exec(text);
  return text[trivia.lastIndex] === ',' ? trivia.lastIndex : null;
}

/** Behind the remark that follows on the same line, if one does. */
function endOfRemark(text: string, offset: number): number {
  const remark = /[ \t]*(?:\/\/[^\r\n]*|\/\*[^\n]*?\*\/(?=[ \t]*\r?\n))/y;
  remark.lastIndex = offset;
  return remark.test(text) ? remark.lastIndex : offset;
}
