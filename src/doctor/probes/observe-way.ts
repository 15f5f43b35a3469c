import type { LookupFunction } from 'node:net';
import type { Answer, AnswersSeen, ClientObserved, CorsSeen, NotSeen, Observed, WaySeen } from '../observations.ts';
import type { ProbeId } from '../types.ts';
import { createFetch } from './https-fetch.ts';
import type { Patience } from './patience.ts';
import { probeAnswers, type EndpointLook } from './probe-answers.ts';
import { probeClient } from './probe-clients.ts';
import { probeHealth } from './probe-health.ts';
import { probeMetrics } from './probe-metrics.ts';
import { probeIdle } from './probe-idle.ts';
import { probeCors, probeErrors, probeGuards, probeSizes } from './probe-requests.ts';
import { probeSession } from './probe-session.ts';
import { probeSessionUse } from './probe-session-use.ts';
import { probeStream } from './probe-stream.ts';
import { probeWellKnown } from './probe-well-known.ts';

export interface WaySpec {
  readonly url: string;
  /** Authority that is trusted; null: those that Node trusts. */
  readonly caPem: string | null;
  readonly key: string | null;
  /** Another good key of the same server, for the look whether sessions are kept apart; null when none is known. */
  readonly otherKey: string | null;
  readonly lookup: LookupFunction | undefined;
  /** The server is ours: its health paths are known. */
  readonly own: boolean;
  /** A page of a stranger could reach this address by DNS rebinding. */
  readonly rebindable: boolean;
  readonly page: Pick<CorsSeen, 'origin' | 'promised'>;
  readonly wanted: ReadonlySet<ProbeId>;
  readonly patience: Patience;
  readonly onProgress: (text: string) => void;
}

/** Everything that is asked of an MCP server over HTTP but its limits, each look once. */
export async function observeWay(spec: WaySpec, signal: AbortSignal): Promise<WaySeen> {
  const { patience, wanted } = spec;
  const fetchWith = { caPem: spec.caPem, timeoutMs: patience.answerMs, signal, lookup: spec.lookup };
  const http = createFetch(fetchWith);
  const look: EndpointLook = { url: spec.url, http, key: spec.key, timeoutMs: patience.answerMs };
  try {
    spec.onProgress('asking with and without a key');
    const answers = await probeAnswers(look, signal);
    const silent = silentReason(answers);
    if (silent !== null) return { ...nothingBeyond(silent), answers };

    const closed = closedReason(answers);
    const ifOpen = <T>(probe: ProbeId, start: () => Promise<Observed<T>>): Promise<Observed<T>> | NotSeen =>
      closed !== null ? skipped(closed) : wanted.has(probe) ? start() : notAsked;
    const client = (era: 'modern' | 'legacy'): Promise<ClientObserved> | NotSeen =>
      closed !== null
        ? skipped(closed)
        : wanted.has(era)
          ? probeClient(era, { ...spec, call: era === 'modern', timeoutMs: patience.lookMs }, signal)
          : notAsked;
    const harmless = { ...look, era: knowsDiscover(answers) ? 'modern' : 'legacy' } as const;
    spec.onProgress('connecting with clients of both eras');
    const [wellKnown, health, metrics, modern, legacy, session, sessionUse, sizes, errors, guards, cors] =
      await Promise.all([
        wanted.has('well-known') ? probeWellKnown(look, challengeOf(answers), signal) : notAsked,
        !spec.own
          ? skipped('the paths of health answers are known on our own server only')
          : wanted.has('health')
            ? probeHealth(look, signal)
            : notAsked,
        wanted.has('metrics') ? probeMetrics(look, spec.own, signal) : notAsked,
        client('modern'),
        client('legacy'),
        ifOpen('session', () => probeSession(look, signal)),
        ifOpen('session-use', () =>
          probeSessionUse({ ...look, otherKey: spec.otherKey, freshFetch: () => createFetch(fetchWith) }, signal),
        ),
        ifOpen('sizes', () => probeSizes(harmless, signal)),
        ifOpen('errors', () => probeErrors(harmless, signal)),
        ifOpen('guards', () => probeGuards(harmless, spec.rebindable, signal)),
        ifOpen('cors', () => probeCors(harmless, spec.page, signal)),
      ]);
    const [stream, idle] = await Promise.all([
      observeStream(spec, look, modern, legacy, signal),
      observeIdle(spec, look, modern, legacy, signal),
    ]);
    return {
      answers,
      wellKnown,
      health,
      metrics,
      modern,
      legacy,
      session,
      sessionUse,
      stream,
      idle,
      sizes,
      errors,
      guards,
      cors,
    };
  } finally {
    http.close();
  }
}

