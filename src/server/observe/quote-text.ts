/** Text that needs no escape at all: what nearly every value is. */
const PLAIN = /^[ !#-[\]-~]*$/;

/**
 * A JSON string that can end no line and steer no terminal: beside what JSON itself escapes also DEL, the C1 controls
 * (0x9b starts a terminal sequence), line separators and direction marks.
 */
export function quoteText(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  return JSON.stringify(text).replace(/[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, escapeUnit);
}

function escapeUnit(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
