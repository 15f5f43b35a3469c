import { refuseControls, refuseValue } from './refuse.ts';

const format = 'a systemd unit';

/**
 * A setting that systemd takes as it stands to the end of the line, such as
 * WorkingDirectory= or Description=. Only specifiers (`%h`) are filled there.
 * Throws a UserError for control characters, blanks at the ends, which are
 * trimmed, and a backslash at the end, which joins the next line.
 * Source: systemd.syntax(7), systemd.unit(5) "Specifiers".
 */
export function quoteSystemdValue(value: string, place: string): string {
  refuseControls(value, place, format);
  if (value !== value.trim() || value === '') {
    refuseValue(place, 'It is empty or has blanks at its ends, which systemd cuts off.');
  }
  if (value.endsWith('\\')) refuseValue(place, 'It ends with a backslash, which joins the next line to it in systemd.');
  return value.replaceAll('%', '%%');
}

/** One item of a list such as ReadWritePaths=, where blanks divide and quotes hold together. */
export function quoteSystemdWord(value: string, place: string): string {
  refuseControls(value, place, format);
  const escaped = value.replaceAll('%', '%%');
  return /^[A-Za-z0-9_./:@,+=%-]+$/.test(escaped) ? escaped : inQuotes(escaped);
}

/** One argument of ExecStart= and its kin: as in a list, and `$NAME` is filled from the environment unless doubled. */
export function quoteSystemdExec(value: string, place: string): string {
  refuseControls(value, place, format);
  const escaped = value.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[A-Za-z0-9_./:@,+=%-]+$/.test(escaped) ? escaped : inQuotes(escaped);
}

/** One assignment of Environment=. The dollar sign means nothing there. */
export function quoteSystemdEnvironment(name: string, value: string, place: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) refuseValue(place, `"${name}" is not a name of an environment variable.`);
  return quoteSystemdWord(`${name}=${value}`, place);
}

function inQuotes(value: string): string {
  return `"${value.replace(/[\\"]/g, '\\$&')}"`;
}
