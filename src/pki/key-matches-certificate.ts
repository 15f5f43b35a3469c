import { createPrivateKey, type KeyObject } from 'node:crypto';
import { parseCertificates } from './parse-certificates.ts';

/**
 * Whether the private key belongs to the (first) certificate; false as well for a key that cannot be read.
 * @throws UserError when there is no certificate.
 */
export function keyMatchesCertificate(certificatePem: string, keyPem: string): boolean {
  const [leaf] = parseCertificates(certificatePem, 'The certificate');
  let key: KeyObject;
  try {
    key = createPrivateKey(keyPem);
  } catch {
    return false;
  }
  return leaf.x509.checkPrivateKey(key);
}
