import { refuseControls, refuseValue } from './refuse.ts';

/**
 * One line of an environment file that systemd (EnvironmentFile=), a shell
 * and Compose read alike: between double quotes, with the four characters
 * escaped that mean something there.
 * Throws a UserError for control characters and for a name that is none.
 * Source: systemd.exec(5) "EnvironmentFile=", POSIX XCU 2.2.3.
 */
export function quoteEnvFileLine(name: string, value: string, place: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) refuseValue(place, `"${name}" is not a name of an environment variable.`);
  refuseControls(value, place, 'an environment file');
  return `${name}="${value.replace(/[\\"`$]/g, '\\$&')}"`;
}
