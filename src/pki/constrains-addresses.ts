import { parseCertificates } from './parse-certificates.ts';
import { readFields } from './parse-certificates.ts';

/**
 * Whether the first certificate of the text has an address, and a CA behind it says for which addresses it may sign.
 * BoringSSL, which Bun and Electron bring, refuses that pair ("unsupported name constraint type", v3_ncons.cc), while
 * OpenSSL and so Node.js take it. @throws UserError for text without a certificate
 */
export function constrainsAddresses(pem: string): boolean {
  const [leaf, ...others] = parseCertificates(pem);
  const hasAddress = leaf.names.some((name) => /^[0-9.]+$/.test(name) || name.includes(':'));
  if (!hasAddress) return false;
  // A file of authorities may hold some that have no part in this.
  const issuers = new Set([leaf, ...others].map(({ issuer }) => issuer));
  return others.some((certificate) => {
    if (!issuers.has(certificate.subject)) return false;
    const constraints = readFields(certificate).nameConstraints;
    return (
      certificate.x509.ca && constraints !== null && constraints.permittedIp.length + constraints.excludedIp.length > 0
    );
  });
}
