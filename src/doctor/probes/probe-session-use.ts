import { randomBytes } from 'node:crypto';
import type { Answer, Observed, SecondSession, SessionUseSeen } from '../observations.ts';
import { askOnce } from './ask-once.ts';
import type { HttpsFetch } from './https-fetch.ts';
import { isUnanswered, tryLegacySession, type LegacySession } from './legacy-session.ts';
import { keyHeaders } from './look-with-client.ts';
import type { EndpointLook } from './probe-answers.ts';
import { legacyRequest } from './rpc-request.ts';

/** Of two replicas in turn at least one request in four goes to the wrong one. */
const asked = 4;
/** A revision that never was and never will be: dates only. */
const noSuchRevision = '1999-01-01';

export interface SessionUseSpec extends EndpointLook {
  /** A second good key of the same server; null when none is known. */
  readonly otherKey: string | null;
  /** A fetch without kept connections. */
  readonly freshFetch: () => HttpsFetch;
}

const notOpened = { answers: [], withoutKey: null, wrongKey: null, otherKey: null, second: null, badRevision: null };

/**
 * Opens one legacy session and uses it: the same request over connections of their own (what a load balancer spreads),
 * without the key, with keys of others, beside a second session, and with a revision that has to be refused.
 */
export async function probeSessionUse(spec: SessionUseSpec, signal: AbortSignal): Promise<Observed<SessionUseSeen>> {
  const { answer: initialized, session } = await tryLegacySession(spec, signal);
  if (session === null && isUnanswered(initialized)) {
    return { status: 'failed', reason: 'no session could be opened', failure: null };
  }
  if (session === null) return { status: 'ok', initialized: false, refusal: initialized, opened: false, ...notOpened };
  if (!session.hasId) return { status: 'ok', initialized: true, refusal: null, opened: false, ...notOpened };
  const ask = async (headers: Record<string, string>): Promise<Answer> => {
    const http = spec.freshFetch();
    try {
      const request = legacyRequest('tools/list', {}, headers);
      return await askOnce({ ...spec, http, request, secret: spec.key }, signal);
    } finally {
      http.close();
    }
  };
  const askAs = (key: string): Promise<Answer> => ask({ ...session.headers, ...keyHeaders(key) });
  try {
    const [answers, withoutKey, badRevision] = await Promise.all([
      Promise.all(Array.from({ length: asked }, () => ask(session.headers))),
      spec.key === null ? null : ask(withoutHeader(session.headers, 'authorization')),
      ask({ ...session.headers, 'mcp-protocol-version': noSuchRevision }),
    ]);
    // Behind the answers: a server that keeps one session at a time ends the first for the second.
    const second = await useSecond(spec, session, ask, signal);
    // Last: a server may end a session that somebody else tries to use.
    const [wrongKey, otherKey] = await Promise.all([
      spec.key === null ? null : askAs(`not-a-key-${randomBytes(24).toString('base64url')}`),
      spec.otherKey === null ? null : askAs(spec.otherKey),
    ]);
    return {
      status: 'ok',
      initialized: true,
      refusal: null,
      opened: true,
      answers,
      withoutKey,
      wrongKey,
      otherKey,
      second,
      badRevision,
    };
  } finally {
    await session.end();
  }
}

async function useSecond(
  spec: SessionUseSpec,
  first: LegacySession,
  ask: (headers: Record<string, string>) => Promise<Answer>,
  signal: AbortSignal,
): Promise<SecondSession> {
  const { answer, session } = await tryLegacySession(spec, signal);
  if (session === null) return { opened: false, answer };
  try {
    const [inFirst, inSecond] = await Promise.all([ask(first.headers), ask(session.headers)]);
    const sameId = session.headers['mcp-session-id'] === first.headers['mcp-session-id'];
    return { opened: true, sameId, inFirst, inSecond };
  } finally {
    await session.end();
  }
}

function withoutHeader(headers: Record<string, string>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([each]) => each !== name));
}
