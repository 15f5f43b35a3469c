import type { HttpResponse } from './http-message.ts';
import type { LimitRefusal } from '../call-limits.ts';

const jsonType = 'application/json';
const noHeaders: readonly string[] = [];
/** A browser that ends up here neither guesses a type, nor runs anything, nor shows it in somebody's frame. */
export const inertHeaders: readonly string[] = [
  'X-Content-Type-Options',
  'nosniff',
  'Content-Security-Policy',
  "default-src 'none'; frame-ancestors 'none'",
];

/** Sends a JSON body with its head in one write. `extra` is a flat list of header names and values. */
export function sendJson(res: HttpResponse, status: number, body: string, extra: readonly string[] = noHeaders): void {
  send(res, status, jsonType, body, extra);
}

/** Sends any body with its head in one write. */
export function send(
  res: HttpResponse,
  status: number,
  contentType: string,
  body: string | Buffer,
  extra: readonly string[] = noHeaders,
): void {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, ['Content-Type', contentType, 'Content-Length', String(Buffer.byteLength(body))].concat(extra));
  if (typeof body === 'string' && body.length > longBodyCharacters) sendInPieces(res, body);
  else res.end(body);
}

/** Beyond this a body is written as the client takes it. */
const longBodyCharacters = 262_144;
const pieceCharacters = 65_536;

/** A long body is not copied as a whole once more, and between its pieces others get their turn. */
function sendInPieces(res: HttpResponse, body: string): void {
  const holder: HoldingResponse = res;
  let at = 0;
  const write = (): void => {
    while (at < body.length) {
      let end = Math.min(body.length, at + pieceCharacters);
      // The two halves of a character stay together.
      const last = body.charCodeAt(end - 1);
      if (last >= 0xd800 && last <= 0xdbff && end < body.length) end++;
      const piece = body.slice(at, end);
      at = end;
      if (!res.write(piece) && at < body.length) {
        holder.holdRest?.(body.length - at);
        res.once('drain', write);
        return;
      }
    }
    holder.holdRest?.(0);
    res.end();
  };
  write();
}

/** A response that counts what is kept for it and not yet handed over. */
interface HoldingResponse extends HttpResponse {
  holdRest?(bytes: number): void;
}

/** An answer without a body: 202, 204. */
export function sendEmpty(res: HttpResponse, status: number, extra: readonly string[] = noHeaders): void {
  if (res.headersSent || res.destroyed) return;
  res.writeHead(status, status === 204 ? [...extra] : ['Content-Length', '0', ...extra]);
  res.end();
}

/** Problem details (RFC 9457): what 429 and 5xx carry. One clear sentence, since clients print the body. */
export function sendProblem(
  res: HttpResponse,
  status: number,
  title: string,
  detail: string,
  extra: readonly string[] = noHeaders,
): void {
  const body = JSON.stringify({ type: 'about:blank', title, status, detail });
  send(res, status, 'application/problem+json', body, [...inertHeaders, ...extra]);
}

/** The form of OAuth errors (RFC 6749 5.2, RFC 6750 3), which MCP clients parse on 401 and 403. */
export function sendOAuthError(
  res: HttpResponse,
  status: number,
  error: string,
  description: string,
  extra: readonly string[] = noHeaders,
): void {
  sendJson(res, status, JSON.stringify({ error, error_description: description }), [...inertHeaders, ...extra]);
}

/**
 * 429 with Retry-After, and where a rate was the reason the RateLimit fields and the problem type of
 * draft-ietf-httpapi-ratelimit-headers; 503 where nothing could be counted.
 */
export function sendRateLimited(res: HttpResponse, refusal: LimitRefusal, extra: readonly string[] = noHeaders): void {
  const { status, policy, detail, headers } = refusal;
  const isRate = headers.includes('RateLimit');
  const body = JSON.stringify({
    type: isRate ? 'https://iana.org/assignments/http-problem-types#quota-exceeded' : 'about:blank',
    title: status === 429 ? 'Too Many Requests' : 'Service Unavailable',
    status,
    detail,
    ...(status === 429 ? { 'violated-policies': [policy] } : {}),
  });
  send(res, status, 'application/problem+json', body, [...inertHeaders, ...headers, ...extra]);
}

/** 401 for a key that is missing or not accepted. RFC 6750 3.1: no error code when the request carried none at all. */
export function sendKeyRefused(
  res: HttpResponse,
  description: string,
  isMissing: boolean,
  extra: readonly string[] = noHeaders,
): void {
  const challenge = isMissing ? 'Bearer realm="mcp"' : 'Bearer realm="mcp", error="invalid_token"';
  sendOAuthError(res, 401, 'invalid_token', description, ['WWW-Authenticate', challenge, ...extra]);
}

/** 503 with Retry-After: draining, starting, or at a cap. */
export function sendUnavailable(
  res: HttpResponse,
  detail: string,
  retryAfterSeconds: number,
  extra: readonly string[] = noHeaders,
): void {
  sendProblem(res, 503, 'Service Unavailable', detail, ['Retry-After', String(retryAfterSeconds), ...extra]);
}
