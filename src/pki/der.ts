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
  /** Any whole number from 0 on. */
  wholeNumber: (value: number): DerNode => {
    const hex = value.toString(16);
    const octets = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
    return der.integer((octets[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), octets]) : octets);
  },
  enumerated: (value: number): DerNode => asn1.create(universal, 10, false, String.fromCharCode(value)),
  bmp: (text: string): DerNode =>
    asn1.create(universal, 30, false, Buffer.from(text, 'utf16le').swap16().toString('latin1')),
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

/** Content of an OCTET STRING, also of one in pieces (BER, as Windows writes PKCS#12). @throws when it is none. */
export function octetsOf(node: DerNode | undefined): Buffer {
  if (node === undefined) throw new Error('an octet string is missing');
  return node.constructed ? Buffer.concat(childrenOf(node).map(bytesOf)) : bytesOf(node);
}

/** A whole number of up to six octets from an INTEGER. @throws on anything else. */
export function wholeNumberOf(node: DerNode | undefined): number {
  const octets = bytesOf(node);
  if (!isUniversal(node, 2) || octets.length === 0 || octets.length > 6 || (octets[0] ?? 0) >= 0x80) {
    throw new Error('not a whole number of a usual size');
  }
  return octets.readUIntBE(0, octets.length);
}

/** The moment in a UTCTime or GeneralizedTime in UTC (RFC 5280, 4.1.2.5). @throws on anything else. */
export function timeOf(node: DerNode | undefined): Date {
  const text = bytesOf(node).toString('latin1');
  const parts = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (parts === null) throw new Error('not a time');
  const [, year = '', ...rest] = parts;
  const century = year.length === 4 ? '' : Number(year) < 50 ? '20' : '19';
  const [month, day, hour, minute, second] = rest;
  const date = new Date(`${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(date.getTime())) throw new Error('not a time');
  return date;
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
