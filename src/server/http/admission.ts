import type { HttpRequest, HttpResponse } from './http-message.ts';
import type { AuditTrail } from '../observe/audit-trail.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { AddressGate } from '../policy/address-gate.ts';
import { Callers } from '../policy/callers.ts';
import type { AddressReader } from '../policy/client-address.ts';
import type { KeyCheck } from '../policy/key-check.ts';
import type { OriginGuard } from '../policy/origin-guard.ts';
import type { ProtectedResource } from '../policy/protected-resource.ts';
import type { TokenCheck } from '../policy/token-check.ts';
import type { Caller, KeyDecision } from '../types.ts';
import { sendEmpty, sendKeyRefused, sendOAuthError, sendProblem, sendUnavailable } from './answers.ts';
import type { ClientCertificates } from './client-certificates.ts';
import { peerAddress } from './peer-address.ts';

/** What a request is judged by. */
export interface AdmissionParts {
  /** Null when everyone is let in. */
  readonly keys: KeyCheck | null;
  readonly readAddress: AddressReader;
  /** Null when clients of every address may connect. */
  readonly gate: AddressGate | null;
  readonly requestIdOf: (req: HttpRequest) => string;
  readonly metrics: Metrics;
  /** Null when nothing is audited. */
  readonly audit: AuditTrail | null;
  readonly log: Log;
  readonly guard: OriginGuard;
  /** Certificates of clients; null without. */
  readonly certificates: Pick<ClientCertificates, 'required' | 'identify'> | null;
  /** Tokens of an outside issuer; null without. */
  readonly tokens: TokenCheck | null;
  /** What a 401 tells of the way to a token; null without. */
  readonly resource: ProtectedResource | null;
}

/** A request that may go on. */
export interface Admitted {
  readonly caller: Caller;
  readonly requestId: string;
  readonly extra: readonly string[];
}

