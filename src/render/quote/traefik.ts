import { refuseControls, refuseValue } from './refuse.ts';
import { quoteYaml } from './yaml.ts';

/** A value inside of a Traefik rule, between backticks. Throws a UserError for a backtick and for control characters. */
export function quoteTraefikRule(value: string, place: string): string {
  refuseControls(value, place, 'a Traefik rule');
  if (value.includes('`')) refuseValue(place, 'It contains a backtick, which ends a value in a Traefik rule.');
  return `\`${value}\``;
}

/**
 * A YAML scalar in a file of Traefik's file provider, which fills Go templates before it reads YAML: no brace of a value
 * may be seen there. Throws a UserError as quoteYaml does.
 */
export function quoteTraefikYaml(value: string, place: string): string {
  return quoteYaml(value, place).replaceAll('{', '\\u007b').replaceAll('}', '\\u007d');
}
