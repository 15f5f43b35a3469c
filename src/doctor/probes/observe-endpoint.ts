import { BlockList, isIP } from 'node:net';
import type {
  Answer,
  AnswersSeen,
  ClientObserved,
  NameSeen,
  NotSeen,
  Observations,
  Observed,
  TargetFacts,
  TcpSeen,
  TlsSeen,
} from '../observations.ts';
import type { OwnFacts, ProbeId } from '../types.ts';
import { createFetch } from './https-fetch.ts';
import { probeAnswers, type EndpointLook } from './probe-answers.ts';
import { probeClient } from './probe-clients.ts';
import { probeHealth } from './probe-health.ts';
import { probeHost } from './probe-host.ts';
import { probeLimits } from './probe-limits.ts';
import { probeName } from './probe-name.ts';
import { probeSession } from './probe-session.ts';
import { probeStream } from './probe-stream.ts';
import { probeTcp } from './probe-tcp.ts';
import { probeTls } from './probe-tls.ts';
import { probeWellKnown } from './probe-well-known.ts';

/** Time-outs of the looks, milliseconds. */
export interface Patience {
  readonly nameMs: number;
  readonly connectMs: number;
  readonly tlsMs: number;
  readonly answerMs: number;
  readonly lookMs: number;
  readonly streamHeadMs: number;
  /** How long a stream without a byte is watched. */
  readonly streamWatchMs: number;
}

export const usualPatience: Patience = {
  nameMs: 5_000,
  connectMs: 5_000,
  tlsMs: 8_000,
  answerMs: 10_000,
  lookMs: 20_000,
  streamHeadMs: 4_000,
  streamWatchMs: 300,
};

export interface ObserveSpec {
  readonly url: string;
  readonly caPem: string | null;
  readonly key: string | null;
  readonly own: OwnFacts | null;
  /** Whether requests may be sent until the server refuses them. */
  readonly tryLimits: boolean;
  readonly maxLimitRequests: number;
  readonly wanted: ReadonlySet<ProbeId>;
  readonly patience: Patience;
  readonly onProgress: (text: string) => void;
}

/**
 * Goes from the name to a tool call, each look once. Whatever cannot be
 * reached because of an earlier hop is skipped; the key is sent only over a
 * connection that is trusted.
 */
export async function observeEndpoint(spec: ObserveSpec, signal: AbortSignal): Promise<Observations> {
  const target = describeTarget(spec);
  const host = observeHost(spec, target.at);
  const name = await lookUp(spec, target, signal);
  const tcp = await connect(spec, target, name, signal);
  const tls = await secure(spec, target, tcp, signal);
  const way = { name, tcp, tls };
  const blocked = blockedBefore(target, way);
  const beyond = blocked === null ? await observeServer(spec, tls, signal) : nothingBeyond(blocked);
  return { target, ...way, ...beyond, host: await host };
}

type Beyond = Omit<Observations, 'target' | 'name' | 'tcp' | 'tls' | 'host'>;

async function observeServer(spec: ObserveSpec, tls: Observed<TlsSeen>, signal: AbortSignal): Promise<Beyond> {
  const { patience, wanted } = spec;
  const caPem = tls.status === 'ok' && tls.trustedBy === 'public roots' ? null : spec.caPem;
  const http = createFetch({ caPem, timeoutMs: patience.answerMs, signal });
  const look: EndpointLook = { url: spec.url, http, key: spec.key, timeoutMs: patience.answerMs };
  try {
    spec.onProgress('asking with and without a key');
    const answers = await probeAnswers(look, signal);
    const silent = silentReason(answers);
    if (silent !== null) return { ...nothingBeyond(silent), answers };

    const closed = closedReason(answers);
    const client = (era: 'modern' | 'legacy'): Promise<ClientObserved> | NotSeen => {
      if (closed !== null) return { status: 'skipped', reason: closed };
      if (!wanted.has(era)) return notAsked;
      return probeClient(era, { ...spec, caPem, call: era === 'modern', timeoutMs: patience.lookMs }, signal);
    };
    spec.onProgress('connecting with clients of both eras');
    const [wellKnown, health, modern, legacy, session] = await Promise.all([
      wanted.has('well-known') ? probeWellKnown(look, challengeOf(answers), signal) : notAsked,
      spec.own === null
        ? skipped('the paths of health answers are known on our own server only')
        : wanted.has('health')
          ? probeHealth(look, signal)
          : notAsked,
      client('modern'),
      client('legacy'),
      closed === null && wanted.has('session') ? probeSession(look, signal) : skipped(closed ?? notAsked.reason),
    ]);
    const stream = await observeStream(spec, look, modern, legacy, signal);
    // Last, since it uses up what the others need.
    const limits = await observeLimits(spec, look, modern, legacy, signal);
    return { answers, wellKnown, health, modern, legacy, session, stream, limits };
  } finally {
    http.close();
  }
}

/** Also what key/bearer says then, so that the report names the reason once. */
const noKeyReason = 'the server wants a key and none was given (--key-file FILE)';

const notAsked = { status: 'skipped', reason: 'no check asked for it' } as const;

function skipped(reason: string): NotSeen {
  return { status: 'skipped', reason };
}

function nothingBeyond(reason: string): Beyond {
  const none = skipped(reason);
  return {
    answers: none,
    wellKnown: none,
    health: none,
    modern: none,
    legacy: none,
    session: none,
    stream: none,
    limits: none,
  };
}

