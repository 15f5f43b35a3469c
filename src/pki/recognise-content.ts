import { childrenOf, decodeDer, isTagged, isUniversal, oidOf } from './der.ts';

/** What a PEM label announces, in words that fit behind "holds". */
export const pemKinds: Readonly<Record<string, string>> = {
  CERTIFICATE: 'certificate',
  'X509 CERTIFICATE': 'certificate',
  'TRUSTED CERTIFICATE': 'certificate',
  'CERTIFICATE REQUEST': 'a certificate request (CSR)',
  'NEW CERTIFICATE REQUEST': 'a certificate request (CSR)',
  'PRIVATE KEY': 'a private key',
  'EC PRIVATE KEY': 'a private key',
  'RSA PRIVATE KEY': 'a private key',
  'ENCRYPTED PRIVATE KEY': 'an encrypted private key',
  'OPENSSH PRIVATE KEY': 'an SSH private key',
  'PUBLIC KEY': 'a public key',
  'RSA PUBLIC KEY': 'a public key',
  'X509 CRL': 'a revocation list (CRL)',
  PKCS7: 'a PKCS#7 bundle',
  CMS: 'a PKCS#7 bundle',
  'EC PARAMETERS': 'key parameters',
  'DH PARAMETERS': 'key parameters',
};

/** What DER bytes hold, in words that fit behind "holds"; 'certificate' for a certificate, null when it is not DER. */
export function judgeDerKind(bytes: Buffer): string | null {
  if (bytes[0] !== 0x30) return null;
  let parts;
  try {
    parts = childrenOf(decodeDer(bytes));
  } catch {
    return 'damaged or cut off DER';
  }
  const [first, second, third] = parts;
  const inner = childrenOf(first);
  if (oidOf(first) === '1.2.840.113549.1.7.2') return 'a PKCS#7 bundle';
  if (isUniversal(first, 2)) {
    if (oidOf(childrenOf(second)[0]) === '1.2.840.113549.1.7.1') return 'a PKCS#12 file (.p12, .pfx)';
    return parts.length >= 3 ? 'a private key' : 'DER of another kind';
  }
  if (parts.length === 2 && oidOf(inner[0]) !== null) {
    return isUniversal(second, 3) ? 'a public key' : 'an encrypted private key';
  }
  if (parts.length === 3 && isUniversal(third, 3)) {
    if (isTagged(inner[0], 0) || inner.length >= 6)
      return isUniversal(inner[2], 23) ? 'a revocation list (CRL)' : 'certificate';
    if (isUniversal(inner[0], 2) && inner.some((part) => isTagged(part, 0))) return 'a certificate request (CSR)';
    return 'a revocation list (CRL)';
  }
  return 'DER of another kind';
}

/** Windows editors save "Unicode" as UTF-16, in which no program finds the PEM lines. */
export function isUtf16(bytes: Buffer): boolean {
  const mark = bytes.subarray(0, 2).toString('hex');
  return mark === 'fffe' || mark === 'feff' || (bytes[0] === 0x2d && bytes[1] === 0x00);
}
