import { refuseControls } from './refuse.ts';

/**
 * One word of an HAProxy configuration. Between single quotes everything is literal; between double quotes the
 * backslash, the quote and the dollar sign (environment variables) are escaped. Throws a UserError for control characters.
 * Source: HAProxy configuration manual, 2.2 "Quoting and escaping".
 */
export function quoteHaproxy(value: string, place: string): string {
  refuseControls(value, place, 'an HAProxy configuration');
  if (/^[A-Za-z0-9_./:@*,+=%[\]-]+$/.test(value)) return value;
  if (!value.includes("'")) return `'${value}'`;
  return `"${value.replace(/[\\"$]/g, '\\$&')}"`;
}
