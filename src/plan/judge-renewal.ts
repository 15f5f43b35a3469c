import { createHash } from 'node:crypto';

export interface RenewalQuestion {
  /** ISO 8601. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** Tells certificates apart, so that not all of a company are renewed in the same minute. */
  readonly fingerprint256: string;
  readonly now: Date;
  /** What the authority suggests (RFC 9773), ISO 8601; it goes before the lifetime. */
  readonly window?: { readonly start: string; readonly end: string } | null;
}

export interface RenewalJudgement {
  readonly due: boolean;
  /** When it is due, ISO 8601. */
  readonly dueAt: string;
  /** A short phrase: "expires in 20 days", "not due before 2027-01-12". */
  readonly reason: string;
}

const dayMs = 86_400_000;
/** Below this a certificate is short-lived: a third of its life may be less than it takes someone to notice a failure. */
const shortLifeMs = 10 * dayMs;

/**
 * Whether a certificate is to be renewed now: when a third of its life is left, a half for lives below ten days, moved
 * earlier by up to a twentieth of its life, always by the same amount for the same certificate. A window that the
 * authority suggests goes before: a moment in it is chosen, and it never delays beyond the last tenth of the life.
 */
export function judgeRenewal({ notBefore, notAfter, fingerprint256, now, window }: RenewalQuestion): RenewalJudgement {
  const [begin, end] = [Date.parse(notBefore), Date.parse(notAfter)];
  const lifeMs = end - begin;
  const share = shareOf(fingerprint256);
  const byLifeMs = end - lifeMs * (lifeMs < shortLifeMs ? 1 / 2 : 1 / 3) - (share * lifeMs) / 20;
  const dueMs =
    window === undefined || window === null ? byLifeMs : Math.min(momentIn(window, share), end - lifeMs / 10);
  const due = now.getTime() >= dueMs;
  const dueAt = new Date(dueMs).toISOString();
  if (!due) return { due, dueAt, reason: `not due before ${dueAt.slice(0, 10)}` };
  const byWindow = window !== undefined && window !== null && now.getTime() < byLifeMs;
  return { due, dueAt, reason: byWindow ? 'the authority asks for it' : endsIn(end - now.getTime()) };
}

function momentIn({ start, end }: { readonly start: string; readonly end: string }, share: number): number {
  const [from, to] = [Date.parse(start), Date.parse(end)];
  return from + (to - from) * share;
}

/** A number from 0 to 1 that belongs to the certificate. */
function shareOf(fingerprint256: string): number {
  return createHash('sha256').update(fingerprint256).digest().readUInt32BE(0) / 0x1_0000_0000;
}

function endsIn(leftMs: number): string {
  if (leftMs < 0) return 'expired';
  if (leftMs < 2 * dayMs) return `expires in ${Math.max(1, Math.floor(leftMs / 3_600_000))} hours`;
  return `expires in ${Math.floor(leftMs / dayMs)} days`;
}
