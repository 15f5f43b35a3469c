import { randomUUID } from 'node:crypto';
import { buildGuard } from './build-guard.ts';
import { createCallLimits, type StreamCounts } from './call-limits.ts';
import { createBackends, type BackendSet } from './create-backends.ts';
import type { GatewayOptions } from './gateway.ts';
import type { ServedCertificate } from './http/certificate-files.ts';
import { createPageAccess } from './http/page-access.ts';
import type { AuditWriter } from './observe/audit.ts';
import type { BoundedTrail } from './observe/bounded-refusals.ts';
import type { Metrics } from './observe/metrics.ts';
import { openAudit } from './open-audit.ts';
import { createAddressGate } from './policy/address-gate.ts';
import { createAddressReader, type AddressReader } from './policy/client-address.ts';
import { createTokens } from './policy/create-tokens.ts';
import { createKeyCheck, type KeyCheck } from './policy/key-check.ts';
import { createGuessBackoff } from './policy/guess-backoff.ts';
import { combineSharing, createSwitchedSharing } from './policy/limit-sharing.ts';
import { describeProtectedResource } from './policy/protected-resource.ts';
import type { CallsInFlight } from './protocol/calls-in-flight.ts';
import type { ConfigWithKeys } from './reload.ts';
import type { ServerConfig } from './server-config.ts';
import { createRedisHoldings, type RedisHoldings } from './shared-state/redis-holdings.ts';
import { createRedisLimits, type RedisLimits } from './shared-state/redis-limits.ts';
import { readRedisTarget, type RedisTarget } from './shared-state/redis-target.ts';
import { createSharedRedis, type SharedRedis } from './shared-state/shared-redis.ts';

/** What a configuration decides, as long as it is in force. */
export interface Settings {
  readonly config: ServerConfig;
  readonly set: BackendSet;
  readonly keys: KeyCheck | null;
  readonly audit: AuditWriter | null;
  readonly trail: BoundedTrail | null;
  readonly readAddress: AddressReader;
  readonly resource: ReturnType<typeof describeProtectedResource>;
  readonly tokens: ReturnType<typeof createTokens>;
  readonly limit: ReturnType<typeof createCallLimits>;
  readonly redis: SharedRedis | null;
  /** Counts the limits together with other replicas; null where they do not. */
  readonly together: RedisLimits | null;
  /** Counts what is held at the same time together with them. */
  readonly holdings: RedisHoldings | null;
}

/** Other settings, ready to be put in force. */
export interface SettingsChange {
  readonly settings: Settings;
  /** Lets the key check go by the new keys. */
  useKeys(): void;
  /** Ends what the former settings had and these do not; tells what was counted there. */
  retire(counted: { redisErrors(errors: number): void; droppedLines(lines: number): void }): void;
  /** Gives up what was opened for these. */
  discard(): void;
}

/** What settings are made with and do not decide. */
export interface SettingsSources {
  readonly options: GatewayOptions;
  readonly transport: 'http' | 'stdio';
  /** Processes that this server's bounds are divided among. */
  readonly share: number;
  readonly metrics: Metrics;
  readonly inFlight: CallsInFlight;
  readonly quota: StreamCounts;
  /** The certificate that is served now. */
  readonly certificate: () => ServedCertificate | null;
  readonly openTrail: (audit: AuditWriter | null) => BoundedTrail | null;
}

/**
 * Opens what a configuration decides: keys, audit file, limits, tokens, the connection to Redis.
 * `change` does so for another configuration and takes over what stays the same; nothing is changed by it yet.
 * Both throw UserError or EnvironmentError for what cannot be used, and leave nothing open then.
 */
