import type { Observations } from '../../../src/doctor/observations.ts';
import type { Hop, Severity } from '../../../src/doctor/types.ts';
import { answer, answers, foreign, limits, target } from '../healthy-observations.ts';

export interface Case {
  readonly code: string;
  readonly fact: string;
  readonly change: (healthy: Observations) => Observations;
}

export interface Tripping extends Case {
  readonly severity?: Severity;
  readonly hop?: Hop;
}

export const failure = (
  kind: 'refused' | 'timed-out' | 'unreachable' | 'reset' | 'not-tls' | 'name-unknown',
  code: string,
) => ({
  kind,
  code,
  message: `${code} happened`,
});
export const refusedAt = (address: string, family: 4 | 6 = 4) =>
  ({ address, family, outcome: { connected: false, failure: failure('refused', 'ECONNREFUSED') } }) as const;
export const connectedAt = (address: string, family: 4 | 6 = 4) =>
  ({ address, family, outcome: { connected: true, durationMs: 1 } }) as const;
export const rpcError = (code: number) => ({ jsonrpc: '2.0', id: null, error: { code, message: 'no' } });

/** initialize is answered, and gives no session. */
export const noSession: Observations['sessionUse'] = {
  status: 'ok',
  initialized: true,
  refusal: null,
  opened: false,
  answers: [],
  withoutKey: null,
  wrongKey: null,
  otherKey: null,
  second: null,
  badRevision: null,
};

/** 200 calls without a refusal. */
export function unlimited(seen: Observations, durationMs: number): Observations {
  return limits(seen, { refusal: null, declared: null, sent: 200, durationMs });
}

/** What is seen when no client gets through. */
export function noClients(seen: Observations): Observations {
  return {
    ...seen,
    modern: { status: 'skipped', reason: 'closed' },
    legacy: { status: 'skipped', reason: 'closed' },
    session: { status: 'skipped', reason: 'closed' },
    stream: { status: 'skipped', reason: 'closed' },
    limits: { status: 'skipped', reason: 'closed' },
  };
}

export function noKeyAnswer(seen: Observations, given: ReturnType<typeof answer>): Observations {
  return answers(seen, { noKey: given });
}

export function challengeWith(seen: Observations, metadata: ReturnType<typeof answer>): Observations {
  const url = 'https://mcp.example.com/.well-known/oauth-protected-resource';
  return {
    ...answers(seen, { noKey: answer(401, {}, { 'www-authenticate': `Bearer resource_metadata="${url}"` }) }),
    wellKnown: { status: 'ok', answers: [], resourceMetadata: { url, answer: metadata } },
  };
}

export function openServer(seen: Observations): Observations {
  const open = answer(200, { jsonrpc: '2.0', id: 1, result: {} });
  return answers(target(foreign(seen), { keyGiven: false }), {
    noKey: open,
    wrongKey: null,
    bearer: null,
    xApiKey: null,
    smallBearer: null,
  });
}

export function loopbackHttp(seen: Observations): Observations {
  return {
    ...target(seen, { encrypted: false, loopback: true, url: 'http://127.0.0.1:8080/mcp', host: '127.0.0.1' }),
    tls: { status: 'skipped', reason: 'http' },
  };
}
