import type { IncomingHttpHeaders } from 'node:http';

/** Head of a request that is plain in every respect. */
export interface QuickHead {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** From Content-Length. */
  readonly bodyBytes: number;
}

/** Larger bodies are for node:http, which reads them piece by piece. */
export const mostQuickBodyBytes = 65_536;

/**
 * One spelling of a POST, of printable ASCII: a line of RFC 9112 without its obsolete forms, and header lines with one
 * space or none after the colon. Each part ends where the next cannot begin, so the time is linear.
 */
const plainPost =
  /^POST (\/[\x21-\x7e]*) HTTP\/1\.1\r\n(?:[A-Za-z0-9-]{1,64}: ?[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\r\n){2,64}$/;
const plainLength = /^(?:0|[1-9]\d{0,4})$/;
const space = 0x20;

/**
 * Headers that change how a message is read, how long its connection lives, or where it goes. node:http knows what to do.
 * RFC 9112 6.1, 9.6; RFC 9110 7.8, 10.1.1.
 */
const notQuick: ReadonlySet<string> = new Set([
  'transfer-encoding',
  'expect',
  'upgrade',
  'trailer',
  'te',
  'http2-settings',
  'proxy-connection',
  'keep-alive',
  // node:http makes a list of it.
  'set-cookie',
]);

/**
 * Reads the head of a POST, up to and with its last line end. Null for everything that is not plain: nothing is
 * judged here, node:http reads it and says what it is. A name that comes twice is one of these things.
 */
export function parseQuickHead(head: string): QuickHead | null {
  const url = plainPost.exec(head)?.[1];
  if (url === undefined) return null;
  const headers: Record<string, string> = {};
  let at = head.indexOf('\r\n') + 2;
  while (at < head.length) {
    const colon = head.indexOf(':', at);
    const end = head.indexOf('\r\n', colon);
    const name = lowerCase(head.slice(at, colon));
    // Also true for what every object has: no header is called that.
    if (headers[name] !== undefined || notQuick.has(name)) return null;
    headers[name] = head.slice(head.charCodeAt(colon + 1) === space ? colon + 2 : colon + 1, end);
    at = end + 2;
  }
  const { host, connection, 'content-length': length } = headers;
  if (host === undefined || length === undefined || !plainLength.test(length)) return null;
  if (connection !== undefined && connection.toLowerCase() !== 'keep-alive') return null;
  const bodyBytes = Number(length);
  return bodyBytes > mostQuickBodyBytes ? null : { url, headers, bodyBytes };
}

const mostNames = 256;
const lowerNames = new Map<string, string>();

/** Clients write the same few names in every request. */
function lowerCase(name: string): string {
  const known = lowerNames.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  if (lowerNames.size < mostNames) lowerNames.set(name, lower);
  return lower;
}
