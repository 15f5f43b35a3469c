/** Four numbers from 0 to 255, without the leading zeros that some programs read as octal. */
const dottedQuad = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/**
 * The 4 or 16 octets of an IP address in text, or null when it is none. Zone ids (`%eth0`) are not part of an address.
 * Without node:net, whose address tests cost 5 ms of regular expression compiling on their first use in Node 20.
 */
export function parseIpAddress(text: string): Buffer | null {
  if (dottedQuad.test(text)) return Buffer.from(text.split('.').map(Number));
  if (!/^[0-9a-f:.]+$/i.test(text) || !text.includes(':') || !URL.canParse(`http://[${text}]/`)) return null;
  // The URL parser writes every spelling of an IPv6 address, also with an IPv4 tail, as groups of hex digits.
  const groups = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const [head = '', tail] = groups.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  const octets = Buffer.alloc(16);
  for (const [index, group] of [...before, ...zeros, ...after].entries()) {
    octets.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  }
  return octets;
}

/** The usual text of 4 or 16 octets (RFC 5952), or null for any other number of them. */
export function formatIpAddress(octets: Buffer): string | null {
  if (octets.length === 4) return [...octets].join('.');
  if (octets.length !== 16) return null;
  const groups = Array.from({ length: 8 }, (_, index) => octets.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}
