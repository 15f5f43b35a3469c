import { isIssuedBy } from './certificate-path.ts';
import type { ParsedCertificate } from './parse-certificates.ts';
import { isSignedBy, type RevocationList } from './revocation-list.ts';

/** Why a path is refused because of the revocation lists of its CAs; `reason` is a sentence without a full stop. */
export interface RevocationProblem {
  readonly code: 'revoked' | 'list-not-genuine' | 'list-expired';
  readonly reason: string;
}

/**
 * Holds every certificate of a path against the list of the CA that issued it; null when none is in one. A CA without a
 * list has revoked nothing. A list that is out of date, or that none of the CAs has signed, is itself a problem: a thief
 * could otherwise keep an old list in place.
 */
export function judgeRevocation(
  path: readonly ParsedCertificate[],
  authorities: readonly ParsedCertificate[],
  lists: readonly RevocationList[],
  now: Date,
): RevocationProblem | null {
  const known = [...authorities, ...path];
  if (lists.some((list) => !known.some((ca) => isSignedBy(list, ca)))) {
    return { code: 'list-not-genuine', reason: 'a revocation list was given that none of the CAs has signed' };
  }
  for (const certificate of path) {
    const issuer = path.find((candidate) => candidate !== certificate && isIssuedBy(certificate, candidate));
    const own = issuer === undefined ? [] : lists.filter((list) => isSignedBy(list, issuer));
    const newest = own.toSorted((one, other) => other.number - one.number)[0];
    if (issuer === undefined || newest === undefined) continue;
    if (newest.nextUpdate !== null && now > newest.nextUpdate) {
      const end = newest.nextUpdate.toISOString();
      return { code: 'list-expired', reason: `the revocation list of ${issuer.subject} ended on ${end}` };
    }
    const entry = newest.bySerial.get(certificate.x509.serialNumber);
    if (entry !== undefined) {
      const at = entry.revokedAt.toISOString();
      return { code: 'revoked', reason: `${certificate.subject} was revoked on ${at} (${entry.reason})` };
    }
  }
  return null;
}
