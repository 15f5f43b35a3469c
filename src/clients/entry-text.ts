import { isAbsolute } from 'node:path';
import { quoteShell } from '../render/quote/shell.ts';
import type { ClientEntry, SettingTable, SettingValue } from './types.ts';

/** An entry as a whole file of settings that holds nothing else: what one pastes. */
export function formatEntry(entry: ClientEntry): string {
  if (entry.format === 'toml') return formatTomlTable([entry.container, entry.name], entry.value, '\n');
  const { inputs } = entry;
  return formatJson({
    ...(inputs.length === 0 ? {} : { inputs }),
    [entry.container]: Object.fromEntries([[entry.name, entry.value]]),
  });
}

/** A table of TOML with its header; ends with a line break. */
export function formatTomlTable(path: readonly string[], table: SettingTable, lineBreak: string): string {
  const lines = Object.entries(table).map(([key, value]) => `${formatTomlKey(key)} = ${formatTomlValue(value)}`);
  return [`[${path.map(formatTomlKey).join('.')}]`, ...lines, ''].join(lineBreak);
}

/** A key, bare where it can be. */
export function formatTomlKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : quoteToml(key);
}

/** A value on one line: tables are inline. */
export function formatTomlValue(value: SettingValue): string {
  if (typeof value === 'string') return quoteToml(value);
  if (typeof value !== 'object') return String(value);
  if (isList(value)) return `[${value.map(formatTomlValue).join(', ')}]`;
  const pairs = Object.entries(value).map(([key, each]) => `${formatTomlKey(key)} = ${formatTomlValue(each)}`);
  return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`;
}

/** Array.isArray that understands read-only lists. */
function isList(value: SettingValue): value is readonly SettingValue[] {
  return Array.isArray(value);
}

/** JSON as people keep it in their settings; escapes what could be taken for the end of a line elsewhere. */
function formatJson(document: object): string {
  return `${formatJsonValue(document, '  ')}\n`;
}

/** A value of JSON, indented by this unit; null puts it on one line. */
export function formatJsonValue(value: unknown, unit: string | null): string {
  return JSON.stringify(value, null, unit ?? 0).replace(/[\u007f-\u009f\u2028\u2029]/g, escapeUnicode);
}

/** A basic string of TOML 1.0, always on one line. */
function quoteToml(text: string): string {
  const escaped = text
    .replace(/["\\]/g, String.raw`\$&`)
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, escapeUnicode);
  return `"${escaped}"`;
}

/** A shell word for a path, made absolute through $PWD where it is not: the variable outlives the current folder. */
export function quotePath(path: string): string {
  return isAbsolute(path) ? quoteShell(path, 'the path') : `"$PWD"/${quoteShell(path, 'the path')}`;
}

/** Command line that puts the key of a file into a variable of the shell, without showing it to other processes. */
export function exportKey(keyVariable: string, keyFile: string): readonly string[] {
  return [
    `${keyVariable}="$(cat ${quoteShell(keyFile.startsWith('-') ? `./${keyFile}` : keyFile, 'the path')})"`,
    `export ${keyVariable}`,
  ];
}

function escapeUnicode(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
}
