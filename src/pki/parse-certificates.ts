import { X509Certificate } from 'node:crypto';
import { UserError } from '../deployment/errors.ts';
import { bytesOf, childrenOf, decodeDer, encodeDer, isTagged, isUniversal, oidOf, type DerNode } from './der.ts';
import { formatIpAddress } from './ip-address.ts';
import { parseNameConstraints, type NameConstraints } from './name-constraints.ts';
import { oids } from './oids.ts';
import { printable } from './printable-text.ts';
import { isUtf16, judgeDerKind, pemKinds } from './recognise-content.ts';

/** More than any chain or system bundle needs, little enough to read in a moment. */
const maxInputBytes = 1_048_576;

/** A certificate as read: what node:crypto verifies with, and the fields it does not hand out. */
export interface ParsedCertificate {
  readonly x509: X509Certificate;
  readonly subject: string;
  readonly issuer: string;
  /** DNS names and addresses of the SAN. Never the common name: no client looks there any more. */
  readonly names: readonly string[];
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** Subject and issuer are the same name: a root, or a self-signed certificate. */
  readonly selfIssued: boolean;
}

export interface CertificateFields {
  readonly subject: DerNode;
  readonly issuer: DerNode;
  /** OID of the algorithm it is signed with. */
  readonly signatureOid: string;
  /** Value of an extension, or null when there is none. @throws UserError when it is not regular DER. */
  readonly extension: (oid: string) => DerNode | null;
  readonly nameConstraints: NameConstraints | null;
}

/**
 * Every certificate in PEM text (other blocks beside them are passed over) or the one in DER, in the order of the file.
 * @throws UserError when there is none, saying what the content is instead; `what` names it in the message.
 */
export function parseCertificates(
  input: string | Buffer,
  what = 'The file',
): readonly [ParsedCertificate, ...ParsedCertificate[]] {
  const bytes = typeof input === 'string' ? Buffer.from(input, 'utf8') : input;
  if (bytes.length > maxInputBytes) {
    throw new UserError(`${what} is too large to be a certificate`, {
      why: `It has ${bytes.length} bytes; a chain of certificates has a few thousand.`,
    });
  }
  const [first, ...others] = certificateBlocks(bytes, what).map((block, index) => parseOne(block, index + 1, what));
  if (first === undefined) throw new Error('unreachable: certificateBlocks never gives an empty list');
  return [first, ...others];
}

/** The fields of a certificate that node:crypto does not hand out. @throws UserError when its DER is not regular. */
export function readFields(certificate: Pick<ParsedCertificate, 'x509'>): CertificateFields {
  try {
    return fieldsOf(certificate.x509.raw);
  } catch (cause) {
    throw damaged(cause);
  }
}

/**
 * The first PEM block with one of the labels, or the whole input when it is DER.
 * @throws UserError that says what the input is instead; `kind` is what it should be ("a revocation list").
 */
export function decodeBlock(bytes: Buffer, labels: readonly string[], what: string, kind: string): Buffer {
  if (bytes.length > 16 * maxInputBytes) {
    throw new UserError(`${what} is too large to be ${kind}`, { why: `It has ${bytes.length} bytes.` });
  }
  const text = bytes.toString('latin1');
  if (!text.includes('-----BEGIN ')) {
    if (bytes[0] === 0x30) return bytes;
    throw new UserError(`${what} is ${bytes.length === 0 ? 'empty' : 'neither PEM nor DER'}`, {
      next: `Give ${kind} in PEM (-----BEGIN ${labels[0]}-----) or DER.`,
    });
  }
  const blocks = pemBlocks(text, what);
  const found = blocks.find((block) => labels.includes(block.label));
  if (found !== undefined) return Buffer.from(found.base64, 'base64');
  const kinds = [...new Set(blocks.map((block) => pemKinds[block.label] ?? `a PEM block of type ${block.label}`))];
  throw new UserError(`${what} holds ${kinds.join(' and ')}, not ${kind}`, {
    next: `Give ${kind} in PEM (-----BEGIN ${labels[0]}-----) or DER.`,
  });
}

function certificateBlocks(bytes: Buffer, what: string): readonly Buffer[] {
  if (bytes.length === 0) throw notACertificate(what, 'is empty');
  if (isUtf16(bytes)) throw notACertificate(what, 'is text in UTF-16', 'Save it as plain ASCII or UTF-8.');
  // Text first: a PEM file may begin with any comment, a DER file never contains this line.
  const text = bytes.toString('latin1');
  if (!text.includes('-----BEGIN ')) return [derCertificate(bytes, what)];
  const blocks = pemBlocks(text, what);
  const certificates = blocks.filter((block) => pemKinds[block.label] === 'certificate');
  if (certificates.length > 0) return certificates.map((block) => Buffer.from(block.base64, 'base64'));
  const kinds = [...new Set(blocks.map((block) => pemKinds[block.label] ?? `a PEM block of type ${block.label}`))];
  throw notACertificate(what, `holds ${kinds.join(' and ')}, not a certificate`);
}

