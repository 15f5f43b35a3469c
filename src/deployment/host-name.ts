import { isIP } from 'node:net';

/** Whether a text is a DNS name as certificates and proxies take it: ASCII labels, at most 253 characters, not a number. */
export function isDnsName(text: string): boolean {
  if (text.length === 0 || text.length > 253) return false;
  const labels = text.split('.');
  return labels.every((label) => dnsLabel.test(label)) && !/^[0-9]+$/.test(labels.at(-1) ?? '');
}

/** Whether a text can be a name of a certificate: a DNS name, `*.` and a DNS name of two labels or more, or an IP address. */
export function isCertificateName(text: string): boolean {
  if (isIP(text) !== 0) return !text.includes('%');
  if (text.startsWith('*.')) return isDnsName(text.slice(2)) && text.slice(2).includes('.');
  return isDnsName(text);
}

/** One spelling per name, so that two spellings of the same name compare equal: lower case, IPv6 compressed (RFC 5952). */
export function canonicalName(name: string): string {
  if (isIP(name) !== 6 || name.includes('%')) return name.toLowerCase();
  return new URL(`http://[${name}]/`).hostname.slice(1, -1);
}

const dnsLabel = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
