import type { IncomingHttpHeaders } from 'node:http';

/** An answer of an HTTP server that is no MCP answer: what it says of the server, in words. */
export class HttpRefusal extends Error {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Beginning of the body. */
  readonly text: string;

  constructor(status: number, headers: IncomingHttpHeaders, text: string) {
    super(describeRefusal(status, headers));
    this.name = 'HttpRefusal';
    this.status = status;
    this.headers = headers;
    this.text = text;
  }
}

function describeRefusal(status: number, headers: IncomingHttpHeaders): string {
  const { location } = headers;
  if (status >= 300 && status < 400 && location !== undefined) {
    return `it redirects (HTTP ${status}) to ${withoutQuery(location)}; redirects are not followed: write that URL as url if it is right`;
  }
  if (status === 401) {
    return 'it refused the credentials of the gateway (HTTP 401): look at headers of this upstream';
  }
  if (status === 403) return 'it denied access (HTTP 403): look at headers of this upstream, and at what it allows';
  if (status === 404) return 'it answered HTTP 404: look at the path of url';
  if (status === 405) return 'it answered HTTP 405 to a POST: url names no MCP endpoint of Streamable HTTP';
  if (status === 429) return 'it answered HTTP 429: too many requests';
  if (status >= 200 && status < 300) {
    const type = printable(headers['content-type'] ?? 'no content type').split(';')[0] ?? '';
    const encoding = headers['content-encoding'];
    const coded = encoding === undefined ? '' : `, encoded as ${printable(encoding)} though that was not asked for`;
    return `it answered with ${type}${coded} instead of JSON or an event stream: look at url, and for a login page in front of it`;
  }
  return `it answered HTTP ${status}`;
}

/** What went wrong below HTTP, in words. */
export function describeNetworkFailure(error: NodeJS.ErrnoException, url: URL): string {
  const code = error.code ?? '';
  const place = url.host;
  switch (code) {
    case 'ECONNREFUSED':
      return `nothing listens at ${place}`;
    case 'ENOTFOUND':
      return `the name ${url.hostname} is not known`;
    case 'EAI_AGAIN':
      return `the name ${url.hostname} cannot be looked up now`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `${place} cannot be reached`;
    case 'ECONNRESET':
    case 'EPIPE':
      return `${place} closed the connection`;
    case 'ETIMEDOUT':
      return `${place} did not accept a connection in time`;
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return `the certificate of ${place} is signed by an authority that is not known here (${code}): name it as caFile`;
    case 'CERT_HAS_EXPIRED':
      return `the certificate of ${place} has expired`;
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `the certificate of ${place} is for another name`;
    case 'EPROTO':
      return `${place} does not speak ${url.protocol === 'https:' ? 'TLS' : 'HTTP'} there`;
    default:
      if (code.startsWith('HPE_')) return `${place} does not answer with HTTP (${code})`;
      return `${printable(error.message)}${code === '' || error.message.includes(code) ? '' : ` (${code})`}`;
  }
}

/** Queries of login pages hold tokens. */
function withoutQuery(location: string): string {
  return printable(location.split(/[?#]/)[0] ?? '');
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
