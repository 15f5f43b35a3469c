import { isIPv4, isIPv6 } from 'node:net';

/**
 * What the first bytes of a connection say.
 * `more`: too few to tell. `absent`: they are no PROXY header, the client itself speaks. `address` is null where the
 * proxy speaks for itself (its health check) or for a family without addresses; then the peer is the client.
 */
export type ProxyHeader =
  | { readonly state: 'more' }
  | { readonly state: 'absent' }
  | { readonly state: 'broken'; readonly why: string }
  | { readonly state: 'read'; readonly length: number; readonly address: string | null };

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const prefix = Buffer.from('PROXY ', 'latin1');
/** The longest line of version 1, with its line end. */
const longestLine = 107;
/** More than any proxy adds: addresses and its own fields (TLVs). */
const longestBinary = 4_096;

/** Reads a PROXY protocol header, version 1 or 2 (HAProxy's proxy-protocol.txt), from the first bytes of a connection. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, signature)) return bytes.length < 16 ? { state: 'more' } : readBinary(bytes);
  if (startsLike(bytes, prefix)) return bytes.length < prefix.length ? { state: 'more' } : readLine(bytes);
  return { state: 'absent' };
}

/** Whether as much as is there of `start` is there. */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function readLine(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, longestLine).indexOf('\r\n');
  if (end === -1) {
    return bytes.length < longestLine ? { state: 'more' } : { state: 'broken', why: 'its line does not end' };
  }
  const length = end + 2;
  const [, family, source, target, sourcePort, targetPort, ...rest] = bytes.toString('latin1', 0, end).split(' ');
  if (family === 'UNKNOWN') return { state: 'read', length, address: null };
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : null;
  if (isAddress === null) return { state: 'broken', why: 'it names an unknown family' };
  const isWhole = isAddress(source ?? '') && isAddress(target ?? '') && isPort(sourcePort) && isPort(targetPort);
  if (source === undefined || !isWhole || rest.length > 0)
    return { state: 'broken', why: 'its line is not as it must be' };
  return { state: 'read', length, address: source };
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) <= 65_535;
}

function readBinary(bytes: Buffer): ProxyHeader {
  const [versionAndCommand = 0, familyAndProtocol = 0] = bytes.subarray(12, 14);
  const rest = bytes.readUInt16BE(14);
  const length = 16 + rest;
  if (versionAndCommand >> 4 !== 2) return { state: 'broken', why: 'it is of an unknown version' };
  if (length > longestBinary) return { state: 'broken', why: `it is longer than ${longestBinary} bytes` };
  if (bytes.length < length) return { state: 'more' };
  const command = versionAndCommand & 15;
  if (command === 0) return { state: 'read', length, address: null };
  if (command !== 1) return { state: 'broken', why: 'it holds an unknown command' };
  const family = familyAndProtocol >> 4;
  if (family === 1 && rest >= 12) return { state: 'read', length, address: bytes.subarray(16, 20).join('.') };
  if (family === 2 && rest >= 36) return { state: 'read', length, address: formatIpv6(bytes.subarray(16, 32)) };
  if (family === 1 || family === 2) return { state: 'broken', why: 'its addresses are cut off' };
  return { state: 'read', length, address: null };
}

/** One spelling for one address (RFC 5952); IPv4 mapped into IPv6 stays as the reader of addresses knows it. */
function formatIpv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  if (groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff') {
    return `::ffff:${bytes.subarray(12).join('.')}`;
  }
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}
