import { verify } from 'node:crypto';
import { UserError } from '../deployment/errors.ts';
import {
  bytesOf,
  childrenOf,
  decodeDer,
  der,
  encodeDer,
  encodePem,
  isTagged,
  isUniversal,
  octetsOf,
  oidOf,
  timeOf,
  wholeNumberOf,
} from './der.ts';
import { authorityKeyIdentifier, extension } from './extensions.ts';
import { signerFor } from './key-pair.ts';
import { oids } from './oids.ts';
import { decodeBlock, readFields, type ParsedCertificate } from './parse-certificates.ts';
import { digestOf } from './parse-request.ts';
import { readSigningCa, type SigningCa } from './signing-ca.ts';

/** Why a certificate is revoked (RFC 5280, 5.3.1), by the number that stands in the list. */
export const revocationReasons = {
  unspecified: 0,
  'key-compromise': 1,
  'affiliation-changed': 3,
  superseded: 4,
  'cessation-of-operation': 5,
} as const;
export type RevocationReason = keyof typeof revocationReasons;

/** One revoked certificate. */
export interface RevokedCertificate {
  /** Upper-case hex without leading zeros' octet, as node:crypto writes serial numbers. */
  readonly serial: string;
  readonly revokedAt: Date;
  readonly reason: RevocationReason;
}

/** A revocation list as read; whether it is genuine is said by isSignedBy. */
export interface RevocationList {
  readonly thisUpdate: Date;
  /** When its CA promises a newer one; null when it does not. */
  readonly nextUpdate: Date | null;
  readonly number: number;
  readonly revoked: readonly RevokedCertificate[];
  /** By serial number. */
  readonly bySerial: ReadonlyMap<string, RevokedCertificate>;
  readonly issuerDer: Buffer;
  readonly toBeSigned: Buffer;
  readonly signature: Buffer;
  readonly digest: string | null;
}

/**
 * The list of what a CA has revoked (CRL version 2, RFC 5280, 5), as PEM.
 * @throws UserError for a CA that cannot sign, or a validity of other than 1 to 3,650 days.
 */
export async function issueRevocationList(spec: {
  readonly ca: SigningCa;
  readonly revoked: readonly RevokedCertificate[];
  /** Higher than that of the list before. */
  readonly number: number;
  readonly validDays: number;
  readonly now?: Date;
}): Promise<string> {
  if (!Number.isInteger(spec.validDays) || spec.validDays < 1 || spec.validDays > 3_650) {
    throw new UserError(`A revocation list cannot be valid for ${spec.validDays} days`, {
      next: 'Give a whole number of days from 1 to 3650.',
    });
  }
  const now = spec.now ?? new Date();
  const { certificate, key } = readSigningCa(spec.ca, now);
  const fields = readFields(certificate);
  const signer = signerFor(key);
  const keyId = fields.extension(oids.subjectKeyIdentifier);
  const toBeSigned = der.sequence(
    der.smallInteger(1),
    signer.algorithmIdentifier,
    fields.subject,
    // An hour back, as certificates: a server whose clock is behind must not find a list from the future.
    der.time(new Date(now.getTime() - 3_600_000)),
    der.time(new Date(now.getTime() + spec.validDays * 86_400_000)),
    // An empty list is left out (RFC 5280, 5.1.2.6).
    ...(spec.revoked.length === 0 ? [] : [der.sequence(...spec.revoked.map(revokedEntry))]),
    der.wrapped(
      0,
      der.sequence(
        ...(keyId === null ? [] : [authorityKeyIdentifier(bytesOf(keyId))]),
        extension(oids.crlNumber, false, der.wholeNumber(spec.number)),
      ),
    ),
  );
  const signature = await signer.sign(encodeDer(toBeSigned));
  return encodePem(
    'X509 CRL',
    encodeDer(der.sequence(toBeSigned, signer.algorithmIdentifier, der.bitString(signature))),
  );
}

