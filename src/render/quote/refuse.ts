import { UserError } from '../../deployment/errors.ts';

/**
 * Says no to a value that a format cannot carry. `place` is where the user
 * wrote it, as a dotted path of mcp-deploy.yaml or the name of a path.
 */
export function refuseValue(place: string, why: string): never {
  throw new UserError(`${place} cannot be written into this file`, {
    why,
    next: `Change ${place} and run the command again.`,
  });
}

const names: Readonly<Record<string, string>> = {
  '\0': 'a NUL character',
  '\n': 'a line break',
  '\r': 'a carriage return',
  '\t': 'a tab',
};

/** Refuses C0 controls and DEL, which end a line or a value in every line-based format, and broken Unicode. */
export function refuseControls(value: string, place: string, format: string): void {
  refuseBrokenUnicode(value, place, format);
  const found = /[\u0000-\u001f\u007f]/.exec(value);
  if (found === null) return;
  const code = found[0].charCodeAt(0).toString(16).padStart(2, '0');
  refuseValue(
    place,
    `It contains ${names[found[0]] ?? `the control character 0x${code}`}, which ${format} cannot carry.`,
  );
}

/** Half a surrogate pair has no UTF-8 form: it would reach the file as U+FFFD, another value than the one meant. */
export function refuseBrokenUnicode(value: string, place: string, format: string): void {
  if (/\p{Surrogate}/u.test(value)) {
    refuseValue(place, `It contains half of a Unicode surrogate pair, which ${format} cannot carry.`);
  }
}
