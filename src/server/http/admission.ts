import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AuditTrail } from '../observe/audit-trail.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { AddressReader } from '../policy/client-address.ts';
import type { KeyCheck } from '../policy/key-check.ts';
import type { OriginGuard } from '../policy/origin-guard.ts';
import type { Caller } from '../types.ts';
import { sendEmpty, sendKeyRefused, sendOAuthError, sendProblem, sendUnavailable } from './answers.ts';
import { peerAddress } from './peer-address.ts';

/** What a request is judged by. */
export interface AdmissionParts {
  /** Null when everyone is let in. */
  readonly keys: KeyCheck | null;
  readonly readAddress: AddressReader;
  readonly requestIdOf: (req: IncomingMessage) => string;
  readonly metrics: Metrics;
  /** Null when nothing is audited. */
  readonly audit: AuditTrail | null;
  readonly log: Log;
  readonly guard: OriginGuard;
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
  readonly #parts: AdmissionParts;
  #refusals = 0;
  #nextRefusalLogMs = 0;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.guard = parts.guard;
  }

  /** Host, origin, preflight, key, draining: what every path of the endpoint asks first. Null when it was answered. */
  admit(req: IncomingMessage, res: ServerResponse, methods: string): Admitted | null {
    const { headers } = req;
    const { guard } = this;
    const { metrics } = this.#parts;
    const requestId = this.#parts.requestIdOf(req);
    const refusal = guard.refuses(headers.host, headers.origin);
    if (refusal !== null) {
      metrics.error('origin');
      this.#parts.audit?.refused({ requestId, why: refusal.message, address: this.#addressOf(req) });
      sendOAuthError(res, refusal.status, 'access_denied', refusal.message, ['X-Request-Id', requestId]);
      return null;
    }
    const cors = headers.origin === undefined ? null : guard.corsHeaders(headers.origin);
    const extra = ['X-Request-Id', requestId];
    if (cors !== null) extra.push(...Object.entries(cors).flat());
    if (req.method === 'OPTIONS') {
      const preflight = guard.preflight(headers.origin, headers['access-control-request-headers']);
      sendEmpty(res, 204, preflight === null ? ['Allow', methods] : Object.entries(preflight).flat());
      return null;
    }
    const caller = this.#identify(req, res, requestId, extra);
    if (caller === null) return null;
    if (this.draining) {
      const { address, label } = caller;
      this.#parts.audit?.refused({ requestId, why: 'the server is stopping', address, key: label });
      sendUnavailable(res, 'This server is stopping; try again in a moment.', 2, ['Connection', 'close', ...extra]);
      return null;
    }
    return { caller, requestId, extra };
  }

  /** Whether a request that was let in would be let in now, as far as its key is concerned. */
  stillAccepts(req: IncomingMessage, caller: Caller): boolean {
    const { keys } = this.#parts;
    const { authorization, 'x-api-key': plain } = req.headers;
    return keys === null || keys.check(authorization, single(plain), caller.address).allowed;
  }

  #addressOf(req: IncomingMessage): string {
    return this.#parts.readAddress(peerAddress(req), single(req.headers['x-forwarded-for']));
  }

  #identify(req: IncomingMessage, res: ServerResponse, requestId: string, extra: readonly string[]): Caller | null {
    const { headers } = req;
    const { keys, metrics } = this.#parts;
    const address = this.#addressOf(req);
    if (keys === null) return { keyId: '', label: 'anonymous', address, tier: null, access: null };
    const decision = keys.check(headers.authorization, single(headers['x-api-key']), address);
    if (decision.allowed) {
      const { keyId, label, tier = null, access = null } = decision;
      return { keyId, label, address, tier, access };
    }
    metrics.authFailure(decision.reason);
    this.#parts.audit?.refused({ requestId, why: `key ${decision.reason}`, address });
    this.#logRefusal(decision.reason, address, requestId);
    refuseKey(res, decision, extra);
    return null;
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

type Refusal = Exclude<ReturnType<KeyCheck['check']>, { allowed: true }>;

function refuseKey(res: ServerResponse, refusal: Refusal, extra: readonly string[]): void {
  if (refusal.reason === 'backed-off') {
    const seconds = String(Math.max(1, Math.ceil(refusal.retryAfterSeconds ?? 1)));
    const detail = refusal.detail ?? 'Too many wrong keys came from this address.';
    sendProblem(res, 429, 'Too Many Requests', detail, ['Retry-After', seconds, ...extra]);
    return;
  }
  const description =
    refusal.detail ?? (refusal.reason === 'missing' ? 'A key is needed.' : 'The key is not accepted.');
  sendKeyRefused(res, description, refusal.reason === 'missing', extra);
}

function single(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.join(', ');
}
