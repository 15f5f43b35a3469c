import { isIPv6 } from 'node:net';
import { UserError } from '../../deployment/errors.ts';

export interface OriginGuard {
  /** Null when the request may go on, else the answer. `host` and `origin` are the headers as they came. */
  refuses(host: string | undefined, origin: string | undefined): { status: number; message: string } | null;
  /**
   * Headers that let the page of an allowed origin read the answer, names and values in turn. Where answers differ by
   * origin every one of them says so (Vary), also those to callers that are no page: a cache between must not mix them up.
   */
  corsHeaders(origin: string | undefined): readonly string[];
  /**
   * Headers of the 204 that answers a preflight; null when the origin is not allowed (answer 403) or absent.
   * @param requestedHeaders Access-Control-Request-Headers
   */
  preflight(origin: string | undefined, requestedHeaders: string | undefined): Readonly<Record<string, string>> | null;
}

/** What a page may do beyond what the protocol needs. */
export interface CorsSettings {
  /** Headers beside those of the protocol that a page may send. */
  readonly allowHeaders: readonly string[];
  /** Headers beside those of the protocol that a page may read. */
  readonly exposeHeaders: readonly string[];
  /** How long a browser keeps a preflight. */
  readonly maxAgeSeconds: number;
}

/** What both eras of the protocol send, and trace context. A browser refuses the call when one is missing. */
const ALLOWED_HEADERS = [
  'accept',
  'authorization',
  'content-type',
  'last-event-id',
  'mcp-method',
  'mcp-name',
  'mcp-protocol-version',
  'mcp-session-id',
  'traceparent',
  'tracestate',
  'baggage',
  'x-api-key',
];

/** What a page may read; without Mcp-Session-Id it cannot make its second call. */
const EXPOSED_HEADERS = [
  'mcp-session-id',
  'mcp-protocol-version',
  'www-authenticate',
  'retry-after',
  'ratelimit',
  'ratelimit-policy',
  'x-request-id',
];

/** A day is the longest that any browser keeps a preflight (Firefox; Chrome keeps it two hours). */
const defaultCors: CorsSettings = { allowHeaders: [], exposeHeaders: [], maxAgeSeconds: 86_400 };

/** Headers that a tool's own schema asks for (`Mcp-Param-*` of 2026-07-28): their names are not known beforehand. */
const PARAMETER_HEADER = /^mcp-param-[a-z0-9-]{1,100}$/;

/**
 * Guards against DNS rebinding and foreign pages: the Host must be one of ours (without its port, in any case,
 * `*.example.com` for one label, `*` for any), and an Origin, which only browsers send, our own or one that was allowed.
 * Credentials are never allowed for cross-origin requests: keys travel in headers, not in cookies.
 * @throws UserError for an entry that is not a host or an origin.
 */
