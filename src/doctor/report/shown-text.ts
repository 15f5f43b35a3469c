import { printable } from '../printable.ts';

const longest = 4_000;

/**
 * Text from outside as every format may show it: nothing that steers a terminal, turns the reading direction, cannot be
 * seen, or is no character of XML; at most 4,000 characters.
 */
export function shownText(text: string, characters = longest): string {
  const bounded = text.length > characters ? `${text.slice(0, characters)}… (${text.length} characters)` : text;
  return printable(bounded)
    .replaceAll(/[\u061c\u200b-\u200f\u2060-\u2065\ufeff\ufff9-\uffff]/g, '')
    .replaceAll(loneSurrogate, '\ufffd');
}

const loneSurrogate = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