/** A revocation list from PEM or DER. @throws UserError that says what the input is instead. */
export function parseRevocationList(input: Buffer, what = 'The revocation list'): RevocationList {
  const bytes = decodeBlock(input, ['X509 CRL'], what, 'a revocation list');
  try {
    const [toBeSigned, algorithm, signature] = childrenOf(decodeDer(bytes));
    const all = childrenOf(toBeSigned);
    const parts = isUniversal(all[0], 2) ? all.slice(1) : all;
    const [, issuer, thisUpdate, ...optional] = parts;
    if (toBeSigned === undefined || issuer === undefined) throw new Error('no issuer');
    const isTime = (node: (typeof optional)[number] | undefined): boolean =>
      isUniversal(node, 23) || isUniversal(node, 24);
    const extensions = optional.find((node) => isTagged(node, 0));
    const revoked = childrenOf(optional.find((node) => isUniversal(node, 16))).map((entry) => {
      const [serial, revokedAt, entryExtensions] = childrenOf(entry);
      const reason = extensionIn(entryExtensions, oids.crlReason);
      const code = reason === null ? 0 : (bytesOf(reason)[0] ?? 0);
      return {
        serial: serialText(bytesOf(serial)),
        revokedAt: timeOf(revokedAt),
        reason: reasonOf(code),
      };
    });
    const number = extensionIn(childrenOf(extensions)[0], oids.crlNumber);
    return {
      thisUpdate: timeOf(thisUpdate),
      nextUpdate: isTime(optional[0]) ? timeOf(optional[0]) : null,
      number: number === null ? 0 : wholeNumberOf(number),
      revoked,
      bySerial: new Map(revoked.map((entry) => [entry.serial, entry])),
      issuerDer: encodeDer(issuer),
      toBeSigned: encodeDer(toBeSigned),
      signature: bytesOf(signature).subarray(1),
      digest: digestOf(oidOf(childrenOf(algorithm)[0])),
    };
  } catch (cause) {
    throw new UserError(`${what} is damaged`, {
      why: 'Its content cannot be read.',
      next: 'Make it anew with: mcp-deploy cert crl',
      cause,
    });
  }
}

/** Whether the list comes from this CA: same name, and signed with its key. */
export function isSignedBy(list: RevocationList, ca: Pick<ParsedCertificate, 'x509'>): boolean {
  try {
    if (!encodeDer(readFields(ca).subject).equals(list.issuerDer)) return false;
    return verify(list.digest, list.toBeSigned, ca.x509.publicKey, list.signature);
  } catch {
    // node:crypto throws on keys that its OpenSSL cannot use; such a list is proven by nothing
    return false;
  }
}

/** Octets of an INTEGER as node:crypto writes serial numbers: upper-case hex, without a leading zero octet. */
function serialText(octets: Buffer): string {
  const hex = octets.toString('hex').toUpperCase();
  return hex.replace(/^(?:00)+(?=..)/, '');
}

function revokedEntry(entry: RevokedCertificate) {
  const octets = Buffer.from(entry.serial.length % 2 === 0 ? entry.serial : `0${entry.serial}`, 'hex');
  const reason = revocationReasons[entry.reason];
  return der.sequence(
    der.integer((octets[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), octets]) : octets),
    der.time(entry.revokedAt),
    // unspecified is said by saying nothing (RFC 5280, 5.3.1)
    ...(reason === 0 ? [] : [der.sequence(extension(oids.crlReason, false, der.enumerated(reason)))]),
  );
}

function reasonOf(code: number): RevocationReason {
  const found = Object.entries(revocationReasons).find(([, value]) => value === code);
  return (found?.[0] ?? 'unspecified') as RevocationReason;
}

function extensionIn(list: ReturnType<typeof decodeDer> | undefined, oid: string): ReturnType<typeof decodeDer> | null {
  const found = childrenOf(list).find((node) => oidOf(childrenOf(node)[0]) === oid);
  return found === undefined ? null : decodeDer(octetsOf(childrenOf(found).at(-1)));
}
