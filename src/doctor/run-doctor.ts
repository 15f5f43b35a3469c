import { catalogue } from './checks/catalogue.ts';
import type { EndpointCheck } from './checks/endpoint-check.ts';
import { judgeObservations } from './judge-observations.ts';
import { observeEndpoint } from './probes/observe-endpoint.ts';
import { readLockout } from './probes/own-limits.ts';
import { usualPatience, type Patience } from './probes/patience.ts';
import type { ResolvedNames } from './probes/resolve-names.ts';
import type { ProxyConfigSeen } from './observations.ts';
import { UserError } from '../deployment/errors.ts';
import { nearestWord } from '../deployment/nearest-word.ts';
import { categories, type DoctorReport, type OwnFacts, type ProbeId } from './types.ts';

export type { OwnFacts } from './types.ts';

export interface DoctorOptions {
  readonly url: string;
  /** The CA that clients of this server are given; null: public roots only. */
  readonly caPem: string | null;
  readonly key: string | null;
  /** Another good key of the same server: a session of the first must not answer it. */
  readonly otherKey?: string | null;
  /** Files and state of this folder's deployment, or null for any other server. */
  readonly own: OwnFacts | null;
  /** Addresses of names in place of those that the system knows. */
  readonly names?: ResolvedNames;
  /** URL of the server itself, past its proxy: what differs there is the doing of the proxy. */
  readonly upstreamUrl?: string | null;
  /** Files of the proxy in front, or why they could not be read. */
  readonly proxyConfig?: ProxyConfigSeen | string | null;
  /** Origin of a browser page that is meant to call; null: none is. */
  readonly pageOrigin?: string | null;
  /** Whether requests may be sent until they are refused where that is not ours to decide, or may shut the owner out. */
  readonly limits: boolean;
  /** Codes (`tls/name`) or categories (`tls`); everything when empty. */
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
  readonly patience?: Partial<Patience>;
}

/** Never more than this, so that nobody's production is put under load by a look at it. */
const maxLimitRequests = 200;

/**
 * Looks at every hop on the way to an MCP server and judges what was seen.
 * @throws UserError when `only` or `skip` name nothing; the signal's reason when it is aborted.
 */
export async function runDoctor(options: DoctorOptions): Promise<DoctorReport> {
  const startedAt = performance.now();
  const selected = selectChecks(options.only ?? [], options.skip ?? []);
  const observations = await observeEndpoint(
    {
      url: options.url,
      caPem: options.caPem,
      key: options.key,
      otherKey: options.otherKey ?? null,
      own: options.own,
      names: options.names,
      upstreamUrl: options.upstreamUrl ?? null,
      proxyConfig: options.proxyConfig ?? null,
      pageOrigin: options.pageOrigin ?? options.own?.pageOrigin ?? null,
      limitsNotTried: options.limits ? null : await whyNotTried(options.own),
      maxLimitRequests,
      wanted: new Set(selected.flatMap(({ needs }) => needs).flatMap((probe) => [probe, ...(before[probe] ?? [])])),
      patience: { ...usualPatience, ...options.patience },
      onProgress: options.onProgress,
    },
    options.signal,
  );
  return judgeObservations({
    observations,
    checks: catalogue,
    selected: new Set(selected.map(({ code }) => code)),
    durationMs: performance.now() - startedAt,
  });
}

/** These looks ask in the era that a client found out. */
const before: Partial<Record<ProbeId, readonly ProbeId[]>> = {
  stream: ['modern', 'legacy'],
  idle: ['modern', 'legacy'],
  limits: ['modern', 'legacy'],
};

/** Requests that reach a limit are for our own deployments, as long as they shut nobody out, or for who asks for them. */
async function whyNotTried(own: OwnFacts | null): Promise<string | null> {
  if (own === null) return 'not tried on a server that is not yours (--limits allows up to 200 requests)';
  return readLockout(own);
}

function selectChecks(only: readonly string[], skip: readonly string[]): readonly EndpointCheck[] {
  for (const [flag, words] of [
    ['--only', only],
    ['--skip', skip],
  ] as const) {
    for (const word of words) refuseUnknown(flag, word);
  }
  const names = (check: EndpointCheck, words: readonly string[]): boolean =>
    words.includes(check.code) || words.includes(check.category);
  const selected = catalogue.filter((check) => (only.length === 0 || names(check, only)) && !names(check, skip));
  if (selected.length > 0) return selected;
  throw new UserError('--only and --skip together leave no check.', { next: 'Leave one of them out.' });
}

function refuseUnknown(flag: string, word: string): void {
  const known = [...categories, ...catalogue.map(({ code }) => code)];
  if (known.includes(word)) return;
  const near = nearestWord(word, known);
  throw new UserError(`${flag} ${word} names no check and no category of checks.`, {
    ...(near === null ? {} : { why: `Did you mean ${near}?` }),
    next: `Categories: ${categories.join(', ')}. All codes are in: mcp-deploy doctor --json`,
  });
}
