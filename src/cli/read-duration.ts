import { UserError } from '../deployment/errors.ts';

const unitMs: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * Milliseconds of a length of time as people write it: 90d, 12h, 30m, 2w.
 * @param bare unit of a number alone
 * @throws UserError for anything else, and for more than `mostMs`.
 */
export function readDuration(flag: string, given: unknown, bare: 'h' | 'd', mostMs: number): number {
  const text = typeof given === 'string' ? given.trim() : '';
  const found = /^([0-9]{1,9}(?:\.[0-9]{1,3})?)([mhdw]?)$/.exec(text);
  const factor = unitMs[found?.[2] === '' ? bare : (found?.[2] ?? '')];
  const ms = found === null || factor === undefined ? Number.NaN : Number(found[1]) * factor;
  if (ms <= mostMs) return ms;
  throw new UserError(`${flag} ${String(given)} is not a length of time.`, {
    why: `It is a number and m, h, d or w, up to ${Math.floor(mostMs / 86_400_000)} days.`,
    next: `${flag} ${bare === 'd' ? '90d' : '7d'}`,
  });
}
