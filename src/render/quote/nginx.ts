import { refuseControls, refuseValue } from './refuse.ts';

/**
 * One parameter of an nginx directive. Throws a UserError for control
 * characters and for `$`: nginx fills variables in many parameters, also
 * inside quotes, and has no escape for the dollar sign.
 */
export function quoteNginx(value: string, place: string): string {
  refuseControls(value, place, 'an nginx configuration');
  if (value.includes('$')) {
    refuseValue(place, 'It contains "$", which nginx reads as the start of a variable and which cannot be escaped.');
  }
  if (/^[A-Za-z0-9_./:@*,+=%[\]-]+$/.test(value)) return value;
  // The parser drops the backslash before ", ' and \; \t, \r and \n would become control characters,
  // so every backslash of the value is doubled.
  return `"${value.replace(/[\\"]/g, '\\$&')}"`;
}
