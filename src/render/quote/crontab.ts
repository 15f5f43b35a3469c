import { refuseControls } from './refuse.ts';
import { quoteShell } from './shell.ts';

/**
 * One word of a command in a crontab: as for a shell, and a percent sign, which would end the command and begin its input,
 * behind a backslash. Quotes do not help there: cron looks for it before a shell sees the line, and takes the backslash away.
 * Throws a UserError for control characters: a command is one line. Source: crontab(5).
 */
export function quoteCrontab(value: string, place: string): string {
  refuseControls(value, place, 'a crontab');
  return quoteShell(value, place).replaceAll('%', String.raw`\%`);
}
