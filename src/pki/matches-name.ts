import { domainToASCII } from 'node:url';
import { formatIpAddress, parseIpAddress } from './ip-address.ts';

/**
 * Whether one of a certificate's names covers the host a client dials (RFC 9525, 6.3): addresses by equality, DNS names
 * without regard to case, a wildcard for exactly one whole label with at least two labels behind it.
 */
export function matchesName(names: readonly string[], host: string): boolean {
  const octets = parseIpAddress(/^\[(.*)\]$/.exec(host)?.[1] ?? host);
  if (octets !== null) {
    const address = formatIpAddress(octets);
    return names.some((name) => name === address || sameAddress(name, octets));
  }
  const wanted = domainToASCII(host).replace(/\.$/, '');
  if (wanted === '') return false;
  const behindFirstLabel = wanted.slice(wanted.indexOf('.'));
  return names.some((name) => {
    const own = name.toLowerCase();
    if (!own.startsWith('*.')) return own === wanted;
    return own.slice(1) === behindFirstLabel && !wanted.startsWith('.') && own.slice(2).includes('.');
  });
}

function sameAddress(name: string, octets: Buffer): boolean {
  return parseIpAddress(name)?.equals(octets) ?? false;
}