export function createSettings(sources: SettingsSources): {
  open(config: ServerConfig, set: BackendSet): Settings;
  change(before: Settings, read: ConfigWithKeys, next: ServedCertificate | null): SettingsChange;
} {
  const { options, transport, share, metrics, inFlight, quota, certificate, openTrail } = sources;
  const { log } = options;
  const siblings = options.siblings ?? null;
  /** The same for as long as the process lives: what it told under it before a reload is told anew. */
  const processId = randomUUID();
  // The key check outlives a connection to Redis.
  const guessesTogether = createSwitchedSharing();
  const guessSharing = combineSharing([siblings?.sharing ?? null, guessesTogether]);
  // Made once: a reload forgives nobody.
  const tokenGuesses = createGuessBackoff(Date.now, guessSharing, 'wrong-tokens');

  function open(first: ServerConfig, set: BackendSet): Settings {
    const { auth, logs, server } = first.deployment;
    const { extraKeys, readKeys } = options;
    const readAddress = createAddressReader(server.trustedProxies);
    // Judged before a file is opened.
    buildGuard(first, certificate());
    const target = redisTargetOf(first);
    const keys = auth.required
      ? createKeyCheck({ storeFile: first.keyStoreFile, extraKeys, readKeys, log, sharing: guessSharing })
      : null;
    let audit: AuditWriter | null;
    try {
      audit = openAudit(logs, log);
    } catch (error) {
      keys?.close();
      throw error;
    }
    const resource = describeProtectedResource(first.deployment);
    const redis = target === null ? null : createSharedRedis(target, log);
    set.kept?.shared?.use(redis);
    const limits = openLimits(first, redis);
    guessesTogether.use(limits.together?.sharing ?? null);
    return {
      config: first,
      resource,
      tokens: createTokens(first, resource, log, tokenGuesses),
      set,
      keys,
      audit,
      trail: openTrail(audit),
      readAddress,
      ...limits,
      redis,
    };
  }

  function change(
    before: Settings,
    { config, extraKeys, readKeys }: ConfigWithKeys,
    next: ServedCertificate | null,
  ): SettingsChange {
    const { auth, logs, server, limits } = config.deployment;
    const old = before.config.deployment;
    const set = options.backends === undefined ? createBackends(config, options, before.set) : before.set;
    const readAddress = createAddressReader(server.trustedProxies);
    buildGuard(config, next);
    const target = redisTargetOf(config);
    const sameRedis = JSON.stringify(target) === JSON.stringify(redisTargetOf(before.config));
    createPageAccess({ behindProxy: server.behindProxy, metricsFrom: server.metricsFrom, readAddress });
    createAddressGate(server);
    const sources = { storeFile: config.keyStoreFile, extraKeys, readKeys };
    const useKeys = auth.required && before.keys !== null ? before.keys.prepare(sources) : () => {};
    const keys = auth.required ? (before.keys ?? createKeyCheck({ ...sources, log, sharing: guessSharing })) : null;
    const sameAudit = JSON.stringify({ ...logs, level: '' }) === JSON.stringify({ ...old.logs, level: '' });
    let { audit, trail } = before;
    if (!sameAudit) {
      try {
        audit = openAudit(logs, log);
      } catch (error) {
        if (keys !== before.keys) keys?.close();
        throw error;
      }
      trail = openTrail(audit);
    }
    const resource = describeProtectedResource(config.deployment);
    const sameTokens =
      JSON.stringify([auth, resource?.metadataJson]) === JSON.stringify([old.auth, before.resource?.metadataJson]);
    const tokens = sameTokens ? before.tokens : createTokens(config, resource, log, tokenGuesses);
    const redis = sameRedis ? before.redis : target === null ? null : createSharedRedis(target, log);
    const sameLimits =
      sameRedis && JSON.stringify([limits, config.deployment.redis]) === JSON.stringify([old.limits, old.redis]);
    // The buckets of clients keep their level while the limits stay.
    const { limit, together, holdings } = sameLimits ? before : openLimits(config, redis);

    return {
      settings: { config, set, keys, audit, trail, readAddress, limit, together, holdings, resource, tokens, redis },
      useKeys,
      retire(counted) {
        set.kept?.shared?.use(redis);
        guessesTogether.use(together?.sharing ?? null);
        if (!sameLimits) before.together?.close();
        if (!sameLimits) before.holdings?.close();
        if (!sameRedis && before.redis !== null) {
          counted.redisErrors(before.redis.errors);
          before.redis.close();
        }
        if (!sameTokens) before.tokens?.close();
        if (keys !== before.keys) before.keys?.close();
        if (sameAudit) void audit?.reopen();
        if (!sameAudit) before.trail?.close();
        if (!sameAudit) void before.audit?.close().then(() => counted.droppedLines(before.audit?.dropped ?? 0));
      },
      discard() {
        if (keys !== before.keys) keys?.close();
        if (!sameTokens) tokens?.close();
        if (!sameLimits) together?.close();
        if (!sameLimits) holdings?.close();
        if (!sameRedis) redis?.close();
        if (!sameAudit) void audit?.close();
      },
    };
  }

  function openLimits(
    { deployment: { limits, redis: settings } }: ServerConfig,
    redis: SharedRedis | null,
  ): Pick<Settings, 'limit' | 'together' | 'holdings'> {
    const together = redis === null ? null : createRedisLimits(redis, log);
    const holdings = redis === null ? null : createRedisHoldings(redis, processId);
    const graceMs = settings === 'off' || settings.whenDown === 'open' ? null : settings.graceSeconds * 1_000;
    const limit = createCallLimits(limits, metrics, inFlight, quota, {
      processes: share,
      holdings,
      // The workers of one replica tell each other too: without Redis they still have one limit.
      sharing: combineSharing([siblings?.sharing ?? null, together?.sharing ?? null]),
      refusesCalls() {
        if (graceMs === null || together === null || together.failingSinceMs === null) return false;
        return performance.now() - together.failingSinceMs >= graceMs;
      },
    });
    return { limit, together, holdings };
  }

  /** On standard input and output there is one client, who shares with nobody. */
  function redisTargetOf({ deployment: { redis, name }, baseDir }: ServerConfig): RedisTarget | null {
    return redis === 'off' || transport === 'stdio' ? null : readRedisTarget(redis, name, baseDir);
  }

  return { open, change };
}
