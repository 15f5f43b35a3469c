import { randomBytes } from 'node:crypto';
import type { Answer, AnswersSeen, Observed } from '../observations.ts';
import { askOnce, type AskSpec } from './ask-once.ts';
import type { HttpsFetch } from './https-fetch.ts';
import { keyHeaders } from './look-with-client.ts';
import { initializeRequest, modernRequest } from './rpc-request.ts';

export interface EndpointLook {
  readonly url: string;
  readonly http: HttpsFetch;
  readonly key: string | null;
  readonly timeoutMs: number;
}

/**
 * server/discover with no key, a wrong key and the right key in both shapes.
 * It does nothing on servers that know it. A legacy server may turn it down
 * before it looks at the key, so initialize is asked there.
 */
export async function probeAnswers(look: EndpointLook, signal: AbortSignal): Promise<Observed<AnswersSeen>> {
  const wrong = `not-a-key-${randomBytes(24).toString('base64url')}`;
  const [noKey, wrongKey, bearer, xApiKey, smallBearer] = await Promise.all([
    askWith({}, look, signal),
    look.key === null ? null : askWith(keyHeaders(wrong), look, signal),
    look.key === null ? null : askWith(keyHeaders(look.key), look, signal),
    look.key === null ? null : askWith({ 'x-api-key': look.key }, look, signal),
    look.key === null ? null : askWith({ authorization: `bearer ${look.key}` }, look, signal),
  ]);
  return {
    status: 'ok',
    noKey: noKey.answer,
    wrongKey: wrongKey?.answer ?? null,
    bearer: bearer?.answer ?? null,
    xApiKey: xApiKey?.answer ?? null,
    smallBearer: smallBearer?.answer ?? null,
    discovered: (bearer ?? noKey).discovered,
  };
}

interface Asked {
  readonly discovered: Answer;
  readonly answer: Answer;
}

async function askWith(headers: Record<string, string>, look: EndpointLook, signal: AbortSignal): Promise<Asked> {
  const ask = (request: AskSpec['request']): Promise<Answer> =>
    askOnce({ http: look.http, url: look.url, request, timeoutMs: look.timeoutMs, secret: look.key }, signal);
  const discovered = await ask(modernRequest('server/discover', {}, headers));
  if (discovered.kind === 'failed' || saysOfKeys(discovered.status)) return { discovered, answer: discovered };
  const initialized = await ask(initializeRequest(headers));
  const session = initialized.kind === 'answered' ? initialized.headers['mcp-session-id'] : undefined;
  if (session !== undefined) await ask({ method: 'DELETE', headers: { ...headers, 'mcp-session-id': session } });
  return { discovered, answer: initialized };
}

function saysOfKeys(status: number): boolean {
  return status < 400 || status === 401 || status === 403 || status === 421 || status === 429;
}
