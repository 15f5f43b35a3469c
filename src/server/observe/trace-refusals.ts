import type { AuditTrail } from './audit-trail.ts';
import type { Traces } from './traces.ts';

/**
 * A trail that also gives refused requests a span, or does only that where nothing is audited. Calls have theirs already.
 */
export function traceRefusals(trail: AuditTrail | null, traces: Pick<Traces, 'refuse'>): AuditTrail {
  return {
    ended: (...given) => trail?.ended(...given),
    refused(request) {
      if (request.hasSpan !== true) traces.refuse(request);
      trail?.refused(request);
    },
  };
}

/**
 * Why a request was refused, as a word of its own and the status of the answer where that is known: the text of an audit
 * line may hold names that clients invent. Pure.
 */
export function refusalKind(why: string): { readonly type: string; readonly status: number | null } {
  for (const [start, type, status] of kinds) if (why.startsWith(start)) return { type, status };
  return { type: 'refused', status: null };
}

const kinds: readonly (readonly [start: string, type: string, status: number | null])[] = [
  ['address is not allowed', 'address_not_allowed', 403],
  ['Pages of this origin', 'origin', 403],
  ['The host name', 'host', 403],
  ['The Host header', 'host', 400],
  ['key missing', 'key_missing', 401],
  ['key invalid', 'key_invalid', 401],
  ['key revoked', 'key_revoked', 401],
  ['key expired', 'key_expired', 401],
  ['key backed-off', 'key_backed_off', 429],
  ['key certificate', 'certificate', 403],
  ['key insufficient-scope', 'insufficient_scope', 403],
  ['key unavailable', 'issuer_unavailable', 503],
  ['key ended', 'key_ended', 401],
  ['the token lacks a scope', 'insufficient_scope', 403],
  ['rate limit of shared-state', 'shared_state', 503],
  ['rate limit of', 'rate_limit', 429],
  ['limit of calls in flight', 'concurrency', 429],
  ['limit of open streams', 'streams', 429],
  ['too many calls in flight', 'overload', 503],
  ['too many unfinished bodies', 'overload', 503],
  ['body too large', 'body_too_large', 413],
  ['content type', 'content_type', 415],
  ['unknown session', 'unknown_session', 404],
  ['session of another key', 'foreign_session', 404],
  ['the server is stopping', 'draining', 503],
  ['audit lines cannot be written', 'audit_blocked', 503],
  ['no readable request', 'unreadable', null],
];
