import { refuseBrokenUnicode, refuseValue } from './refuse.ts';

/**
 * Text of an element of an XML property list.
 * Throws a UserError for what XML 1.0 has no form for: control characters
 * but tab and line breaks, U+FFFE, U+FFFF and half surrogate pairs.
 * Source: https://www.w3.org/TR/xml/#charsets
 */
export function quotePlist(value: string, place: string): string {
  refuseBrokenUnicode(value, place, 'a property list');
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(value)) {
    refuseValue(place, 'It contains a control character, which XML has no form for.');
  }
  return (
    value
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      // A parser turns a bare carriage return into a line feed.
      .replaceAll('\r', '&#13;')
  );
}
