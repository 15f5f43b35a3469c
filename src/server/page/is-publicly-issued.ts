import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';

let publicAuthorities: ReadonlySet<string> | null = null;

/**
 * Whether a chain (PEM, the leaf first) ends at an authority that clients trust by themselves: its last certificate is
 * issued by one of Node's roots. By name only: this is advice for people, and who connects verifies for themselves.
 */
export function isPubliclyIssued(chainPem: string): boolean {
  const last = chainPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)?.at(-1);
  if (last === undefined) return false;
  publicAuthorities ??= new Set(rootCertificates.map((pem) => new X509Certificate(pem).subject));
  return publicAuthorities.has(new X509Certificate(last).issuer);
}
