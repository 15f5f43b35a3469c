import { EnvironmentError, UserError } from '../deployment/errors.ts';
import { bytesOf, type DerNode } from './der.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  extendedKeyUsage,
  keyIdentifierOf,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
  type CertificateUsage,
} from './extensions.ts';
import type { IssuedCertificate } from './issue-private-ca.ts';
import {
  encodePrivateKey,
  generateKeys,
  parsePrivateKey,
  signerFor,
  type KeyAlgorithm,
  type KeyPair,
} from './key-pair.ts';
import { isPermitted } from './name-constraints.ts';
import { parseCertificateNames, type CertificateName } from './names.ts';
import { oids } from './oids.ts';
import { parseCertificates, readFields, type ParsedCertificate } from './parse-certificates.ts';
import { distinguishedName, signCertificate, validityFor } from './sign-certificate.ts';

/** Apple refuses TLS server certificates of 825 days and more, also under a private CA: support.apple.com/103769. */
const maxLeafDays = 824;

export interface LeafSpec {
  /** DNS names (also `*.` and internationalised ones) and IP addresses; the first one is also the common name. */
  readonly names: readonly string[];
  readonly validDays: number;
  readonly now?: Date;
  readonly algorithm?: KeyAlgorithm;
  /** serverAuth by default. */
  readonly usages?: readonly CertificateUsage[];
}

export interface CertificateSpec extends LeafSpec {
  /** The certificate may be followed by the chain above it. */
  readonly ca: { readonly certificatePem: string; readonly keyPem: string };
}

/**
 * A certificate for the names, signed by the CA, with a new key. It ends with the CA at the latest. Intermediates are
 * appended, roots are not.
 * @throws UserError for wrong names, names outside of the CA's constraints, a CA that is none, is expired or has
 * another key; EnvironmentError when the clock is before the CA's first day.
 */
export async function issueCertificate(spec: CertificateSpec): Promise<IssuedCertificate> {
  const now = spec.now ?? new Date();
  const names = parseCertificateNames(spec.names);
  const validity = leafValidity(spec.validDays, now);
  const chain = parseCertificates(spec.ca.certificatePem, 'The CA certificate');
  const ca = chain[0];
  const caKey = parsePrivateKey(spec.ca.keyPem, 'The CA key');
  refuseUnfitCa(ca, names, now);
  if (!ca.x509.checkPrivateKey(caKey)) {
    throw new UserError('The CA key does not belong to the CA certificate', {
      why: 'What it signs would not be accepted by anyone who trusts the certificate.',
      next: 'Give the key that was made together with the CA certificate.',
    });
  }
  const caFields = readFields(ca);
  const keys = await generateKeys(spec.algorithm ?? 'ec-p256');
  const authorityKeyId = caFields.extension(oids.subjectKeyIdentifier);
  const content = leafContent(names, keys, spec.usages ?? ['serverAuth']);
  const certificatePem = await signCertificate(
    {
      issuer: caFields.subject,
      subject: content.subject,
      notBefore: validity.notBefore < ca.notBefore ? ca.notBefore : validity.notBefore,
      notAfter: validity.notAfter > ca.notAfter ? ca.notAfter : validity.notAfter,
      spki: keys.spki,
      extensions: [
        ...content.extensions,
        ...(authorityKeyId === null ? [] : [authorityKeyIdentifier(bytesOf(authorityKeyId))]),
      ],
    },
    signerFor(caKey),
  );
  const above = chain
    .filter((certificate) => !certificate.selfIssued)
    .map((certificate) => certificate.x509.toString());
  return { certificatePem: [certificatePem, ...above].join(''), keyPem: encodePrivateKey(keys.privateKey) };
}

/**
 * A certificate that vouches for itself: enough for a single machine or a first try. It is not a CA, so whoever trusts
 * it trusts this one key for these names and nothing else.
 * @throws UserError for wrong names or a life of other than 1 to 824 days.
 */
export async function issueSelfSigned(spec: LeafSpec): Promise<IssuedCertificate> {
  const names = parseCertificateNames(spec.names);
  const validity = leafValidity(spec.validDays, spec.now ?? new Date());
  const keys = await generateKeys(spec.algorithm ?? 'ec-p256');
  const content = leafContent(names, keys, spec.usages ?? ['serverAuth']);
  // An empty issuer is not allowed (RFC 5280, 4.1.2.4), so a name that is too long for a common name gives way here.
  const subject =
    names[0] !== undefined && names[0].value.length > 64 ? distinguishedName('self-signed') : content.subject;
  const certificatePem = await signCertificate(
    {
      issuer: subject,
      subject,
      ...validity,
      spki: keys.spki,
      extensions: [...content.extensions, authorityKeyIdentifier(keyIdentifierOf(keys.spki))],
    },
    signerFor(keys.privateKey),
  );
  return { certificatePem, keyPem: encodePrivateKey(keys.privateKey) };
}

function leafValidity(validDays: number, now: Date): { notBefore: Date; notAfter: Date } {
  return validityFor(
    validDays,
    maxLeafDays,
    'macOS and iOS refuse server certificates that live for 825 days or more.',
    now,
  );
}

function leafContent(
  names: readonly CertificateName[],
  keys: KeyPair,
  usages: readonly CertificateUsage[],
): { readonly subject: DerNode; readonly extensions: readonly DerNode[] } {
  const first = names[0]?.value ?? '';
  // A common name cut in the middle would be the name of another host; clients read the SAN alone.
  const commonName = first.length > 64 ? null : first;
  return {
    subject: distinguishedName(commonName),
    extensions: [
      basicConstraints(false),
      keyUsage(keys.isRsa ? ['digitalSignature', 'keyEncipherment'] : ['digitalSignature']),
      extendedKeyUsage(usages),
      subjectAltName(names, commonName === null),
      subjectKeyIdentifier(keyIdentifierOf(keys.spki)),
    ],
  };
}

function refuseUnfitCa(ca: ParsedCertificate, names: readonly CertificateName[], now: Date): void {
  if (!ca.x509.ca) {
    throw new UserError('The CA certificate is not a certificate authority', {
      why: `It is a certificate for ${ca.names.join(', ') || ca.subject}; nothing that it signs is accepted.`,
      next: 'Give the certificate of the CA, often called ca.crt.',
    });
  }
  if (now > ca.notAfter) {
    throw new UserError(`The CA certificate expired on ${ca.notAfter.toISOString().slice(0, 10)}`, {
      why: 'A certificate signed by it would not be accepted.',
      next: 'Make a new one with: mcp-deploy cert ca',
    });
  }
  if (now < ca.notBefore) {
    throw new EnvironmentError(`The clock of this machine says ${now.toISOString()}, before the CA's first day`, {
      why: `The CA certificate is valid from ${ca.notBefore.toISOString()} on.`,
      next: 'Set the clock of this machine.',
    });
  }
  const constraints = readFields(ca).nameConstraints;
  const outside = constraints === null ? [] : names.filter((name) => !isPermitted(constraints, name));
  if (constraints !== null && outside.length > 0) {
    const refused = outside.map((name) => name.value).join(', ');
    throw new UserError(`The CA may not sign for ${refused}`, {
      why: 'Its name constraints do not permit it, so that no client would accept the certificate.',
      next: 'Leave the name out, or make a CA for it with: mcp-deploy cert ca',
    });
  }
}
