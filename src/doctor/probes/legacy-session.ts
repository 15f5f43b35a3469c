import type { Answer } from '../observations.ts';
import { askOnce } from './ask-once.ts';
import { keyHeaders } from './look-with-client.ts';
import type { EndpointLook } from './probe-answers.ts';
import { initializeRequest, legacyRequest, legacyRevision } from './rpc-request.ts';

export interface LegacySession {
  /** Key, session and revision: what every further request carries. */
  readonly headers: Record<string, string>;
  /** False when the server keeps no sessions. */
  readonly hasId: boolean;
  /** Ends it on the server. */
  end(): Promise<void>;
}

/** Opens a legacy session by hand, for looks that a client does not offer. */
export async function openLegacySession(
  look: EndpointLook,
  signal: AbortSignal,
): Promise<LegacySession | 'refused' | 'unanswered'> {
  const { answer, session } = await tryLegacySession(look, signal);
  if (session !== null) return session;
  return isUnanswered(answer) ? 'unanswered' : 'refused';
}

/** It says nothing of sessions: the server was not reached, is busy, or fails. */
export function isUnanswered(answer: Answer): boolean {
  return answer.kind === 'failed' || answer.status === 429 || answer.status >= 500;
}

/** The same with what initialize was answered; null: no session came about. */
export async function tryLegacySession(
  look: EndpointLook,
  signal: AbortSignal,
): Promise<{ readonly answer: Answer; readonly session: LegacySession | null }> {
  const ask = (request: Parameters<typeof askOnce>[0]['request']) =>
    askOnce({ http: look.http, url: look.url, request, timeoutMs: look.timeoutMs, secret: look.key }, signal);
  const answer = await ask(initializeRequest(keyHeaders(look.key)));
  // Bridges answer 200 with a JSON-RPC error when the program behind them fails: no session came about.
  if (answer.kind === 'failed' || answer.status !== 200 || isRpcError(answer.json)) return { answer, session: null };
  const id = answer.headers['mcp-session-id'];
  const headers = {
    ...keyHeaders(look.key),
    'mcp-protocol-version': legacyRevision,
    ...(id === undefined ? {} : { 'mcp-session-id': id }),
  };
  await ask(legacyRequest('notifications/initialized', {}, headers, null));
  const end = async (): Promise<void> => {
    if (id !== undefined) await ask({ method: 'DELETE', headers });
  };
  return { answer, session: { headers, hasId: id !== undefined, end } };
}

function isRpcError(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'error' in json;
}
