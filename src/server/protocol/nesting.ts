/** Deeper bodies are refused: no MCP message needs them, and code that walks them recursively would overflow. */
export const maxNesting = 128;

const quote = 0x22;
const backslash = 0x5c;

/**
 * Whether JSON text opens more than `maxNesting` arrays and objects inside each other.
 * Works on text, before or after parsing, and skips strings in one step, so that a large
 * base64 argument costs a search and not a loop.
 */
export function isNestedTooDeep(text: string): boolean {
  // A level costs an opening and a closing character.
  if (text.length < 2 * maxNesting || hasFewOpenings(text)) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === quote) {
      at = endOfString(text, at + 1);
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxNesting) return true;
    } else if (code === 0x7d || code === 0x5d) {
      depth--;
    }
  }
  return false;
}

/** Not more than may be nested, those in strings among them: so nearly every message is told by a search, not a loop. */
function hasFewOpenings(text: string): boolean {
  let found = 0;
  for (const opening of ['{', '[']) {
    for (let at = text.indexOf(opening); at !== -1; at = text.indexOf(opening, at + 1))
      if (++found > maxNesting) return false;
  }
  return true;
}

/** Position of the closing quote of a string that starts at `from`. */
function endOfString(text: string, from: number): number {
  let at = from;
  for (;;) {
    at = text.indexOf('"', at);
    if (at === -1) return text.length;
    let escapes = 0;
    while (text.charCodeAt(at - 1 - escapes) === backslash && at - 1 - escapes >= from) escapes++;
    if (escapes % 2 === 0) return at;
    at++;
  }
}