function observeStream(
  spec: ObserveSpec,
  look: EndpointLook,
  modern: ClientObserved,
  legacy: ClientObserved,
  signal: AbortSignal,
): Promise<Observations['stream']> | NotSeen {
  if (!spec.wanted.has('stream')) return notAsked;
  const era = legacy.status === 'ok' && legacy.session ? 'legacy' : usableEra(modern, legacy);
  if (era === null) return skipped(noClientReason(modern));
  if (era === 'legacy' && !(legacy.status === 'ok' && legacy.session)) {
    return skipped('the server keeps no sessions, so it has no stream to open');
  }
  spec.onProgress('timing a stream');
  const { streamHeadMs, streamWatchMs } = spec.patience;
  return probeStream({ ...look, era, headersTimeoutMs: streamHeadMs, watchMs: streamWatchMs }, signal);
}

function observeLimits(
  spec: ObserveSpec,
  look: EndpointLook,
  modern: ClientObserved,
  legacy: ClientObserved,
  signal: AbortSignal,
): Promise<Observations['limits']> | NotSeen {
  if (!spec.wanted.has('limits')) return notAsked;
  if (!spec.tryLimits) return skipped('not allowed');
  const era = usableEra(modern, legacy);
  if (era === null) return skipped(noClientReason(modern));
  spec.onProgress(`sending up to ${spec.maxLimitRequests} requests to reach the limit`);
  return probeLimits(
    {
      ...look,
      era,
      maxRequests: spec.maxLimitRequests,
      onProgress: (sent) => spec.onProgress(`${sent} requests sent, no limit yet`),
    },
    signal,
  );
}

function noClientReason(modern: ClientObserved): string {
  return modern.status === 'skipped' ? modern.reason : 'no client could connect';
}

function usableEra(modern: ClientObserved, legacy: ClientObserved): 'modern' | 'legacy' | null {
  if (modern.status === 'ok' && modern.era === 'modern') return 'modern';
  return legacy.status === 'ok' ? 'legacy' : null;
}

/** Loopback by address (RFC 6890) or by the name that is reserved for it (RFC 6761). */
const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

function describeTarget(spec: ObserveSpec): TargetFacts {
  const url = new URL(spec.url);
  const host = url.hostname.replaceAll(/^\[|\]$/g, '');
  const family = isIP(host);
  return {
    url: spec.url,
    encrypted: url.protocol === 'https:',
    host,
    port: Number(url.port || (url.protocol === 'https:' ? 443 : 80)),
    loopback: family === 0 ? /(^|\.)localhost$/.test(host) : loopback.check(host, family === 4 ? 'ipv4' : 'ipv6'),
    own: spec.own !== null,
    keysRequired: spec.own?.keysRequired === true,
    keyGiven: spec.key !== null,
    keyFlaw: describeKeyFlaw(spec.key),
    caGiven: spec.caPem !== null,
    limitsAllowed: spec.tryLimits,
    at: new Date().toISOString(),
  };
}

function describeKeyFlaw(key: string | null): TargetFacts['keyFlaw'] {
  if (key === null) return null;
  if (/^bearer\s/i.test(key)) return 'starts with the word Bearer';
  return /\s/.test(key) ? 'contains white space' : null;
}

function observeHost(spec: ObserveSpec, at: string): Promise<Observations['host']> | NotSeen {
  if (spec.own === null) return skipped('the files of a server that is not this folder’s cannot be seen');
  return spec.wanted.has('host') ? probeHost(spec.own, at) : notAsked;
}

function lookUp(spec: ObserveSpec, target: TargetFacts, signal: AbortSignal): Promise<Observed<NameSeen>> {
  spec.onProgress(`looking up ${target.host}`);
  return probeName(target.host, spec.patience.nameMs, signal);
}

function connect(
  spec: ObserveSpec,
  target: TargetFacts,
  name: Observed<NameSeen>,
  signal: AbortSignal,
): Promise<Observed<TcpSeen>> | NotSeen {
  if (name.status !== 'ok') return skipped('the name has no address');
  spec.onProgress(`connecting to port ${target.port}`);
  return probeTcp(name, target.port, spec.patience.connectMs, signal);
}

function secure(
  spec: ObserveSpec,
  target: TargetFacts,
  tcp: Observed<TcpSeen>,
  signal: AbortSignal,
): Promise<Observed<TlsSeen>> | NotSeen {
  if (!target.encrypted) return skipped('the URL is http://');
  const open = tcp.status === 'ok' ? tcp.attempts.find(({ outcome }) => outcome.connected) : undefined;
  if (open === undefined) return skipped('no connection came about');
  spec.onProgress('shaking hands');
  return probeTls(
    { address: open.address, port: target.port, host: target.host },
    spec.caPem,
    spec.patience.tlsMs,
    signal,
  );
}

function blockedBefore(
  target: TargetFacts,
  { name, tcp, tls }: Pick<Observations, 'name' | 'tcp' | 'tls'>,
): string | null {
  if (name.status !== 'ok') return 'the name has no address';
  if (tcp.status !== 'ok' || !tcp.attempts.some(({ outcome }) => outcome.connected)) return 'no connection came about';
  if (!target.encrypted) return null;
  if (tls.status !== 'ok' || tls.refused !== null) return 'no TLS connection came about';
  if (tls.trustedBy === null || !tls.nameMatches) return 'the certificate is not trusted, so nothing was sent';
  return null;
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
