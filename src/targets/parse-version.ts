import { UserError } from '../deployment/errors.ts';

/** Major, minor, patch. */
export type Version = readonly [number, number, number];

/**
 * Reads a version as programs print it: "1.22.1", "nginx/1.25", "v2.6.2 h1:…",
 * "systemd 252 (252.38-1)". Throws a UserError when there is none.
 */
export function parseVersion(text: string): Version {
  const found = /(?:^|[\s/v@])(\d{1,5})(?:\.(\d{1,5}))?(?:\.(\d{1,5}))?/.exec(text);
  if (found === null) {
    throw new UserError(`${JSON.stringify(text)} is not a version`, {
      next: 'Write it as program@version, for example --for nginx@1.22.1.',
    });
  }
  return [Number(found[1]), Number(found[2] ?? 0), Number(found[3] ?? 0)];
}

export function isAtLeast(version: Version, wanted: Version): boolean {
  for (const [index, part] of wanted.entries()) {
    const difference = (version[index] ?? 0) - part;
    if (difference !== 0) return difference > 0;
  }
  return true;
}
