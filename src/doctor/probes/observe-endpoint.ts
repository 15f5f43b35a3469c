import { BlockList, isIP } from 'node:net';
import type {
  DirectSeen,
  NameSeen,
  NotSeen,
  Observations,
  Observed,
  ProxyConfigSeen,
  TargetFacts,
  TcpSeen,
  TlsSeen,
  WaySeen,
} from '../observations.ts';
import type { OwnFacts, ProbeId } from '../types.ts';
import { createFetch } from './https-fetch.ts';
import {
  noClientReason,
  notAsked,
  nothingBeyond,
  observeWay,
  skipped,
  usableEra,
  type WaySpec,
} from './observe-way.ts';
import type { Patience } from './patience.ts';
import { watchAudit } from './probe-audit.ts';
import { probeHost } from './probe-host.ts';
import { probeMachine } from './probe-machine.ts';
import { probeLimits } from './probe-limits.ts';
import { probeName } from './probe-name.ts';
import { probeTcp } from './probe-tcp.ts';
import { lookupFor, type ResolvedNames } from './resolve-names.ts';
import { probeTls } from './probe-tls.ts';

export interface ObserveSpec {
  readonly url: string;
  readonly caPem: string | null;
  readonly key: string | null;
  /** Another good key of the same server; null when none is known. */
  readonly otherKey: string | null;
  readonly own: OwnFacts | null;
  /** Addresses of names in place of those that the system knows. */
  readonly names?: ResolvedNames | undefined;
  /** URL of the server itself, past the proxy; null when it is not known. */
  readonly upstreamUrl: string | null;
  /** Files of the proxy in front; null when they were not looked for, a reason when they could not be read. */
  readonly proxyConfig: ProxyConfigSeen | string | null;
  /** Origin of a browser page that is meant to call; null: none is. */
  readonly pageOrigin: string | null;
  /** Why no requests are sent until the server refuses them; null when they are. */
  readonly limitsNotTried: string | null;
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
  const machine = observeMachine(spec, target.at);
  const audit = spec.own !== null && spec.wanted.has('audit') ? await watchAudit(spec.own) : null;
  const name = await lookUp(spec, target, signal);
  const tcp = await connect(spec, target, name, signal);
  const tls = await secure(spec, target, tcp, signal);
  const way = { name, tcp, tls };
  const blocked = blockedBefore(target, way);
  const caPem = tls.status === 'ok' && tls.trustedBy === 'public roots' ? null : spec.caPem;
  const [beyond, direct] = await Promise.all([
    blocked === null ? observeWay(waySpec(spec, target, spec.url, caPem), signal) : nothingBeyond(blocked),
    observeDirect(spec, target, signal),
  ]);
  // Last, since it uses up what the others need.
  const limits = blocked === null ? await observeLimits(spec, caPem, beyond, signal) : skipped(blocked);
  return {
    target,
    ...way,
    ...beyond,
    limits,
    host: await host,
    machine: await machine,
    audit: audit === null ? notAsked : blocked === null ? await audit(signal) : skipped(blocked),
    direct,
    proxyConfig: seenConfig(spec),
  };
}

/** Only for the host that is looked at; every other name is the system's. */
function lookupOf({ url, names }: ObserveSpec): ReturnType<typeof lookupFor> {
  return names?.[new URL(url).hostname] === undefined ? undefined : lookupFor(names);
}

function waySpec(spec: ObserveSpec, target: TargetFacts, url: string, caPem: string | null): WaySpec {
  const { origin, protocol } = new URL(url);
  return {
    url,
    caPem,
    key: spec.key,
    otherKey: spec.otherKey,
    own: spec.own !== null,
    rebindable: protocol === 'http:' && target.loopback,
    page: { origin: spec.pageOrigin ?? origin, promised: spec.pageOrigin !== null },
    wanted: spec.wanted,
    lookup: url === spec.url ? lookupOf(spec) : undefined,
    patience: spec.patience,
    onProgress: spec.onProgress,
  };
}

/** The server without its proxy, by the same looks. */
async function observeDirect(
  spec: ObserveSpec,
  target: TargetFacts,
  signal: AbortSignal,
): Promise<Observed<DirectSeen>> {
  const { upstreamUrl } = spec;
  if (upstreamUrl === null) return skipped('the address of the server behind the proxy is not known (--upstream URL)');
  const quiet = { ...waySpec(spec, target, upstreamUrl, spec.caPem), onProgress: () => {} };
  spec.onProgress(`asking the server directly at ${upstreamUrl}`);
  const way = await observeWay(quiet, signal);
  const answer = way.answers.status === 'ok' ? (way.answers.bearer ?? way.answers.noKey) : null;
  if (answer?.kind === 'failed') {
    return { status: 'failed', reason: `${upstreamUrl}: ${answer.failure.message}`, failure: answer.failure };
  }
  return { status: 'ok', url: upstreamUrl, way };
}

function seenConfig({ proxyConfig }: ObserveSpec): Observed<ProxyConfigSeen> {
  if (proxyConfig === null) return skipped('the configuration of the proxy was not given (--proxy-config FILE)');
  if (typeof proxyConfig === 'string') return { status: 'failed', reason: proxyConfig, failure: null };
  return { status: 'ok', ...proxyConfig };
}

async function observeLimits(
  spec: ObserveSpec,
  caPem: string | null,
  { modern, legacy }: WaySeen,
  signal: AbortSignal,
): Promise<Observations['limits']> {
  if (!spec.wanted.has('limits')) return notAsked;
  if (spec.limitsNotTried !== null) return skipped(spec.limitsNotTried);
  const era = usableEra(modern, legacy);
  if (era === null) return skipped(noClientReason(modern));
  spec.onProgress(`sending up to ${spec.maxLimitRequests} requests to reach the limit`);
  const http = createFetch({ caPem, timeoutMs: spec.patience.answerMs, signal, lookup: lookupOf(spec) });
  const onProgress = (sent: number): void => spec.onProgress(`${sent} requests sent, no limit yet`);
  try {
    const look = { url: spec.url, http, key: spec.key, otherKey: spec.otherKey, timeoutMs: spec.patience.answerMs };
    return await probeLimits({ ...look, era, maxRequests: spec.maxLimitRequests, onProgress }, signal);
  } finally {
    http.close();
  }
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
    limitsNotTried: spec.limitsNotTried,
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

function observeMachine(spec: ObserveSpec, now: string): Promise<Observations['machine']> | NotSeen {
  if (spec.own === null) return skipped('the machine of a server that is not this folder’s cannot be seen');
  const at = { url: spec.url, serverUrl: spec.upstreamUrl ?? spec.url, now };
  return spec.wanted.has('machine') ? probeMachine(spec.own, at) : notAsked;
}

function lookUp(spec: ObserveSpec, target: TargetFacts, signal: AbortSignal): Promise<Observed<NameSeen>> {
  spec.onProgress(`looking up ${target.host}`);
  return probeName(target.host, spec.patience.nameMs, signal, spec.names);
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