export function createOriginGuard(options: {
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
  readonly cors?: CorsSettings;
}): OriginGuard {
  const { allowHeaders, exposeHeaders, maxAgeSeconds } = options.cors ?? defaultCors;
  const allowed = joinNames(ALLOWED_HEADERS, allowHeaders);
  const exposed = joinNames(EXPOSED_HEADERS, exposeHeaders);
  const anyHost = options.allowedHosts.includes('*');
  const hosts = new Set<string>();
  const wildcards = new Set<string>();
  for (const entry of options.allowedHosts) {
    if (entry === '*') continue;
    const wildcard = entry.startsWith('*.');
    const name = readHostName(wildcard ? entry.slice(2) : entry);
    if (name === null) throw badEntry('allowed host', entry, 'mcp.example.com');
    (wildcard ? wildcards : hosts).add(name);
  }

  const anyOrigin = options.allowedOrigins.includes('*');
  const origins = new Map<string, readonly string[]>();
  for (const entry of options.allowedOrigins) {
    if (entry === '*') continue;
    const origin = readOrigin(entry);
    if (origin === null) throw badEntry('allowed origin', entry, 'https://app.example.com');
    origins.set(origin, Object.freeze(answerHeaders(origin, exposed)));
  }
  const anyOriginHeaders = Object.freeze(answerHeaders('*', exposed));
  const others: readonly string[] = anyOrigin || origins.size === 0 ? [] : Object.freeze(['Vary', 'Origin']);

  // The Host header that was accepted last: nearly always the one that comes next.
  let acceptedHost: string | null = null;

  function refusesHost(host: string): { status: number; message: string } | null {
    const name = readHostName(host);
    if (name === null) return { status: 400, message: 'The Host header is not a host name.' };
    const parent = name.slice(name.indexOf('.') + 1);
    if (!anyHost && !hosts.has(name) && !(name.includes('.') && wildcards.has(parent))) {
      return {
        status: 403,
        message: `The host name ${name.slice(0, 100)} is not one of this server; its operator can add it to allowedHosts.`,
      };
    }
    acceptedHost = host;
    return null;
  }

  function headersFor(origin: string | undefined): readonly string[] | null {
    if (origin === undefined) return null;
    if (anyOrigin) return anyOriginHeaders;
    return origins.get(origin) ?? origins.get(origin.toLowerCase()) ?? null;
  }

  /**
   * A page that this very server gave out: its origin is the address that was asked. Only where the Host was named by
   * the operator: with `*` every name is accepted, and DNS rebinding makes page and Host agree. Without a port the
   * scheme decides the port, and who serves pages on port 80 may be someone else.
   */
  function isOwnOrigin(host: string, origin: string): boolean {
    if (anyHost && !hosts.has(readHostName(host) ?? '')) return false;
    const [lower, own] = [origin.toLowerCase(), host.toLowerCase()];
    return lower === `https://${own}` || (lower === `http://${own}` && /:\d+$/.test(own));
  }

  return {
    refuses(host, origin) {
      if (host !== acceptedHost) {
        if (host === undefined || host === '') return { status: 400, message: 'The Host header is missing.' };
        const refusal = refusesHost(host);
        if (refusal !== null) return refusal;
      }
      if (origin === undefined || headersFor(origin) !== null || isOwnOrigin(host, origin)) return null;
      return {
        status: 403,
        message: 'Pages of this origin may not call this server; its operator can add it to allowedOrigins.',
      };
    },
    corsHeaders: (origin) => headersFor(origin) ?? others,
    preflight(origin, requestedHeaders) {
      const headers = headersFor(origin);
      if (headers === null) return null;
      const parameters = (requestedHeaders ?? '')
        .toLowerCase()
        .split(',', 100)
        .map((name) => name.trim())
        .filter((name) => PARAMETER_HEADER.test(name));
      return {
        'access-control-allow-origin': headers[1] ?? '*',
        'access-control-allow-methods': 'GET, POST, DELETE, OPTIONS',
        'access-control-allow-headers': [allowed, ...parameters].join(', '),
        'access-control-max-age': String(maxAgeSeconds),
        vary: 'Origin, Access-Control-Request-Headers',
      };
    },
  };
}

function answerHeaders(origin: string, exposed: string): string[] {
  const headers = ['Access-Control-Allow-Origin', origin, 'Access-Control-Expose-Headers', exposed];
  return origin === '*' ? headers : [...headers, 'Vary', 'Origin'];
}

function joinNames(known: readonly string[], more: readonly string[]): string {
  return [...new Set([...known, ...more.map((name) => name.toLowerCase())])].join(', ');
}

/** The name in `name`, `name:port`, `[v6]` or `[v6]:port`, comparable; null when it is none of these. */
function readHostName(host: string): string | null {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d{1,5})?$/.exec(host);
  const literal = bracketed?.[1] ?? (isIPv6(host) && !host.includes('%') ? host : null);
  if (literal !== null) return isIPv6(literal) ? new URL(`http://[${literal}]/`).hostname : null;
  const plain = /^([A-Za-z0-9._-]{1,255}?)\.?(?::\d{1,5})?$/.exec(host);
  const name = plain?.[1]?.toLowerCase();
  return name === undefined || name.startsWith('.') || name.includes('..') ? null : name;
}

/** The comparable form of an origin: scheme, host, and the port unless it is the scheme's own. */
function readOrigin(text: string): string | null {
  const parts = /^([a-z][a-z0-9+.-]*):\/\/([^/?#@\s]+)\/?$/i.exec(text);
  if (parts === null) return null;
  if (!/^https?$/i.test(parts[1] ?? '')) return text.toLowerCase().replace(/\/$/, '');
  try {
    return new URL(text).origin;
  } catch {
    return null;
  }
}

function badEntry(what: string, entry: string, example: string): UserError {
  return new UserError(`${JSON.stringify(entry.slice(0, 100))} cannot be an ${what}`, {
    why: entry === 'null' ? 'Every sandboxed page and every local file has the origin "null".' : 'It has another form.',
    next: `Write it like ${example}.`,
  });
}
