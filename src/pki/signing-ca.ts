import type { KeyObject } from 'node:crypto';
import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { bytesOf, childrenOf } from './der.ts';
import { parsePrivateKey } from './key-pair.ts';
import { oids } from './oids.ts';
import { parseCertificates, readFields, type ParsedCertificate } from './parse-certificates.ts';

/** What a CA signs with. */
export interface SigningCa {
  /** The CA's certificate, perhaps followed by the chain above it. */
  readonly certificatePem: string;
  readonly keyPem: string;
  /** Of an encrypted key. */
  readonly passphrase?: string;
}

/**
 * The certificate and key of a CA that can sign now.
 * @throws UserError for a certificate that is no CA, is expired or has another key; EnvironmentError when the clock is
 * before its first day.
 */
export function readSigningCa(
  ca: SigningCa,
  now: Date,
): { readonly certificate: ParsedCertificate; readonly chain: readonly ParsedCertificate[]; readonly key: KeyObject } {
  const chain = parseCertificates(ca.certificatePem, 'The CA certificate');
  const [certificate] = chain;
  const key = parsePrivateKey(ca.keyPem, 'The CA key', ca.passphrase);
  if (!certificate.x509.ca) {
    throw new UserError('The CA certificate is not a certificate authority', {
      why: `It is a certificate for ${certificate.names.join(', ') || certificate.subject}; nothing that it signs is accepted.`,
      next: 'Give the certificate of the CA, often called ca.crt.',
    });
  }
  if (now > certificate.notAfter) {
    throw new UserError(`The CA certificate expired on ${certificate.notAfter.toISOString().slice(0, 10)}`, {
      why: 'A certificate signed by it would not be accepted.',
      next: 'Make a new one with: mcp-deploy cert ca',
    });
  }
  if (now < certificate.notBefore) {
    throw new EnvironmentError(`The clock of this machine says ${now.toISOString()}, before the CA's first day`, {
      why: `The CA certificate is valid from ${certificate.notBefore.toISOString()} on.`,
      next: 'Set the clock of this machine.',
    });
  }
  if (!certificate.x509.checkPrivateKey(key)) {
    throw new UserError('The CA key does not belong to the CA certificate', {
      why: 'What it signs would not be accepted by anyone who trusts the certificate.',
      next: 'Give the key that was made together with the CA certificate.',
    });
  }
  return { certificate, chain, key };
}

/** How many intermediate CAs may stand below this one; null when it does not say. */
export function pathLengthOf(authority: ParsedCertificate): number | null {
  const value = readFields(authority).extension(oids.basicConstraints);
  const octets = bytesOf(childrenOf(value)[1]);
  return octets.length === 0 || octets.length > 4 ? null : octets.readUIntBE(0, octets.length);
}
