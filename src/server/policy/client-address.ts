import { isIPv4, isIPv6 } from 'node:net';
import { createAddressList, plainAddress } from './address-list.ts';

export interface AddressReader {
  (socketAddress: string | undefined, forwardedFor: string | undefined): string;
  /** Whether this peer is a trusted proxy, whose word about a request counts. */
  readonly trusts: (socketAddress: string | undefined) => boolean;
}

/**
 * Reads the address of the client: the right-most hop of X-Forwarded-For that is not a trusted proxy, and only when
 * the peer itself is one. What a client writes into the header on its own lies further left and is never reached.
 * A hop that is no address ends the walk: nothing left of it can be believed.
 *
 * @param trustedProxies addresses, CIDR blocks, or `loopback` (127.0.0.0/8, ::1 and Unix sockets) or `unix`
 * @returns a reader of the socket's address (the word `unix` for a Unix socket) and the header; `trusts` tells whether
 *   the peer is a trusted proxy. IPv4 mapped into IPv6 comes out as IPv4; an unknown socket address as `unknown`.
 * @throws UserError for an entry that is none of these.
 */
export function createAddressReader(trustedProxies: readonly string[]): AddressReader {
  const trusted = createAddressList(trustedProxies, 'a trusted proxy');

  function read(socketAddress: string | undefined, forwardedFor: string | undefined): string {
    let address = plainAddress(socketAddress ?? 'unknown');
    if (forwardedFor === undefined || trusted.isEmpty || !trusted.has(address)) return address;
    let end = forwardedFor.length;
    while (end > 0) {
      const comma = forwardedFor.lastIndexOf(',', end - 1);
      const hop = readHop(forwardedFor.slice(comma + 1, end).trim());
      if (hop === null) return address;
      address = hop;
      if (!trusted.has(address)) return address;
      end = comma;
    }
    return address;
  }

  return Object.assign(read, { trusts: (socketAddress: string | undefined) => trusted.has(socketAddress) });
}

/** One entry of X-Forwarded-For: an address in any spelling, perhaps with a port as some proxies write it. */
function readHop(text: string): string | null {
  const bracketed = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text)?.[1];
  if (bracketed !== undefined) return isIPv6(bracketed) ? canonicalAddress(bracketed) : null;
  if (isIPv4(text)) return text;
  if (isIPv6(text)) return canonicalAddress(text);
  const withPort = /^([\d.]+):\d{1,5}$/.exec(text)?.[1];
  return withPort !== undefined && isIPv4(withPort) ? withPort : null;
}

/** One spelling for one IPv6 address (RFC 5952), so that it cannot pass for several clients. */
function canonicalAddress(address: string): string {
  const short = new URL(`http://[${address.replace(/%.*$/, '')}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short);
  if (mapped === null) return short;
  const high = Number.parseInt(mapped[1] ?? '', 16);
  const low = Number.parseInt(mapped[2] ?? '', 16);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}
