import asn1, { type Asn1Node } from 'node-forge/lib/asn1.js';

/** One ASN.1 value, ready to be encoded. */
export type DerNode = Asn1Node;

const universal = 0x00;
const contextSpecific = 0x80;

/** Builders for the ASN.1 types that certificates are made of. */
export const der = {
  sequence: (...children: DerNode[]): DerNode => asn1.create(universal, 16, true, children),
  set: (...children: DerNode[]): DerNode => asn1.create(universal, 17, true, children),
  boolean: (value: boolean): DerNode => asn1.create(universal, 1, false, value ? '\u00ff' : '\u0000'),
  /** Content octets are taken as they are: minimal and with a clear top bit for a positive number. */
  integer: (content: Buffer): DerNode => asn1.create(universal, 2, false, content.toString('latin1')),
  smallInteger: (value: number): DerNode => der.integer(Buffer.of(value)),
  bitString: (content: Buffer, unusedBits = 0): DerNode =>
    asn1.create(universal, 3, false, String.fromCharCode(unusedBits) + content.toString('latin1')),
  octetString: (content: Buffer): DerNode => asn1.create(universal, 4, false, content.toString('latin1')),
  none: (): DerNode => asn1.create(universal, 5, false, ''),
  oid: (oid: string): DerNode => asn1.create(universal, 6, false, asn1.oidToDer(oid).getBytes()),
  utf8: (text: string): DerNode => asn1.create(universal, 12, false, Buffer.from(text, 'utf8').toString('latin1')),
  /** UTCTime until the end of 2049, GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5). */
  time: (date: Date): DerNode =>
    date.getUTCFullYear() < 2050
      ? asn1.create(universal, 23, false, asn1.dateToUtcTime(date))
      : asn1.create(universal, 24, false, asn1.dateToGeneralizedTime(date)),
  /** `[tag] IMPLICIT` of a primitive type. */
  tagged: (tag: number, content: Buffer): DerNode =>
    asn1.create(contextSpecific, tag, false, content.toString('latin1')),
  /** `[tag] EXPLICIT`, or IMPLICIT of a constructed type. */
  wrapped: (tag: number, ...children: DerNode[]): DerNode => asn1.create(contextSpecific, tag, true, children),
};

/** DER bytes of a node. */
export function encodeDer(node: DerNode): Buffer {
  return Buffer.from(asn1.toDer(node).getBytes(), 'latin1');
}

/**
 * A node from DER bytes; bit strings stay bytes. Throws on anything that is not one complete DER value, and beyond 64
 * levels: a certificate has fewer than 20.
 */
export function decodeDer(bytes: Buffer): DerNode {
  return asn1.fromDer(bytes.toString('latin1'), {
    strict: true,
    parseAllBytes: true,
    decodeBitStrings: false,
    maxDepth: 64,
  });
}

/** Children of a constructed node; none for a primitive one. */
export function childrenOf(node: DerNode | null | undefined): readonly DerNode[] {
  return Array.isArray(node?.value) ? node.value : [];
}

/** Content octets of a primitive node; empty for a constructed one. */
export function bytesOf(node: DerNode | null | undefined): Buffer {
  return typeof node?.value === 'string' ? Buffer.from(node.value, 'latin1') : Buffer.alloc(0);
}

/** Dotted text of an OBJECT IDENTIFIER, or null for any other node. */
export function oidOf(node: DerNode | undefined): string | null {
  if (node === undefined || node.tagClass !== universal || node.type !== 6 || typeof node.value !== 'string') {
    return null;
  }
  return node.value === '' ? null : asn1.derToOid(node.value);
}

/** Whether the node is `[tag]` of the context-specific class. */
export function isTagged(node: DerNode | undefined, tag: number): boolean {
  return node !== undefined && node.tagClass === contextSpecific && node.type === tag;
}

/** Whether the node is of this universal type. */
export function isUniversal(node: DerNode | undefined, type: number): boolean {
  return node !== undefined && node.tagClass === universal && node.type === type;
}

/** PEM text of DER bytes (RFC 7468). */
export function encodePem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
