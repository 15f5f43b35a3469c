import { refuseControls, refuseValue } from './refuse.ts';

/**
 * The path of a log in a configuration of logrotate, always in quotes.
 * Throws a UserError for control characters, for quotes and backslashes, which cannot be written inside, and for what
 * logrotate takes as a pattern of names. Source: logrotate(8).
 */
export function quoteLogrotate(value: string, place: string): string {
  refuseControls(value, place, 'a configuration of logrotate');
  if (/["'\\]/.test(value)) refuseValue(place, 'It has a quote or a backslash, which logrotate cannot be told.');
  if (/[*?[\]{}~]/.test(value)) refuseValue(place, 'It has a character that logrotate takes for a pattern of names.');
  return `"${value}"`;
}
