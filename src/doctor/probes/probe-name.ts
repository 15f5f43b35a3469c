import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { describeNetworkFailure } from '../network-failure.ts';
import type { NameSeen, Observed } from '../observations.ts';
import type { ResolvedNames } from './resolve-names.ts';
import { within } from './within.ts';

/**
 * Looks the name up the way Node's clients do (getaddrinfo, so /etc/hosts
 * counts), both families. The look cannot be interrupted, so it is only
 * waited for until the time-out.
 */
export async function probeName(
  host: string,
  timeoutMs: number,
  signal: AbortSignal,
  names: ResolvedNames = {},
): Promise<Observed<NameSeen>> {
  const family = isIP(host);
  if (family !== 0) {
    return { status: 'ok', literal: true, v4: family === 4 ? [host] : [], v6: family === 6 ? [host] : [] };
  }
  const given = names[host];
  if (given !== undefined) {
    const of = (wanted: number): readonly string[] => given.filter((address) => isIP(address) === wanted);
    return { status: 'ok', literal: false, v4: of(4), v6: of(6) };
  }
  const startedAt = performance.now();
  try {
    const found = await within(lookup(host, { all: true }), timeoutMs, signal);
    const durationMs = performance.now() - startedAt;
    const addresses = (wanted: number): string[] => [
      ...new Set(found.filter((entry) => entry.family === wanted).map((entry) => entry.address)),
    ];
    return { status: 'ok', literal: false, v4: addresses(4), v6: addresses(6), durationMs };
  } catch (error) {
    signal.throwIfAborted();
    const failure = describeNetworkFailure(error);
    return { status: 'failed', reason: failure.message, failure };
  }
}
