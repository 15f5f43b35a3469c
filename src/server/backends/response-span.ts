/** Where the parts of a plain JSON-RPC success response lie in its line. */
export interface ResponseSpan {
  readonly id: number;
  /** The text of the `result` value is `line.slice(start, end)`. */
  readonly start: number;
  readonly end: number;
}

/**
 * Finds id and result of a success response without parsing the result, so
 * that what is only passed on is neither built as objects nor written again.
 * Returns null whenever the line is anything else or in doubt (another member,
 * a repeated one, an id that is no plain integer, raw control characters,
 * brackets that do not add up): the caller then parses it in full.
 */
export function findResponseSpan(line: string): ResponseSpan | null {
  if (line.charCodeAt(0) !== OPEN_BRACE || controlCharacter.test(line)) return null;
  let id = -1;
  let start = -1;
  let end = -1;
  let versionSeen = false;
  let at = skipSpaces(line, 1);
  for (;;) {
    if (line.startsWith('"id"', at)) {
      if (id !== -1) return null;
      at = valueAfter(line, at + 4);
      if (at === -1) return null;
      const digits = at;
      id = 0;
      for (let code = line.charCodeAt(at); code >= ZERO && code <= NINE; code = line.charCodeAt(++at)) {
        id = id * 10 + (code - ZERO);
      }
      if (at === digits || at - digits > 15) return null;
    } else if (line.startsWith('"jsonrpc"', at)) {
      if (versionSeen) return null;
      versionSeen = true;
      at = valueAfter(line, at + 9);
      if (at === -1 || !line.startsWith('"2.0"', at)) return null;
      at += 5;
    } else if (line.startsWith('"result"', at)) {
      if (start !== -1) return null;
      start = valueAfter(line, at + 8);
      if (start === -1) return null;
      end = skipValue(line, start);
      if (end === -1) return null;
      at = end;
    } else {
      return null;
    }
    at = skipSpaces(line, at);
    const code = line.charCodeAt(at);
    if (code === COMMA) {
      at = skipSpaces(line, at + 1);
      continue;
    }
    if (code !== CLOSE_BRACE || skipSpaces(line, at + 1) !== line.length) return null;
    return id === -1 || start === -1 || !versionSeen ? null : { id, start, end };
  }
}

const OPEN_BRACE = 123;
const CLOSE_BRACE = 125;
const OPEN_BRACKET = 91;
const CLOSE_BRACKET = 93;
const COMMA = 44;
const COLON = 58;
const QUOTE = 34;
const BACKSLASH = 92;
const SPACE = 32;
const ZERO = 48;
const NINE = 57;

/** JSON forbids them inside of strings, and a bare CR would end a line of an event stream. */
const controlCharacter = /[\u0000-\u001f]/;

function skipSpaces(line: string, at: number): number {
  let next = at;
  while (line.charCodeAt(next) === SPACE) next++;
  return next;
}

/** Start of the value after a member's name, or -1. */
function valueAfter(line: string, at: number): number {
  const colon = skipSpaces(line, at);
  return line.charCodeAt(colon) === COLON ? skipSpaces(line, colon + 1) : -1;
}

/** Index after the object that starts at `at`; results are objects in MCP, anything else is in doubt. */
function skipValue(line: string, at: number): number {
  if (line.charCodeAt(at) !== OPEN_BRACE) return -1;
  let depth = 0;
  let next = at;
  while (next < line.length) {
    const code = line.charCodeAt(next);
    if (code === QUOTE) {
      next = skipString(line, next);
      if (next === -1) return -1;
      continue;
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++;
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      depth--;
      if (depth === 0) return next + 1;
    } else if (code === 116 || code === 110) {
      if (!line.startsWith(code === 116 ? 'true' : 'null', next)) return -1;
      next += 4;
      continue;
    } else if (code === 102) {
      if (!line.startsWith('false', next)) return -1;
      next += 5;
      continue;
    } else if (!mayStandOutsideStrings(code)) return -1;
    next++;
  }
  return -1;
}

/** Comma, colon, space and what numbers are made of: 0-9 + - . e E. */
function mayStandOutsideStrings(code: number): boolean {
  return (code >= ZERO && code <= COLON) || (code >= 43 && code <= 46) || code === SPACE || code === 101 || code === 69;
}

/** Index after the closing quote of the string that starts at `at`, or -1. */
function skipString(line: string, at: number): number {
  let quote = line.indexOf('"', at + 1);
  while (quote !== -1) {
    let before = quote - 1;
    while (line.charCodeAt(before) === BACKSLASH) before--;
    if ((quote - 1 - before) % 2 === 0) return quote + 1;
    quote = line.indexOf('"', quote + 1);
  }
  return -1;
}
