import { createHash } from 'node:crypto';
import { bytesOf, childrenOf, decodeDer, der, encodeDer, type DerNode } from './der.ts';
import { parseIpAddress } from './ip-address.ts';
import type { CertificateName } from './names.ts';
import { oids } from './oids.ts';

/** Purposes a leaf certificate may be issued for. */
export type CertificateUsage = 'serverAuth' | 'clientAuth';

/** Bits of the keyUsage extension, by their number in RFC 5280, 4.2.1.3. */
const keyUsageBits = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const;
export type KeyUsage = keyof typeof keyUsageBits;

/** basicConstraints, critical (RFC 5280, 4.2.1.9). A CA here never has another CA under it unless `pathLength` says so. */
export function basicConstraints(ca: false | { readonly pathLength: number }): DerNode {
  return extension(
    oids.basicConstraints,
    true,
    ca === false ? der.sequence() : der.sequence(der.boolean(true), der.wholeNumber(ca.pathLength)),
  );
}

/** keyUsage, critical. */
export function keyUsage(usages: readonly KeyUsage[]): DerNode {
  const bits = usages.map((usage) => keyUsageBits[usage]);
  // All bits used here are in the first octet; DER wants trailing zero bits counted as unused.
  const octet = bits.reduce<number>((sum, bit) => sum + (0x80 >> bit), 0);
  return extension(oids.keyUsage, true, der.bitString(Buffer.of(octet), 7 - Math.max(...bits)));
}

/** extKeyUsage. */
export function extendedKeyUsage(usages: readonly CertificateUsage[]): DerNode {
  return extension(oids.extKeyUsage, false, der.sequence(...usages.map((usage) => der.oid(oids[usage]))));
}

/** subjectAltName; critical when the subject is empty, as RFC 5280, 4.2.1.6 wants. */
export function subjectAltName(names: readonly CertificateName[], critical: boolean): DerNode {
  return extension(oids.subjectAltName, critical, der.sequence(...names.map(generalName)));
}

/** subjectKeyIdentifier. */
export function subjectKeyIdentifier(keyId: Buffer): DerNode {
  return extension(oids.subjectKeyIdentifier, false, der.octetString(keyId));
}

/** authorityKeyIdentifier by key identifier alone, so that a renewed CA with the same key still fits. */
export function authorityKeyIdentifier(keyId: Buffer): DerNode {
  return extension(oids.authorityKeyIdentifier, false, der.sequence(der.tagged(0, keyId)));
}

/** Key identifier of a public key: the first 160 bits of its SHA-256 (RFC 7093, method 1). */
export function keyIdentifierOf(spki: Buffer): Buffer {
  const bitString = bytesOf(childrenOf(decodeDer(spki))[1]);
  return createHash('sha256').update(bitString.subarray(1)).digest().subarray(0, 20);
}

/** GeneralName of a DNS name or an address (RFC 5280, 4.2.1.6). */
function generalName(name: CertificateName): DerNode {
  return name.kind === 'dns'
    ? der.tagged(2, Buffer.from(name.value, 'ascii'))
    : der.tagged(7, parseIpAddress(name.value) ?? Buffer.alloc(0));
}

/** One Extension with its value wrapped in an OCTET STRING. */
export function extension(oid: string, critical: boolean, value: DerNode): DerNode {
  return der.sequence(der.oid(oid), ...(critical ? [der.boolean(true)] : []), der.octetString(encodeDer(value)));
}
