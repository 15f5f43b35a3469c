import { randomUUID } from 'node:crypto';
import type { Observed, SessionSeen } from '../observations.ts';
import { askOnce } from './ask-once.ts';
import { keyHeaders } from './look-with-client.ts';
import type { EndpointLook } from './probe-answers.ts';
import { legacyRequest } from './rpc-request.ts';

/** A request of a session that the server never gave out: what every client sends after the server was restarted. */
export async function probeSession(look: EndpointLook, signal: AbortSignal): Promise<Observed<SessionSeen>> {
  const answer = await askOnce(
    {
      http: look.http,
      url: look.url,
      request: legacyRequest('tools/list', {}, { ...keyHeaders(look.key), 'mcp-session-id': randomUUID() }),
      timeoutMs: look.timeoutMs,
      secret: look.key,
    },
    signal,
  );
  return { status: 'ok', answer };
}
