import { UserError } from '../deployment/errors.ts';
import { childrenOf, decodeDer, encodeDer, encodePem, isTagged, isUniversal, oidOf } from './der.ts';

const signedData = '1.2.840.113549.1.7.2';
/** As many as a file of the size that we read can hold, and far more than any chain. */
const mostCertificates = 100;

/** Whether bytes are a PKCS#7 bundle (.p7b, .p7c), in DER or in PEM. */
export function isPkcs7(bytes: Buffer): boolean {
  if (pemBody(bytes) !== null) return true;
  if (bytes[0] !== 0x30 || bytes.length > 1_048_576) return false;
  try {
    return oidOf(childrenOf(decodeDer(bytes))[0]) === signedData;
  } catch {
    return false;
  }
}

/**
 * The certificates of a PKCS#7 bundle as PEM, in the order of the file. Such a bundle is signed by nobody ("certs-only",
 * RFC 5652, 5.1); one that is signed is read the same way, since each certificate is judged by itself.
 * @throws UserError when it is damaged or holds no certificate.
 */
export function decodePkcs7(bytes: Buffer, what = 'The PKCS#7 file'): string {
  let certificates: readonly Buffer[];
  try {
    const content = childrenOf(decodeDer(pemBody(bytes) ?? bytes))[1];
    const set = childrenOf(childrenOf(content)[0]).find((part) => isTagged(part, 0));
    certificates = childrenOf(set)
      .filter((each) => isUniversal(each, 16))
      .slice(0, mostCertificates)
      .map((each) => encodeDer(each));
  } catch (cause) {
    throw new UserError(`${what} is damaged: it cannot be read as PKCS#7.`, { next: 'Copy it again, whole.', cause });
  }
  if (certificates.length === 0) {
    throw new UserError(`${what} holds no certificate.`, {
      why: 'It is a PKCS#7 message of another kind.',
      next: 'Ask your CA for the chain as .p7b or PEM.',
    });
  }
  return certificates.map((each) => encodePem('CERTIFICATE', each)).join('');
}

function pemBody(bytes: Buffer): Buffer | null {
  const text = bytes.subarray(0, 1_048_576).toString('latin1');
  const found = /-----BEGIN (PKCS7|CMS)-----([A-Za-z0-9+/=\s]*)-----END \1-----/.exec(text);
  return found === null || text.includes('-----BEGIN CERTIFICATE-----') ? null : Buffer.from(found[2] ?? '', 'base64');
}