/** Every look of the way left out, for one reason. */
export function nothingBeyond(reason: string): WaySeen {
  const none = skipped(reason);
  return {
    answers: none,
    wellKnown: none,
    health: none,
    metrics: none,
    modern: none,
    legacy: none,
    session: none,
    sessionUse: none,
    stream: none,
    idle: none,
    sizes: none,
    errors: none,
    guards: none,
    cors: none,
  };
}

export const notAsked = { status: 'skipped', reason: 'no check asked for it' } as const;

export function skipped(reason: string): NotSeen {
  return { status: 'skipped', reason };
}

/** The era in which requests can be sent by hand; null when no client got through. */
export function usableEra(modern: ClientObserved, legacy: ClientObserved): 'modern' | 'legacy' | null {
  if (modern.status === 'ok' && modern.era === 'modern') return 'modern';
  return legacy.status === 'ok' ? 'legacy' : null;
}

export function noClientReason(modern: ClientObserved): string {
  return modern.status === 'skipped' ? modern.reason : 'no client could connect';
}

/** Also what key/bearer says then, so that the report names the reason once. */
const noKeyReason = 'the server wants a key and none was given (--key-file FILE)';

function observeStream(
  spec: WaySpec,
  look: EndpointLook,
  modern: ClientObserved,
  legacy: ClientObserved,
  signal: AbortSignal,
): Promise<WaySeen['stream']> | NotSeen {
  if (!spec.wanted.has('stream')) return notAsked;
  const era = streamEra(modern, legacy);
  if (typeof era !== 'string') return era;
  spec.onProgress('timing a stream');
  const { streamHeadMs, streamWatchMs } = spec.patience;
  return probeStream({ ...look, era, headersTimeoutMs: streamHeadMs, watchMs: streamWatchMs }, signal);
}

function observeIdle(
  spec: WaySpec,
  look: EndpointLook,
  modern: ClientObserved,
  legacy: ClientObserved,
  signal: AbortSignal,
): Promise<WaySeen['idle']> | NotSeen {
  const { idleWatchMs } = spec.patience;
  if (!spec.wanted.has('idle')) return notAsked;
  if (idleWatchMs === 0) return skipped('takes a minute and a half (--deep)');
  const era = streamEra(modern, legacy);
  if (typeof era !== 'string') return era;
  spec.onProgress(`watching an idle stream for ${Math.round(idleWatchMs / 1_000)} s`);
  return probeIdle({ ...look, era, watchMs: idleWatchMs }, signal);
}

function streamEra(modern: ClientObserved, legacy: ClientObserved): 'modern' | 'legacy' | NotSeen {
  const era = legacy.status === 'ok' && legacy.session ? 'legacy' : usableEra(modern, legacy);
  if (era === null) return skipped(noClientReason(modern));
  if (era === 'legacy' && !(legacy.status === 'ok' && legacy.session)) {
    return skipped('the server keeps no sessions, so it has no stream to open');
  }
  return era;
}

function knowsDiscover(answers: Observed<AnswersSeen>): boolean {
  if (answers.status !== 'ok' || answers.discovered.kind !== 'answered') return false;
  const { status, json } = answers.discovered;
  return status < 300 && typeof json === 'object' && json !== null && 'result' in json;
}

function silentReason(answers: Observed<AnswersSeen>): string | null {
  return mainAnswer(answers)?.kind === 'answered' ? null : 'the server did not answer over HTTP';
}

/** Why a client would get nowhere, or null. */
function closedReason(answers: Observed<AnswersSeen>): string | null {
  const answer = mainAnswer(answers);
  if (answer?.kind !== 'answered') return 'the server did not answer over HTTP';
  const withKey = answers.status === 'ok' && answers.bearer !== null;
  if (answer.status === 401) return withKey ? 'the key was refused' : noKeyReason;
  if (answer.status >= 300 && answer.status < 400) return 'the endpoint redirects';
  if ((answer.headers['content-type'] ?? '').includes('text/html')) return 'the endpoint answers with HTML';
  return null;
}

function mainAnswer(answers: Observed<AnswersSeen>): Answer | null {
  return answers.status === 'ok' ? (answers.bearer ?? answers.noKey) : null;
}

function challengeOf(answers: Observed<AnswersSeen>): string | null {
  if (answers.status !== 'ok' || answers.noKey.kind !== 'answered') return null;
  return answers.noKey.headers['www-authenticate'] ?? null;
}
