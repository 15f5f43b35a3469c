import type { ParsedCertificate } from './parse-certificates.ts';

/** What can be wrong with a certificate. The codes are permanent. */
export const certificateProblemCodes = [
  'expired',
  'not-yet-valid',
  'no-names',
  'name-mismatch',
  'name-not-permitted',
  'key-unreadable',
  'key-mismatch',
  'chain-order',
  'chain-incomplete',
  'chain-unrelated',
  'not-trusted',
  'wrong-usage',
  'weak-key',
  'weak-signature',
  'validity-too-long',
  'revoked',
  'list-not-genuine',
  'list-expired',
] as const;
type CertificateProblemCode = (typeof certificateProblemCodes)[number];

export interface CertificateProblem {
  readonly code: CertificateProblemCode;
  /** What is there: a sentence without a full stop. */
  readonly observed: string;
  /** What should be there instead. */
  readonly expected: string;
}

/** How a certificate is called in a sentence. */
export function titleOf(certificate: ParsedCertificate): string {
  const name = certificate.names[0] ?? (certificate.subject || 'without a name');
  return certificate.x509.ca ? `the CA ${certificate.subject || name}` : `the certificate for ${name}`;
}
