import { randomBytes } from 'node:crypto';
import { UserError } from '../deployment/errors.ts';
import { decodeDer, der, encodeDer, encodePem, type DerNode } from './der.ts';
import type { Signer } from './key-pair.ts';
import { oids } from './oids.ts';

const dayMs = 86_400_000;
/**
 * Clocks differ: a certificate made this moment must already be valid on a machine whose clock is behind. The same hour
 * at the end lets a fresh certificate have all its days left; both together stay far from the next whole day.
 */
const toleranceMs = 3_600_000;

/** What a certificate says; times are cut to whole seconds. */
export interface CertificateContent {
  readonly issuer: DerNode;
  readonly subject: DerNode;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** DER of the SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly extensions: readonly DerNode[];
}

/** A signed X.509 v3 certificate with a fresh serial number, as PEM (RFC 5280, 4.1). */
export async function signCertificate(content: CertificateContent, signer: Signer): Promise<string> {
  const toBeSigned = der.sequence(
    der.wrapped(0, der.smallInteger(2)),
    der.integer(randomSerial()),
    signer.algorithmIdentifier,
    content.issuer,
    der.sequence(der.time(content.notBefore), der.time(content.notAfter)),
    content.subject,
    decodeDer(content.spki),
    der.wrapped(3, der.sequence(...content.extensions)),
  );
  const signature = await signer.sign(encodeDer(toBeSigned));
  return encodePem(
    'CERTIFICATE',
    encodeDer(der.sequence(toBeSigned, signer.algorithmIdentifier, der.bitString(signature))),
  );
}

/** A distinguished name of one common name, cut to the 64 characters that X.520 allows; null gives the empty name. */
export function distinguishedName(commonName: string | null): DerNode {
  if (commonName === null) return der.sequence();
  const text = /^.{0,64}/su.exec(commonName)?.[0] ?? '';
  return der.sequence(der.set(der.sequence(der.oid(oids.commonName), der.utf8(text))));
}

/** From an hour ago until an hour after this many days. @throws UserError unless validDays is whole and within 1 to maxDays. */
export function validityFor(
  validDays: number,
  maxDays: number,
  why: string,
  now: Date,
): { notBefore: Date; notAfter: Date } {
  if (!Number.isInteger(validDays) || validDays < 1 || validDays > maxDays) {
    throw new UserError(`A certificate cannot be valid for ${validDays} days`, {
      why,
      next: `Give a whole number of days from 1 to ${maxDays}.`,
    });
  }
  return {
    notBefore: new Date(now.getTime() - toleranceMs),
    notAfter: new Date(now.getTime() + validDays * dayMs + toleranceMs),
  };
}

/** 128 random bits behind a fixed octet: positive, never zero, 17 of the 20 octets RFC 5280, 4.1.2.2 allows. */
function randomSerial(): Buffer {
  return Buffer.concat([Buffer.of(0x01), randomBytes(16)]);
}