/** Walks once through the text, so that many openings without an end cost no more than one. */
function pemBlocks(text: string, what: string): readonly { readonly label: string; readonly base64: string }[] {
  const blocks: { label: string; base64: string }[] = [];
  for (let from = text.indexOf('-----BEGIN '); from !== -1; from = text.indexOf('-----BEGIN ', from)) {
    const labelEnd = text.indexOf('-----', from + 11);
    const label = text.slice(from + 11, labelEnd === -1 ? from + 11 : labelEnd);
    const end = labelEnd === -1 || label.length > 64 ? -1 : text.indexOf(`-----END ${label}-----`, labelEnd);
    if (!/^[A-Z0-9 #-]+$/.test(label) || end === -1) {
      throw notACertificate(what, 'is damaged: a PEM block has no proper beginning and end', 'Copy it again, whole.');
    }
    const base64 = text.slice(labelEnd + 5, end);
    if (pemKinds[label] === 'certificate' && !/^[A-Za-z0-9+/=\s]+$/.test(base64)) {
      throw notACertificate(
        what,
        'is damaged: a certificate block holds something other than base64',
        'Copy it again, whole.',
      );
    }
    blocks.push({ label, base64 });
    from = end;
  }
  return blocks;
}

function derCertificate(bytes: Buffer, what: string): Buffer {
  const kind = judgeDerKind(bytes);
  if (kind === 'certificate') return bytes;
  throw notACertificate(what, kind === null ? 'is neither PEM nor DER' : `holds ${kind}, not a certificate`);
}

function parseOne(block: Buffer, position: number, what: string): ParsedCertificate {
  try {
    const x509 = new X509Certificate(block);
    const fields = fieldsOf(x509.raw);
    const notBefore = new Date(x509.validFrom);
    const notAfter = new Date(x509.validTo);
    if (Number.isNaN(notBefore.getTime()) || Number.isNaN(notAfter.getTime())) throw new Error('unreadable validity');
    return {
      x509,
      subject: nameText(x509.subject),
      issuer: nameText(x509.issuer),
      names: namesIn(fields.extension(oids.subjectAltName)),
      notBefore,
      notAfter,
      selfIssued: encodeDer(fields.subject).equals(encodeDer(fields.issuer)),
    };
  } catch (cause) {
    throw new UserError(`${what} is damaged: certificate ${position} in it cannot be read`, {
      why: 'Its content is cut off or changed.',
      next: 'Copy it again from where it was issued.',
      cause,
    });
  }
}

function fieldsOf(raw: Buffer): CertificateFields {
  const [toBeSigned, algorithm] = childrenOf(decodeDer(raw));
  const all = childrenOf(toBeSigned);
  // The version is absent from version 1 certificates.
  const [, , issuer, , subject, , ...optional] = isTagged(all[0], 0) ? all.slice(1) : all;
  if (issuer === undefined || subject === undefined) throw new Error('no issuer or subject');
  const extensions = new Map<string, Buffer>();
  for (const node of childrenOf(childrenOf(optional.find((part) => isTagged(part, 3)))[0])) {
    const parts = childrenOf(node);
    const oid = oidOf(parts[0]);
    const value = parts.at(-1);
    if (oid !== null && isUniversal(value, 4)) extensions.set(oid, bytesOf(value));
  }
  const constraints = decodeExtension(extensions.get(oids.nameConstraints));
  return {
    subject,
    issuer,
    signatureOid: oidOf(childrenOf(algorithm)[0]) ?? '',
    extension: (oid) => decodeExtension(extensions.get(oid)),
    nameConstraints: constraints === null ? null : parseNameConstraints(constraints),
  };
}

function decodeExtension(value: Buffer | undefined): DerNode | null {
  if (value === undefined) return null;
  try {
    return decodeDer(value);
  } catch (cause) {
    throw damaged(cause);
  }
}

function damaged(cause: unknown): UserError {
  return new UserError('The certificate is damaged', { why: 'Its inner structure is not regular DER.', cause });
}

/** DNS names and addresses in the value of a subjectAltName. */
export function namesIn(subjectAltName: DerNode | null): readonly string[] {
  if (subjectAltName === null) return [];
  return childrenOf(subjectAltName).flatMap((name) => {
    if (isTagged(name, 7)) return formatIpAddress(bytesOf(name)) ?? [];
    if (!isTagged(name, 2)) return [];
    const text = printable(bytesOf(name).toString('latin1'));
    // An address written as a DNS name is accepted by no client: it must not read like one that is.
    return /^[\d.]+$|:/.test(text) ? `DNS:${text}` : text.toLowerCase();
  });
}

/** node:crypto gives one attribute a line. */
function nameText(lines: string | undefined): string {
  return printable((lines ?? '').split('\n').join(', '));
}

function notACertificate(what: string, isWhat: string, next?: string): UserError {
  return new UserError(`${what} ${isWhat}`, {
    next: next ?? 'Give a certificate in PEM (-----BEGIN CERTIFICATE-----) or DER.',
  });
}
