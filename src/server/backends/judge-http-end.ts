import type { RpcError } from '../types.ts';
import {
  UPSTREAM_BAD_ANSWER,
  UPSTREAM_BUSY,
  UPSTREAM_ENDED,
  UPSTREAM_UNAVAILABLE,
  type CallOutcome,
} from './backend-errors.ts';
import { errorOfRefusal, type CallEnd } from './http-call.ts';
import type { HttpRefusal } from './http-failure.ts';
import { UpstreamRpcError } from './own-requests.ts';

/** What the end of an HTTP exchange means for the call of a client. */
export type CallVerdict =
  | { readonly kind: 'result'; readonly json: string }
  | { readonly kind: 'error'; readonly error: RpcError }
  /** The server has not run it: it goes to the next session, or to the same server when that is back. */
  | { readonly kind: 'unsent'; readonly reason: string }
  | {
      readonly kind: 'failed';
      readonly code: number;
      /** After the name of the upstream. */
      readonly what: string;
      readonly outcome: CallOutcome;
      /** What it says of the server: that it wants other credentials, or that nothing may be behind the gateway in front of it. */
      readonly sign?: { readonly kind: 'credentials' | 'failing' | 'gateway'; readonly reason: string };
    };

export const unknownOutcome = 'outcome unknown: it may have run.';

/** @param inSession whether the request named a session, which the server may have forgotten. Pure. */
export function judgeHttpEnd(end: CallEnd, inSession: boolean, maxMessageBytes: number): CallVerdict {
  switch (end.kind) {
    case 'result':
    case 'error':
      return end;
    case 'too-large':
      return failed(UPSTREAM_BAD_ANSWER, `gave an answer of more than ${maxMessageBytes} bytes, which is too large.`);
    case 'lost':
      return failed(UPSTREAM_ENDED, `failed: ${end.reason}; ${unknownOutcome}`);
    case 'failed':
      if (end.sent) return failed(UPSTREAM_ENDED, `failed: ${end.reason}; ${unknownOutcome}`);
      return { kind: 'unsent', reason: end.reason };
    case 'refused':
      return judgeRefusal(end.refusal, inSession);
  }
}

function judgeRefusal(refusal: HttpRefusal, inSession: boolean): CallVerdict {
  const { status, message: reason } = refusal;
  const error = errorOfRefusal(refusal);
  if (inSession && isSessionLost(status, error?.message))
    return { kind: 'unsent', reason: 'it no longer knows the session of the gateway' };
  if (status === 401 || status === 403) {
    const verdict = failed(UPSTREAM_UNAVAILABLE, `is not available: ${reason}.`, 'not run');
    return status === 401 ? { ...verdict, sign: { kind: 'credentials', reason } } : verdict;
  }
  if (error !== null) return { kind: 'error', error };
  if (status === 429) {
    const after = refusal.headers['retry-after'];
    const when = after === undefined || !/^[0-9]{1,6}$/.test(after) ? '' : ` Try again in ${after} s.`;
    return failed(UPSTREAM_BUSY, `is busy: ${reason}.${when}`, 'not run');
  }
  if (status >= 500) {
    const verdict = failed(UPSTREAM_ENDED, `failed: ${reason}; ${unknownOutcome}`);
    return { ...verdict, sign: { kind: status === 500 ? 'failing' : 'gateway', reason } };
  }
  if (status >= 200 && status < 300) return failed(UPSTREAM_BAD_ANSWER, `cannot be understood: ${reason}.`);
  return failed(UPSTREAM_BAD_ANSWER, `refused the call: ${reason}.`, 'not run');
}

/** The answer to a request of the gateway itself. @throws UpstreamRpcError, HttpRefusal or Error that says why there is none. */
export function readOwnAnswer(end: CallEnd): string {
  switch (end.kind) {
    case 'result':
      return end.json;
    case 'error':
      throw new UpstreamRpcError(end.error);
    case 'refused': {
      const error = errorOfRefusal(end.refusal);
      // Credentials, redirects and failures are told by the status; the body of the others says more.
      const { status } = end.refusal;
      const told = error !== null && status >= 400 && status < 500 && status !== 401 && status !== 403;
      throw told ? new UpstreamRpcError(error) : end.refusal;
    }
    case 'too-large':
      throw new Error('its answer is too large');
    case 'failed':
    case 'lost':
      throw new Error(end.reason);
  }
}

function failed(
  code: number,
  what: string,
  outcome: CallOutcome = 'unknown',
): Extract<CallVerdict, { kind: 'failed' }> {
  return { kind: 'failed', code, what, outcome };
}

/** 404 says it (MCP, "Session Management"); well-known servers answer 400 and say it in words. */
function isSessionLost(status: number, message: string | undefined): boolean {
  return status === 404 || (status === 400 && message !== undefined && /session|not initialized/i.test(message));
}
