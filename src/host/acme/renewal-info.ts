import { bytesOf, childrenOf, isTagged } from '../../pki/der.ts';
import { oids } from '../../pki/oids.ts';
import { parseCertificates, readFields } from '../../pki/parse-certificates.ts';
import type { AcmeResponse } from './acme-transport.ts';

/** When the CA wants a certificate to be renewed (RFC 9773, 4.2). */
export interface RenewalWindow {
  readonly start: Date;
  readonly end: Date;
  /** Page of the CA that tells why, when the window was moved. */
  readonly explanation: string | null;
}

/** Name of a certificate in renewal information (RFC 9773, 4.1): key identifier of its CA and its serial; null without the first. */
export function renewalIdOf(certificatePem: string): string | null {
  const [leaf] = parseCertificates(certificatePem);
  const authority = readFields(leaf).extension(oids.authorityKeyIdentifier);
  const keyId = bytesOf(childrenOf(authority).find((part) => isTagged(part, 0)));
  if (keyId.length === 0) return null;
  const hex = leaf.x509.serialNumber;
  const digits = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  // The content octets of a DER INTEGER: a zero keeps the top bit from meaning a negative number.
  const serial = (digits[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), digits]) : digits;
  return `${keyId.toString('base64url')}.${serial.toString('base64url')}`;
}

/** The window that the CA suggests, or null: the directory offers none, does not know the certificate, or does not answer. */
export async function readRenewalWindow(
  certificatePem: string,
  directoryUrl: string,
  get: (url: string) => Promise<AcmeResponse>,
): Promise<RenewalWindow | null> {
  const id = renewalIdOf(certificatePem);
  if (id === null) return null;
  try {
    const directory = (await get(directoryUrl)).data as { renewalInfo?: unknown };
    if (typeof directory.renewalInfo !== 'string') return null;
    return parseWindow((await get(`${directory.renewalInfo.replace(/\/$/, '')}/${id}`)).data);
  } catch {
    // Renewal goes by the lifetime then; that the CA is away must not keep a certificate from being looked after.
    return null;
  }
}

function parseWindow(body: unknown): RenewalWindow | null {
  const { suggestedWindow, explanationURL } = (body ?? {}) as {
    suggestedWindow?: { start?: unknown; end?: unknown };
    explanationURL?: unknown;
  };
  const start = new Date(String(suggestedWindow?.start));
  const end = new Date(String(suggestedWindow?.end));
  if (Number.isNaN(start.getTime()) || Number.isNaN(end.getTime()) || end < start) return null;
  return { start, end, explanation: typeof explanationURL === 'string' ? explanationURL.slice(0, 500) : null };
}
