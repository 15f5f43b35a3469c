const space = 0x20;
const quote = 0x22;
const backslash = 0x5c;
const tilde = 0x7e;

/**
 * A JSON string that can end no line and steer no terminal: beside what JSON itself escapes also DEL, the C1 controls
 * (0x9b starts a terminal sequence), line separators and direction marks.
 */
export function quoteText(text: string): string {
  if (isPlain(text)) return `"${text}"`;
  return JSON.stringify(text).replace(/[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, escapeUnit);
}

/** Needs no escape at all: what nearly every value is. A loop, since a regular expression takes three times as long. */
function isPlain(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < space || code > tilde || code === quote || code === backslash) return false;
  }
  return true;
}

function escapeUnit(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
