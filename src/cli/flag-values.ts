import { UserError } from '../deployment/errors.ts';
import type { CertificateUsage } from '../pki/extensions.ts';
import { keyAlgorithms, type KeyAlgorithm } from '../pki/key-pair.ts';

export type FlagValues = Readonly<Record<string, unknown>>;

/** The text of a flag, or undefined when it was not given. */
export function textFlag(options: FlagValues, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}

/** The words of a flag that takes several; none when it was not given. */
export function listFlag(options: FlagValues, name: string): readonly string[] {
  const value = options[name];
  const words = Array.isArray(value) ? value.filter((word): word is string => typeof word === 'string') : [];
  return words.flatMap((word) => word.split(',')).map((word) => word.trim());
}

/** A whole number from a flag. @throws UserError when it is another text. */
export function numberFlag(options: FlagValues, name: string, flag: string, otherwise: number): number {
  const text = textFlag(options, name);
  if (text === undefined) return otherwise;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UserError(`${flag} ${text} is not a whole number.`, { next: `${flag} ${otherwise}` });
}

/** The kind of key asked for with --key-type. @throws UserError that lists the kinds. */
export function keyTypeFlag(options: FlagValues): KeyAlgorithm {
  const text = textFlag(options, 'keyType') ?? 'ec-p256';
  const found = keyAlgorithms.find((algorithm) => algorithm === text);
  if (found !== undefined) return found;
  throw new UserError(`--key-type ${text} is not a kind of key this tool makes.`, {
    why: `It makes ${keyAlgorithms.join(', ')}; ec-p256 is the quickest in a handshake.`,
    next: '--key-type ec-p256',
  });
}

/** Purposes from --client and --both. */
export function usageFlags(options: FlagValues): readonly CertificateUsage[] {
  if (options['both'] === true) return ['serverAuth', 'clientAuth'];
  return options['client'] === true ? ['clientAuth'] : ['serverAuth'];
}
