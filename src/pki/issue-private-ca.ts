import { UserError } from '../deployment/errors.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  keyIdentifierOf,
  keyUsage,
  subjectKeyIdentifier,
} from './extensions.ts';
import { bytesOf } from './der.ts';
import { encodePrivateKey, generateKeys, signerFor, type KeyAlgorithm } from './key-pair.ts';
import { isPermitted, nameConstraints } from './name-constraints.ts';
import { parseCertificateNames, type CertificateName } from './names.ts';
import { oids } from './oids.ts';
import { parseCertificates, readFields } from './parse-certificates.ts';
import { pathLengthOf, readSigningCa, type SigningCa } from './signing-ca.ts';
import { distinguishedName, signCertificate, validityFor } from './sign-certificate.ts';

export interface IssuedCertificate {
  /** The certificate, followed by the intermediates a server has to send; a root is never in it. */
  readonly certificatePem: string;
  /** PKCS#8, unencrypted: to be written with mode 0600 or stricter. */
  readonly keyPem: string;
}

export interface PrivateCaSpec {
  /** Shown by trust stores; cut to 64 characters. */
  readonly commonName: string;
  /** DNS names and addresses the CA may sign for. A DNS name includes the names below it. */
  readonly names: readonly string[];
  /** False leaves the name constraints out: the CA can then vouch for any site. True by default. */
  readonly constrained?: boolean;
  /** False constrains DNS names only: programs on BoringSSL refuse a CA that constrains addresses. True by default. */
  readonly addressesConstrained?: boolean;
  /** How many intermediate CAs may stand below it; 0 by default. */
  readonly pathLength?: number;
  readonly validDays?: number;
  readonly now?: Date;
  readonly algorithm?: KeyAlgorithm;
}

/** An intermediate is signed by the CA above it. */
export interface IntermediateCaSpec extends PrivateCaSpec {
  readonly ca: SigningCa;
}

/**
 * A private root CA that can sign for the given names only, so that a stolen CA key is of no use against other sites
 * on the machines that trust it. It signs leaf certificates only (path length 0) unless told otherwise.
 * @throws UserError for a wrong name, an empty common name, a path length of other than 0 to 5, or a life of other than
 * 1 to 18,262 days.
 */
export async function issuePrivateCa(spec: PrivateCaSpec): Promise<IssuedCertificate> {
  const { names, validity, pathLength } = judgeCaSpec(spec);
  const keys = await generateKeys(spec.algorithm ?? 'ec-p256');
  const subject = distinguishedName(spec.commonName.trim());
  const certificatePem = await signCertificate(
    {
      issuer: subject,
      subject,
      ...validity,
      spki: keys.spki,
      extensions: caExtensions(spec, names, pathLength, keys.spki),
    },
    signerFor(keys.privateKey),
  );
  return { certificatePem, keyPem: encodePrivateKey(keys.privateKey) };
}

/**
 * An intermediate CA: the root's key can then be kept away from the machine. It ends with the CA above it at the latest.
 * @throws UserError as issuePrivateCa, and when the CA above allows no CA below it or not these names.
 */
export async function issueIntermediateCa(spec: IntermediateCaSpec): Promise<IssuedCertificate> {
  const { names, validity, pathLength, now } = judgeCaSpec(spec);
  const above = readSigningCa(spec.ca, now);
  const allowed = pathLengthOf(above.certificate);
  if (allowed !== null && allowed <= pathLength) {
    throw new UserError(`The CA allows ${allowed} CAs below it, which leaves none for this one`, {
      why: `Its path length is ${allowed}, and the new CA asks for ${pathLength} below itself.`,
      next: 'Make a root with a higher one: mcp-deploy cert ca --path-length 1',
    });
  }
  const fields = readFields(above.certificate);
  const constraints = fields.nameConstraints;
  const outside = constraints === null ? [] : (names ?? []).filter((name) => !isPermitted(constraints, name));
  if (outside.length > 0) {
    throw new UserError(`The CA above may not sign for ${outside.map((name) => name.value).join(', ')}`, {
      why: 'Its name constraints do not permit it.',
      next: 'Leave the name out, or make a root for it with: mcp-deploy cert ca',
    });
  }
  const keys = await generateKeys(spec.algorithm ?? 'ec-p256');
  const keyId = fields.extension(oids.subjectKeyIdentifier);
  const certificatePem = await signCertificate(
    {
      issuer: fields.subject,
      subject: distinguishedName(spec.commonName.trim()),
      notBefore: later(validity.notBefore, above.certificate.notBefore),
      notAfter: earlier(validity.notAfter, above.certificate.notAfter),
      spki: keys.spki,
      extensions: [
        ...caExtensions(spec, names, pathLength, keys.spki),
        ...(keyId === null ? [] : [authorityKeyIdentifier(bytesOf(keyId))]),
      ],
    },
    signerFor(above.key),
  );
  return {
    certificatePem: certificatePem + chainBelowRoot(spec.ca.certificatePem),
    keyPem: encodePrivateKey(keys.privateKey),
  };
}

/** The certificates of a CA file that a server has to send: all but roots. */
function chainBelowRoot(certificatePem: string): string {
  return parseCertificates(certificatePem)
    .filter((certificate) => !certificate.selfIssued)
    .map((certificate) => certificate.x509.toString())
    .join('');
}

function judgeCaSpec(spec: PrivateCaSpec) {
  const names = spec.constrained === false ? null : parseCertificateNames(spec.names);
  if (spec.commonName.trim() === '' || /[\u0000-\u001f\u007f-\u009f]/.test(spec.commonName)) {
    throw new UserError('A certificate authority needs a name of printable characters', {
      next: 'Give a common name, for example: "mcp-deploy CA on web1"',
    });
  }
  const pathLength = spec.pathLength ?? 0;
  if (!Number.isInteger(pathLength) || pathLength < 0 || pathLength > 5) {
    throw new UserError(`A path length of ${pathLength} is not a whole number from 0 to 5`, {
      next: 'Give 0 for a CA that signs certificates only, 1 for one intermediate below it.',
    });
  }
  const now = spec.now ?? new Date();
  const validity = validityFor(spec.validDays ?? 3_650, 18_262, 'A CA can live for up to 50 years.', now);
  return { names, validity, pathLength, now };
}

function caExtensions(spec: PrivateCaSpec, names: readonly CertificateName[] | null, pathLength: number, spki: Buffer) {
  return [
    basicConstraints({ pathLength }),
    keyUsage(['keyCertSign', 'cRLSign']),
    ...(names === null ? [] : [nameConstraints(names, spec.addressesConstrained)]),
    subjectKeyIdentifier(keyIdentifierOf(spki)),
  ];
}

function later(one: Date, other: Date): Date {
  return one > other ? one : other;
}

function earlier(one: Date, other: Date): Date {
  return one < other ? one : other;
}
