import { refuseBrokenUnicode, refuseValue } from './refuse.ts';

/**
 * One word of a POSIX shell command. Line breaks stay: between single quotes
 * everything is literal. Throws a UserError for NUL, which ends an argument.
 */
export function quoteShell(value: string, place: string): string {
  refuseBrokenUnicode(value, place, 'a shell command');
  if (value.includes('\0')) refuseValue(place, 'It contains a NUL character, which no argument can hold.');
  if (/^[A-Za-z0-9_./:@,+=%-]+$/.test(value)) return value;
  return `'${value.replaceAll("'", String.raw`'\''`)}'`;
}
