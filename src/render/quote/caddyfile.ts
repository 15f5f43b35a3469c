import { refuseControls, refuseValue } from './refuse.ts';

/**
 * One token of a Caddyfile. Throws a UserError for control characters, for
 * `{` and `}` (environment variables are filled before tokens are told apart,
 * placeholders after, both also inside quotes), and for a value that neither
 * kind of quotes can hold.
 * Source: https://caddyserver.com/docs/caddyfile/concepts#tokens-and-quotes
 */
export function quoteCaddyfile(value: string, place: string): string {
  refuseControls(value, place, 'a Caddyfile');
  if (/[{}]/.test(value)) {
    refuseValue(place, 'It contains "{" or "}", which Caddy reads as a block or as a placeholder, also inside quotes.');
  }
  if (/^[A-Za-z0-9_./:@*,+=%[\]-]+$/.test(value)) return value;
  if (!/["\\]/.test(value)) return `"${value}"`;
  // Between backticks everything is literal. Between double quotes only \" is an escape, so that a backslash
  // before a quote or at the end cannot be said there.
  if (!value.includes('`')) return `\`${value}\``;
  if (!value.includes('\\')) return `"${value.replaceAll('"', '\\"')}"`;
  refuseValue(place, 'It contains both a backtick and a backslash, which no Caddyfile quotes can hold.');
}
