import { domainToASCII } from 'node:url';
import { UserError } from '../deployment/errors.ts';
import { formatIpAddress, parseIpAddress } from './ip-address.ts';

/** A name a certificate can carry: a DNS name (lower-case A-labels, perhaps `*.` first) or an IP address. */
export interface CertificateName {
  readonly kind: 'dns' | 'ip';
  readonly value: string;
}

/**
 * One DNS name, wildcard or IP address as a person writes it, in the form in which certificates carry it.
 * @throws UserError for anything else, saying what is wrong with it.
 */
export function parseCertificateName(text: string): CertificateName {
  if (text === '') throw wrongName(text, 'it is empty');
  if (text.length > 1_000) throw wrongName(`${text.slice(0, 40)}…`, 'it is longer than any name can be');
  const bracketed = /^\[([^\]]*)\]$/.exec(text)?.[1];
  const octets = parseIpAddress(bracketed ?? text);
  if (octets !== null) return { kind: 'ip', value: formatIpAddress(octets) ?? text };
  if (bracketed !== undefined) throw wrongName(text, 'there is no IPv6 address between the brackets');
  refuseWhatIsNoName(text);
  const wildcard = text.startsWith('*.');
  const name = toLowerAscii(text, wildcard ? text.slice(2) : text);
  refuseWrongLabels(text, name);
  if (wildcard && !name.includes('.')) {
    throw wrongName(
      text,
      'a wildcard needs at least two labels behind it: no client accepts one over a whole top domain',
    );
  }
  const value = wildcard ? `*.${name}` : name;
  if (value.length > 253) throw wrongName(text, 'it is longer than 253 characters');
  return { kind: 'dns', value };
}

/** The parsed names, each once, in the order given. @throws UserError for a wrong one, and when there is none. */
export function parseCertificateNames(texts: readonly string[]): readonly CertificateName[] {
  const names = new Map<string, CertificateName>();
  for (const text of texts) {
    const name = parseCertificateName(text);
    names.set(name.value, name);
  }
  if (names.size === 0) {
    throw new UserError('A certificate needs at least one name', {
      why: 'Clients look for the host they dial among the names of the certificate.',
      next: 'Give a DNS name or an IP address, for example: localhost',
    });
  }
  return [...names.values()];
}

function refuseWhatIsNoName(text: string): void {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) throw wrongName(text, 'it is a URL; give only its host');
  if (text.includes('/')) throw wrongName(text, 'it contains a /; ranges and paths cannot be in a certificate');
  if (/^(?:\[.*\]|[^:]+):\d*$/.test(text))
    throw wrongName(text, 'it ends in a port; a certificate is for a host, on any port');
  if (text.includes('%')) throw wrongName(text, 'it contains a %; an address is written without its zone');
  if (text.includes(':')) throw wrongName(text, 'it contains a : but is not an IPv6 address');
  if (text.includes('@')) throw wrongName(text, 'it contains an @; give only the host');
  if (/\s/.test(text)) throw wrongName(text, 'it contains white space');
  if (text.includes('_')) throw wrongName(text, 'it contains an underscore, which host names cannot have');
  if (text.includes('*') && (!text.startsWith('*.') || text.lastIndexOf('*') > 0)) {
    throw wrongName(text, 'a * can only stand for the whole first label, as in *.example.com');
  }
  const odd = /[\u0000-\u002c\u002f\u003a-\u0040\u005b-\u0060\u007b-\u009f]/.exec(text.replace(/^\*/, ''))?.[0];
  if (odd !== undefined) throw wrongName(text, `it contains ${JSON.stringify(odd)}, which host names cannot have`);
}

function toLowerAscii(text: string, name: string): string {
  // Plain names skip the URL rules, under which 256.1.1.1 is an error of its own kind and 127.1 an address.
  const ascii = /^[a-z0-9.-]*$/i.test(name) && !/xn--/i.test(name) ? name.toLowerCase() : domainToASCII(name);
  if (name !== '' && ascii === '') throw wrongName(text, 'it is not a valid internationalised name');
  return ascii.endsWith('.') ? ascii.slice(0, -1) : ascii;
}

function refuseWrongLabels(text: string, name: string): void {
  const labels = name.split('.');
  for (const label of labels) {
    if (label === '') throw wrongName(text, 'it has an empty label (two dots, or a dot first)');
    if (label.length > 63) throw wrongName(text, 'a label is longer than 63 characters');
    if (!/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label)) {
      throw wrongName(text, 'labels consist of letters, digits and inner hyphens');
    }
  }
  // Clients read 127.1 and 0x7f.1 as addresses, as URLs do, and would look for another name than this one.
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? '')) {
    throw wrongName(text, 'it looks like an IPv4 address but is not one of four numbers from 0 to 255');
  }
}

function wrongName(text: string, why: string): UserError {
  return new UserError(`${JSON.stringify(text)} cannot be a name in a certificate`, {
    why: `${why.charAt(0).toUpperCase()}${why.slice(1)}.`,
    next: 'Give a DNS name (mcp.example.com, *.example.com, localhost) or an IP address (192.0.2.7, ::1).',
  });
}
