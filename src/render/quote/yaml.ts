import { refuseBrokenUnicode, refuseValue } from './refuse.ts';

/**
 * A double-quoted YAML scalar, always quoted so that `no`, `1e3` and `~` stay
 * text. Throws a UserError for NUL, which nothing that reads the file can
 * pass on, and for half surrogate pairs.
 * Source: https://yaml.org/spec/1.2.2/#732-double-quoted-style
 */
export function quoteYaml(value: string, place: string): string {
  refuseBrokenUnicode(value, place, 'a YAML file');
  if (value.includes('\0')) refuseValue(place, 'It contains a NUL character, which no program can be given.');
  // JSON strings are YAML strings, but for the characters YAML does not count as printable.
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The same in a Compose file, where `$NAME` is filled from the environment unless the dollar sign is doubled. */
export function quoteCompose(value: string, place: string): string {
  return quoteYaml(value, place).replaceAll('$', '$$$$');
}