/** Lets requests in or answers them with the reason why not: the same for every path of the endpoint. */
export class Admission {
  /** New calls are refused, those in flight finish. */
  draining = false;
  /** Replaced when certificates change: their names are accepted hosts. */
  guard: OriginGuard;
  /** Handles a request from its beginning, once its token was verified. */
  again: (req: HttpRequest, res: HttpResponse) => void = () => {};
  readonly #parts: AdmissionParts;
  /** Tokens that were refused; those that were not are remembered by the check itself. */
  readonly #verdicts = new WeakMap<HttpRequest, KeyDecision>();
  readonly #callers = new Callers();
  #refusals = 0;
  #nextRefusalLogMs = 0;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.guard = parts.guard;
  }

  /**
   * Whether this client may connect at all, by its address. False when it was answered: no key was looked at, nothing of
   * a body was read, and the connection ends.
   */
  admitsAddress(req: HttpRequest, res: HttpResponse, isHealth: boolean): boolean {
    const { gate, metrics, audit } = this.#parts;
    if (gate === null) return true;
    const address = this.#addressOf(req);
    if (isHealth ? gate.admitsHealth(address) : gate.admits(address)) return true;
    const requestId = this.#parts.requestIdOf(req);
    metrics.error('address');
    audit?.refused({ requestId, why: 'address is not allowed', address, headers: req.headers });
    this.#logRefusal('address', address, requestId);
    const cors = this.guard.corsHeaders(req.headers.origin);
    const extra = ['Connection', 'close', 'X-Request-Id', requestId, ...cors];
    sendOAuthError(res, 403, 'access_denied', 'This address may not call this server.', extra);
    return false;
  }

  /** Lets pages of allowed origins read what the other paths answer; true when it was a preflight, which is answered. */
  answersPage(req: HttpRequest, res: HttpResponse): boolean {
    const { origin } = req.headers;
    const cors = this.guard.corsHeaders(origin);
    for (let at = 0; at + 1 < cors.length; at += 2) res.setHeader(cors[at] ?? '', cors[at + 1] ?? '');
    if (req.method !== 'OPTIONS' || origin === undefined || req.headers['access-control-request-method'] === undefined)
      return false;
    const preflight = this.guard.preflight(origin, req.headers['access-control-request-headers']);
    if (preflight === null) return false;
    sendEmpty(res, 204, Object.entries(preflight).flat());
    return true;
  }

  #answerPreflight(req: HttpRequest, res: HttpResponse, methods: string): void {
    const { origin, 'access-control-request-headers': asked } = req.headers;
    const preflight = this.guard.preflight(origin, asked);
    const headers = preflight === null ? ['Allow', methods] : Object.entries(preflight).flat();
    sendEmpty(res, 204, headers);
  }

  /** Host, origin, preflight, key, draining: what every path of the endpoint asks first. Null when it was answered, or waits for its token. */
  admit(req: HttpRequest, res: HttpResponse, methods: string): Admitted | null {
    const { headers } = req;
    const { guard } = this;
    const { metrics } = this.#parts;
    const requestId = this.#parts.requestIdOf(req);
    const cors = guard.corsHeaders(headers.origin);
    const extra = cors.length === 0 ? ['X-Request-Id', requestId] : ['X-Request-Id', requestId, ...cors];
    const refusal = guard.refuses(headers.host, headers.origin);
    if (refusal !== null) {
      metrics.error('origin');
      this.#parts.audit?.refused({
        requestId,
        why: refusal.message,
        address: this.#addressOf(req),
        headers: req.headers,
      });
      sendOAuthError(res, refusal.status, 'access_denied', refusal.message, extra);
      return null;
    }
    if (req.method === 'OPTIONS') {
      this.#answerPreflight(req, res, methods);
      return null;
    }
    const caller = this.#identify(req, res, requestId, extra);
    if (caller === null) return null;
    if (this.draining) {
      const { address, label } = caller;
      this.#parts.audit?.refused({
        requestId,
        why: 'the server is stopping',
        address,
        key: label,
        headers: req.headers,
      });
      sendUnavailable(res, 'This server is stopping; try again in a moment.', 2, ['Connection', 'close', ...extra]);
      return null;
    }
    return { caller, requestId, extra };
  }

  /** Whether a request that was let in would be let in now, as far as its key is concerned. */
  stillAccepts(req: HttpRequest, caller: Caller): boolean {
    const { keys } = this.#parts;
    const { authorization, 'x-api-key': plain } = req.headers;
    return keys === null || keys.check(authorization, single(plain), caller.address).allowed;
  }

  #addressOf(req: HttpRequest): string {
    return this.#parts.readAddress(peerAddress(req), single(req.headers['x-forwarded-for']));
  }

  #identify(req: HttpRequest, res: HttpResponse, requestId: string, extra: readonly string[]): Caller | null {
    const { keys, metrics } = this.#parts;
    const address = this.#addressOf(req);
    if (keys === null) return this.#callers.findAnonymous(address);
    const decision = this.#decide(req, res, keys, address);
    if (decision === null) return null;
    if (decision.allowed) return this.#callers.find(decision, address);
    metrics.authFailure(decision.reason);
    this.#parts.audit?.refused({ requestId, why: `key ${decision.reason}`, address, headers: req.headers });
    this.#logRefusal(decision.reason, address, requestId);
    refuseKey(res, decision, extra, this.#parts.resource);
    return null;
  }

  /** Null when the token has to be verified first: then the request comes again. */
  #decide(req: HttpRequest, res: HttpResponse, keys: KeyCheck, address: string): KeyDecision | null {
    const { headers } = req;
    const { tokens, certificates } = this.#parts;
    const { authorization } = headers;
    const plain = single(headers['x-api-key']);
    if (certificates !== null) {
      const hasKey = authorization !== undefined || plain !== undefined;
      const decision = judgeCertificate(certificates, req, hasKey);
      if (decision !== null) return decision;
    }
    if (tokens === null || plain !== undefined || !tokens.isToken(authorization)) {
      return keys.check(authorization, plain, address);
    }
    const known = tokens.recall(authorization) ?? this.#verdicts.get(req);
    if (known !== undefined) return known;
    void this.#verify(req, res, tokens.verify(authorization, address));
    return null;
  }

  async #verify(req: HttpRequest, res: HttpResponse, verifying: Promise<KeyDecision>): Promise<void> {
    this.#verdicts.set(req, await verifying);
    if (!res.destroyed) this.again(req, res);
  }

  /** One line a second at most: a flood of wrong keys must not become a flood of log lines. */
  #logRefusal(reason: string, address: string, requestId: string): void {
    const now = performance.now();
    this.#refusals++;
    if (now < this.#nextRefusalLogMs) return;
    this.#parts.log.warn('key.refused', { reason, address, requestId, refusedSinceLastLine: this.#refusals });
    this.#refusals = 0;
    this.#nextRefusalLogMs = now + 1_000;
  }
}

