import type { Answer, Observed, SessionUseSeen } from '../observations.ts';
import { askOnce } from './ask-once.ts';
import type { HttpsFetch } from './https-fetch.ts';
import { openLegacySession } from './legacy-session.ts';
import type { EndpointLook } from './probe-answers.ts';
import { legacyRequest } from './rpc-request.ts';

/** Of two replicas in turn at least one request in four goes to the wrong one. */
const asked = 4;
/** A revision that never was and never will be: dates only. */
const noSuchRevision = '1999-01-01';

/**
 * Opens one legacy session and uses it: the same request over connections of
 * their own (what a load balancer spreads), without the key, and with a
 * revision that has to be refused. `freshFetch` makes a fetch without kept
 * connections; the caller closes none of them.
 */
export async function probeSessionUse(
  look: EndpointLook,
  freshFetch: () => HttpsFetch,
  signal: AbortSignal,
): Promise<Observed<SessionUseSeen>> {
  const session = await openLegacySession(look, signal);
  if (session === 'unanswered') return { status: 'failed', reason: 'no session could be opened', failure: null };
  if (session === 'refused' || !session.hasId) {
    const initialized = session !== 'refused';
    return { status: 'ok', initialized, opened: false, answers: [], withoutKey: null, badRevision: null };
  }
  const ask = async (headers: Record<string, string>): Promise<Answer> => {
    const http = freshFetch();
    try {
      const request = legacyRequest('tools/list', {}, headers);
      return await askOnce({ http, url: look.url, request, timeoutMs: look.timeoutMs, secret: look.key }, signal);
    } finally {
      http.close();
    }
  };
  try {
    const [answers, withoutKey, badRevision] = await Promise.all([
      Promise.all(Array.from({ length: asked }, () => ask(session.headers))),
      look.key === null ? null : ask(withoutHeader(session.headers, 'authorization')),
      ask({ ...session.headers, 'mcp-protocol-version': noSuchRevision }),
    ]);
    return { status: 'ok', initialized: true, opened: true, answers, withoutKey, badRevision };
  } finally {
    await session.end();
  }
}

function withoutHeader(headers: Record<string, string>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([each]) => each !== name));
}
