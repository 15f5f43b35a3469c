import type { X509Certificate } from 'node:crypto';
import { usageNames } from './oids.ts';
import { formatIpAddress } from './ip-address.ts';
import { parseCertificates, readFields, type ParsedCertificate } from './parse-certificates.ts';
import { printable } from './printable-text.ts';

/** A certificate in plain words and JSON-safe; text from the certificate has no control characters. */
export interface CertificateDescription {
  readonly subject: string;
  readonly issuer: string;
  /** DNS names and IP addresses of the SAN, without type prefix. */
  readonly names: readonly string[];
  /** ISO 8601, UTC. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** Whole days until notAfter; negative once it has expired. */
  readonly daysLeft: number;
  readonly serial: string;
  /** SHA-256 of the DER, upper-case hex with colons. */
  readonly fingerprint256: string;
  /** For example "EC P-256" or "RSA 2048". */
  readonly keyType: string;
  readonly isCa: boolean;
  /** What the name constraints of a CA let it sign for, ranges as ADDRESS/MASK; null when it is not constrained. */
  readonly permittedNames: readonly string[] | null;
  /** Subject and issuer are the same name. */
  readonly selfIssued: boolean;
  /** How many certificates the input held. */
  readonly chainLength: number;
  /** serverAuth, clientAuth …; empty when the certificate does not say, which means any. */
  readonly usages: readonly string[];
}

/** The first certificate of PEM text, or the one in DER. @throws UserError when there is none, saying what it is instead. */
export function describeCertificate(pemOrDer: string | Buffer, now: Date = new Date()): CertificateDescription {
  const chain = parseCertificates(pemOrDer);
  return describe(chain[0], chain.length, now);
}

/** Every certificate of the input, in its order. @throws UserError when there is none, saying what it is instead. */
export function describeChain(pemOrDer: string | Buffer, now: Date = new Date()): CertificateDescription[] {
  const chain = parseCertificates(pemOrDer);
  return chain.map((certificate) => describe(certificate, chain.length, now));
}

/** Algorithm and size of a certificate's key: "EC P-256", "RSA 2048", "Ed25519"; "unknown" when it cannot be read. */
export function describeKeyType(x509: X509Certificate): string {
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = x509.publicKey;
    if (type === 'ec') return `EC ${curveNames[details?.namedCurve ?? ''] ?? details?.namedCurve ?? 'unknown'}`;
    if (type === 'rsa') return `RSA ${details?.modulusLength ?? 'unknown'}`;
    if (type === 'rsa-pss') return `RSA-PSS ${details?.modulusLength ?? 'unknown'}`;
    if (type === undefined) return 'unknown';
    return type.charAt(0).toUpperCase() + type.slice(1);
  } catch {
    // node:crypto throws on curves and algorithms that its OpenSSL does not have
    return 'unknown';
  }
}

const curveNames: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' };

function describe(certificate: ParsedCertificate, chainLength: number, now: Date): CertificateDescription {
  const { x509 } = certificate;
  return {
    subject: certificate.subject,
    issuer: certificate.issuer,
    names: certificate.names,
    notBefore: certificate.notBefore.toISOString(),
    notAfter: certificate.notAfter.toISOString(),
    daysLeft: Math.floor((certificate.notAfter.getTime() - now.getTime()) / 86_400_000),
    serial: x509.serialNumber,
    fingerprint256: x509.fingerprint256,
    keyType: describeKeyType(x509),
    isCa: x509.ca,
    permittedNames: permittedNamesOf(certificate),
    selfIssued: certificate.selfIssued,
    chainLength,
    usages: usagesOf(x509),
  };
}

/** Extended key usages in words. node:crypto calls them keyUsage; absent means unrestricted. */
export function usagesOf(x509: X509Certificate): readonly string[] {
  const listed = (x509.keyUsage as readonly string[] | undefined) ?? [];
  return listed.map((oid) => usageNames[oid] ?? oid);
}

function permittedNamesOf(certificate: ParsedCertificate): readonly string[] | null {
  const constraints = readFields(certificate).nameConstraints;
  if (constraints === null) return null;
  const addresses = constraints.permittedIp.flatMap((range) => {
    const half = range.length / 2;
    const [address, mask] = [formatIpAddress(range.subarray(0, half)), range.subarray(half)];
    if (address === null) return [];
    return mask.every((octet) => octet === 0xff) ? address : `${address}/${formatIpAddress(mask)}`;
  });
  return [...constraints.permittedDns.map(printable), ...addresses];
}
