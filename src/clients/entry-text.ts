import { isAbsolute } from 'node:path';
import { quoteShell } from '../render/quote/shell.ts';

/** JSON as people keep it in their settings; escapes what could be taken for the end of a line elsewhere. */
export function formatJson(document: object): string {
  return `${JSON.stringify(document, null, 2).replace(/[\u007f-\u009f\u2028\u2029]/g, escapeUnicode)}\n`;
}

/** A basic string of TOML 1.0, always on one line. */
export function quoteToml(text: string): string {
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
