import { usagesOf } from './describe-certificate.ts';
import { buildPath } from './certificate-path.ts';
import { judgeRevocation } from './judge-revocation.ts';
import { judgeConstraints } from './verify-certificate.ts';
import type { ParsedCertificate } from './parse-certificates.ts';
import type { RevocationList } from './revocation-list.ts';

/** The answer to "may whoever holds this certificate come in?". `reason` is a sentence without a full stop. */
export type ClientVerdict =
  | {
      readonly accepted: true;
      readonly subject: string;
      readonly names: readonly string[];
      readonly fingerprint256: string;
    }
  | {
      readonly accepted: false;
      readonly code:
        | 'no-certificate'
        | 'not-trusted'
        | 'expired'
        | 'not-yet-valid'
        | 'wrong-usage'
        | 'not-permitted'
        | 'revoked'
        | 'list-not-genuine'
        | 'list-expired';
      readonly reason: string;
    };

/** What a client certificate is held against. */
export interface ClientTrust {
  /** The CAs whose clients are let in; intermediates may stand beside the root. */
  readonly authorities: readonly ParsedCertificate[];
  /** Their revocation lists; a CA without one has revoked nothing. */
  readonly revocationLists: readonly RevocationList[];
}

/**
 * Judges the certificate a TLS client has shown, its intermediates behind it. A list that is out of date or not genuine
 * refuses everyone of its CA: a thief could otherwise keep an old list in place.
 *
 * That the client holds the key is the handshake's to prove, not this function's.
 */
export function judgeClientCertificate(
  shown: readonly ParsedCertificate[],
  trust: ClientTrust,
  now: Date,
): ClientVerdict {
  const [leaf, ...others] = shown;
  if (leaf === undefined) return refused('no-certificate', 'the client showed no certificate');
  const path = buildPath([leaf, ...others], trust.authorities, null);
  const own = path.certificates[0];
  const problem = path.problems.find((each) => each.code !== 'chain-order' && each.code !== 'chain-unrelated');
  if (own !== leaf || path.anchor === null || problem !== undefined) {
    return refused('not-trusted', problem?.observed ?? 'the first certificate shown is no certificate of a client');
  }
  for (const certificate of path.certificates) {
    if (now > certificate.notAfter) {
      return refused('expired', `${certificate.subject} expired on ${certificate.notAfter.toISOString()}`);
    }
    if (now < certificate.notBefore) {
      return refused('not-yet-valid', `${certificate.subject} is valid from ${certificate.notBefore.toISOString()} on`);
    }
  }
  const usages = usagesOf(leaf.x509);
  if (
    leaf.x509.ca ||
    (usages.length > 0 && !usages.includes('clientAuth') && !usages.includes('anyExtendedKeyUsage'))
  ) {
    return refused(
      'wrong-usage',
      leaf.x509.ca ? 'it is the certificate of a CA' : `it is for ${usages.join(', ')} only`,
    );
  }
  const outside = judgeConstraints(path)[0];
  if (outside !== undefined) return refused('not-permitted', outside.observed);
  const revocation = judgeRevocation(path.certificates, trust.authorities, trust.revocationLists, now);
  if (revocation !== null) return refused(revocation.code, revocation.reason);
  return {
    accepted: true,
    subject: leaf.subject,
    names: leaf.names,
    fingerprint256: leaf.x509.fingerprint256,
  };
}

type Refused = Extract<ClientVerdict, { accepted: false }>;

function refused(code: Refused['code'], reason: string): Refused {
  return { accepted: false, code, reason };
}
