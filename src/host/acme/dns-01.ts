import { createHash } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import { EnvironmentError } from '../../deployment/errors.ts';
import type { ChallengeSolver } from './challenge.ts';
import { printableText } from './printable-text.ts';

export interface DnsSolverOptions {
  /** Program and arguments; `add` or `remove`, the record's name and its value are added. */
  readonly hook: readonly string[];
  /** Folder that the hook runs in. */
  readonly cwd: string;
  /** Asked for the record; empty: the name servers of its zone. */
  readonly dnsServers: readonly string[];
  /** Longest wait until the record is seen. The CA decides after it, seen or not. */
  readonly propagationMs: number;
  readonly hookTimeoutMs?: number;
  readonly pollMs?: number;
  readonly signal: AbortSignal;
  readonly onDoing: (text: string) => void;
}

/** dns-01 (RFC 8555, 8.4) by a program of the user's, which knows how to change the zone. No shell is involved. */
export function createDnsSolver(options: DnsSolverOptions): ChallengeSolver {
  const added: { readonly record: string; readonly value: string }[] = [];
  return {
    async present({ name, keyAuthorization }) {
      const record = `_acme-challenge.${name}`;
      const value = createHash('sha256').update(keyAuthorization).digest('base64url');
      // Noted first: a hook that fails or is cut off half-way is asked to clean up, too.
      added.push({ record, value });
      options.onDoing(`setting the record ${record}`);
      await runHook('add', { record, value }, options);
      await waitForRecord(record, value, options);
    },
    async close() {
      const left: string[] = [];
      for (const entry of added.splice(0).toReversed()) {
        // Ctrl-C ends the order, not its cleaning up.
        const { signal: _signal, ...rest } = options;
        await runHook('remove', entry, rest).catch(() => left.push(`the DNS record ${entry.record} (${entry.value})`));
      }
      return left;
    },
  };
}

async function runHook(
  verb: 'add' | 'remove',
  { record, value }: { readonly record: string; readonly value: string },
  options: Omit<DnsSolverOptions, 'signal'> & { readonly signal?: AbortSignal },
): Promise<void> {
  const [program = '', ...args] = options.hook;
  const result = await execa(program, [...args, verb, record, value], {
    cwd: options.cwd,
    stdin: 'ignore',
    timeout: options.hookTimeoutMs ?? 120_000,
    forceKillAfterDelay: 2_000,
    maxBuffer: 100_000,
    reject: false,
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  if (!result.failed) return;
  options.signal?.throwIfAborted();
  const said = result.stderr.trim() || result.stdout.trim();
  throw new EnvironmentError(`The DNS hook could not ${verb} the record ${record}.`, {
    why: result.timedOut
      ? 'It did not end in time.'
      : result.exitCode === undefined
        ? `${result.originalMessage ?? 'It could not be started'}.`
        : `${program} ended with ${result.exitCode}.`,
    next: `Try it by hand: ${[...options.hook, verb, record, value].join(' ')}`,
    excerpt: said.split('\n').slice(-5).map(printableText),
  });
}

/** Resolves when every name server has the record, or the time is over: then the CA decides. */
async function waitForRecord(record: string, value: string, options: DnsSolverOptions): Promise<void> {
  const deadline = performance.now() + options.propagationMs;
  const servers = options.dnsServers.length > 0 ? options.dnsServers : await authoritativeServers(record);
  while (performance.now() < deadline) {
    options.signal.throwIfAborted();
    const seen = await Promise.all(servers.map((server) => hasRecord(server, record, value)));
    if (seen.every(Boolean)) return;
    options.onDoing(`waiting for ${record} on ${seen.filter((each) => !each).length} of ${seen.length} name servers`);
    await delay(Math.min(options.pollMs ?? 2_000, Math.max(0, deadline - performance.now())), undefined, {
      signal: options.signal,
    });
  }
}

async function hasRecord(server: string, record: string, value: string): Promise<boolean> {
  const resolver = new Resolver({ timeout: 2_000, tries: 1 });
  resolver.setServers([server]);
  const found = await resolver.resolveTxt(record).catch(() => []);
  return found.some((chunks) => chunks.join('') === value);
}

/** Addresses of the name servers of the zone; those of this machine when they cannot be found out. */
async function authoritativeServers(record: string): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 });
  for (let zone = record; zone.includes('.'); zone = zone.slice(zone.indexOf('.') + 1)) {
    const names = await resolver.resolveNs(zone).catch(() => []);
    const addresses = await Promise.all(names.slice(0, 6).map((name) => resolver.resolve4(name).catch(() => [])));
    if (addresses.flat().length > 0) return addresses.flat();
  }
  return resolver.getServers();
}