/** Null when the key decides. */
function judgeCertificate(
  certificates: Pick<ClientCertificates, 'required' | 'identify'>,
  req: HttpRequest,
  hasKey: boolean,
): KeyDecision | null {
  // A Unix socket speaks plain HTTP to programs of this machine: there it is the key that counts.
  if (peerAddress(req) === 'unix') return null;
  const shown = certificates.identify(req.socket);
  if (shown.kind === 'good') return hasKey ? null : shown.identity;
  if (!certificates.required && (hasKey || shown.kind === 'none')) return null;
  const detail =
    shown.kind === 'none'
      ? 'A client certificate is needed: this server lets nobody in without one.'
      : `The client certificate is refused: ${shown.reason}.`;
  return { allowed: false, reason: 'certificate', detail };
}

type Refusal = Exclude<ReturnType<KeyCheck['check']>, { allowed: true }>;

function refuseKey(
  res: HttpResponse,
  refusal: Refusal,
  extra: readonly string[],
  resource: ProtectedResource | null,
): void {
  if (refusal.reason === 'backed-off') {
    const seconds = String(Math.max(1, Math.ceil(refusal.retryAfterSeconds ?? 1)));
    const detail = refusal.detail ?? 'Too many wrong keys came from this address.';
    sendProblem(res, 429, 'Too Many Requests', detail, ['Retry-After', seconds, ...extra]);
    return;
  }
  if (refusal.reason === 'certificate') {
    // Another certificate needs another connection.
    const detail = refusal.detail ?? 'The client certificate is refused.';
    sendOAuthError(res, 403, 'access_denied', detail, ['Connection', 'close', ...extra]);
    return;
  }
  if (refusal.reason === 'unavailable') {
    const detail = refusal.detail ?? 'The token cannot be checked now.';
    sendUnavailable(res, detail, refusal.retryAfterSeconds ?? 30, extra);
    return;
  }
  if (refusal.reason === 'insufficient-scope') {
    const detail = refusal.detail ?? 'The token lacks a scope.';
    const challenge = resource?.challenge('insufficient_scope', detail, refusal.scope ?? null) ?? 'Bearer realm="mcp"';
    sendOAuthError(res, 403, 'insufficient_scope', detail, ['WWW-Authenticate', challenge, ...extra]);
    return;
  }
  const description =
    refusal.detail ?? (refusal.reason === 'missing' ? 'A key is needed.' : 'The key is not accepted.');
  const isMissing = refusal.reason === 'missing';
  if (resource === null) {
    sendKeyRefused(res, description, isMissing, extra);
    return;
  }
  // RFC 6750 3.1: no error code when the request carried no credentials at all.
  const challenge = isMissing
    ? resource.challenge(null, null, null)
    : resource.challenge('invalid_token', description, null);
  sendOAuthError(res, 401, 'invalid_token', description, ['WWW-Authenticate', challenge, ...extra]);
}

function single(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.join(', ');
}
