import { UserError } from '../deployment/errors.ts';
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
import { encodePrivateKey, generateKeys, signerFor, type KeyAlgorithm, type KeyPair } from './key-pair.ts';
import { isPermitted } from './name-constraints.ts';
import { parseCertificateNames, type CertificateName } from './names.ts';
import { oids } from './oids.ts';
import { readFields, type ParsedCertificate } from './parse-certificates.ts';
import { readSigningCa, type SigningCa } from './signing-ca.ts';
import type { CertificateRequest } from './parse-request.ts';
import { distinguishedName, signCertificate, validityFor } from './sign-certificate.ts';

/** Apple refuses TLS server certificates of 825 days and more, also under a private CA: support.apple.com/103769. */
const maxLeafDays = 824;

export interface LeafSpec {
  /** DNS names (also `*.` and internationalised ones) and IP addresses; the first DNS name is also the common name. */
  readonly names: readonly string[];
  /** Who a client is, instead of the first name; a certificate for clients alone then needs no names. */
  readonly commonName?: string;
  readonly validDays: number;
  readonly now?: Date;
  readonly algorithm?: KeyAlgorithm;
  /** serverAuth by default. */
  readonly usages?: readonly CertificateUsage[];
}

export interface CertificateSpec extends LeafSpec {
  readonly ca: SigningCa;
}

/**
 * A certificate for the names, signed by the CA, with a new key. It ends with the CA at the latest. Intermediates are
 * appended, roots are not.
 * @throws UserError for wrong names, names outside of the CA's constraints, a CA that is none, is expired or has
 * another key; EnvironmentError when the clock is before the CA's first day.
 */
export async function issueCertificate(spec: CertificateSpec): Promise<IssuedCertificate> {
  // What is wrong is said before a key of 4096 bits is made for nothing.
  const prepared = prepareIssue(spec);
  const keys = await generateKeys(spec.algorithm ?? 'ec-p256');
  const certificatePem = await signPrepared(prepared, keys);
  return { certificatePem, keyPem: encodePrivateKey(keys.privateKey) };
}

/**
 * A certificate for a request that someone else made, with the names and purposes given here or asked for there. Their
 * key never leaves them.
 * @throws UserError as issueCertificate.
 */
export async function issueForRequest(
  spec: Omit<CertificateSpec, 'algorithm'> & { readonly request: CertificateRequest },
): Promise<string> {
  return signPrepared(prepareIssue(spec), { spki: spec.request.spki, isRsa: spec.request.isRsa });
}

interface PreparedIssue {
  readonly spec: LeafSpec;
  readonly names: readonly CertificateName[];
  readonly validity: { readonly notBefore: Date; readonly notAfter: Date };
  readonly ca: ReturnType<typeof readSigningCa>;
}

function prepareIssue(spec: CertificateSpec): PreparedIssue {
  const now = spec.now ?? new Date();
  const names = leafNames(spec);
  const validity = leafValidity(spec.validDays, now);
  const ca = readSigningCa(spec.ca, now);
  refuseNamesOutside(ca.certificate, [...names, ...namesInCommonName(spec.commonName)]);
  return { spec, names, validity, ca };
}

async function signPrepared(
  { spec, names, validity, ca }: PreparedIssue,
  keys: Pick<KeyPair, 'spki' | 'isRsa'>,
): Promise<string> {
  const { certificate, chain, key } = ca;
  const caFields = readFields(certificate);
  const authorityKeyId = caFields.extension(oids.subjectKeyIdentifier);
  const content = leafContent(names, keys, spec);
  const certificatePem = await signCertificate(
    {
      issuer: caFields.subject,
      subject: content.subject,
      notBefore: validity.notBefore < certificate.notBefore ? certificate.notBefore : validity.notBefore,
      notAfter: validity.notAfter > certificate.notAfter ? certificate.notAfter : validity.notAfter,
      spki: keys.spki,
      extensions: [
        ...content.extensions,
        ...(authorityKeyId === null ? [] : [authorityKeyIdentifier(bytesOf(authorityKeyId))]),
      ],
    },
    signerFor(key),
  );
  const above = chain.filter((each) => !each.selfIssued).map((each) => each.x509.toString());
  return [certificatePem, ...above].join('');
}

/**
 * A certificate that vouches for itself: enough for a single machine or a first try. It is not a CA, so whoever trusts
 * it trusts this one key for these names and nothing else.
 * @throws UserError for wrong names or a life of other than 1 to 824 days.
 */
export async function issueSelfSigned(spec: LeafSpec): Promise<IssuedCertificate> {
  const names = leafNames(spec);
  const validity = leafValidity(spec.validDays, spec.now ?? new Date());
  const keys = await generateKeys(spec.algorithm ?? 'ec-p256');
  const content = leafContent(names, keys, spec);
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
  keys: Pick<KeyPair, 'spki' | 'isRsa'>,
  spec: LeafSpec,
): { readonly subject: DerNode; readonly extensions: readonly DerNode[] } {
  const first = spec.commonName ?? commonNameOf(names);
  // A common name cut in the middle would be the name of another host; clients read the SAN alone.
  const commonName = first.length > 64 ? null : first;
  return {
    subject: distinguishedName(commonName),
    extensions: [
      basicConstraints(false),
      keyUsage(keys.isRsa ? ['digitalSignature', 'keyEncipherment'] : ['digitalSignature']),
      extendedKeyUsage(spec.usages ?? ['serverAuth']),
      ...(names.length === 0 ? [] : [subjectAltName(names, commonName === null)]),
      subjectKeyIdentifier(keyIdentifierOf(keys.spki)),
    ],
  };
}

/** An address would be taken for a DNS name (see namesInCommonName), so it stands among words there. */
function commonNameOf(names: readonly CertificateName[]): string {
  const named = names.find(({ kind }) => kind === 'dns');
  return named?.value ?? `server at ${names[0]?.value ?? ''}`;
}

/** A certificate for clients alone may carry a common name and nothing else. */
function leafNames(spec: LeafSpec): readonly CertificateName[] {
  const { commonName } = spec;
  if (commonName === undefined) return parseCertificateNames(spec.names);
  if (commonName.trim() === '' || commonName.length > 64 || /[\u0000-\u001f\u007f-\u009f]/.test(commonName)) {
    throw new UserError('The name of a client consists of 1 to 64 printable characters', {
      next: 'Give a short one, for example: "alice laptop"',
    });
  }
  const clientsOnly = spec.usages?.length === 1 && spec.usages[0] === 'clientAuth';
  return spec.names.length === 0 && clientsOnly ? [] : parseCertificateNames(spec.names);
}

/**
 * OpenSSL takes a common name of two or more labels for a DNS name, also `127.0.0.1` and `a_b.c`, and holds it against the
 * constraints of the CA (x509v3/v3_ncons.c, cn2dnsid).
 */
function namesInCommonName(commonName: string | undefined): readonly CertificateName[] {
  return commonName !== undefined && /^\w(?:[\w-]*\w)?(?:\.\w(?:[\w-]*\w)?)+$/.test(commonName)
    ? [{ kind: 'dns', value: commonName.toLowerCase() }]
    : [];
}

function refuseNamesOutside(ca: ParsedCertificate, names: readonly CertificateName[]): void {
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
