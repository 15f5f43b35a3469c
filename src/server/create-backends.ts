import type { CacheSetting } from '../deployment/cache-schema.ts';
import { UserError } from '../deployment/errors.ts';
import { variablesIn } from '../deployment/fill-variables.ts';
import type { Upstream } from '../deployment/schema.ts';
import { cacheBackend } from './backends/cached-backend.ts';
import { KeptAnswers } from './backends/kept-answers.ts';
import { createBuiltinBackend } from './backends/builtin-backend.ts';
import { createDeclaredBackend } from './backends/declared-backend.ts';
import { createHttpBackend } from './backends/http-backend.ts';
import { guardBackend } from './backends/guarded-backend.ts';
import { limitToolTime } from './backends/timed-backend.ts';
import { createStdioBackend } from './backends/stdio-backend.ts';
import { traceBackend } from './backends/traced-backend.ts';
import type { Log } from './observe/log.ts';
import type { Traces, UpstreamPlace } from './observe/traces.ts';
import type { ServerConfig } from './server-config.ts';
import { createRedisAnswers, type RedisAnswers } from './shared-state/redis-answers.ts';
import type { Backend } from './types.ts';

/** No line, JSON body or event of an upstream may be longer: results of this size still pass. */
const maxLineBytes = 64 * 1_048_576;

/** Backends, and what each was made from. */
export interface BackendSet {
  readonly backends: readonly Backend[];
  /** A backend made from the same is the same: it can stay when the configuration changes elsewhere. */
  readonly byOrigin: ReadonlyMap<string, Backend>;
  /** Answers that are kept, for as long as this setting stays. */
  readonly kept: {
    readonly setting: string;
    readonly answers: KeptAnswers;
    /** Those of all replicas; null where each keeps its own. Knows no Redis until it is told one. */
    readonly shared: RedisAnswers | null;
  } | null;
}

/**
 * The backends that a deployment names; nothing is started.
 * @param before those that serve now: what has not changed is taken over as it runs
 * @throws UserError when there is nothing to serve.
 */
export function createBackends(
  { deployment, baseDir }: ServerConfig,
  options: {
    readonly version: string;
    readonly env: NodeJS.ProcessEnv;
    readonly log: Log;
    readonly traces?: Traces | null;
  },
  before: BackendSet | null = null,
): BackendSet {
  const { server } = deployment;
  const { version, env, log } = options;
  const byOrigin = new Map<string, Backend>();
  const kept = keptAnswers(server.cache, log, before);
  const cached = (backend: Backend, made: readonly unknown[], perKey: boolean): Backend => {
    if (server.cache === 'off' || kept === null) return backend;
    const text = JSON.stringify(made);
    // What it is made from on this machine: a replica in another environment may have other answers.
    const shared = kept.shared?.shelf(JSON.stringify([text, variablesIn(text).map((name) => env[name])])) ?? null;
    return cacheBackend(backend, server.cache, kept.answers.shelf(), perKey, shared);
  };
  const take = (made: readonly unknown[], create: (made: readonly unknown[]) => Backend): void => {
    // Other rules of the cache make another backend.
    const origin = JSON.stringify([...made, server.cache, baseDir]);
    byOrigin.set(origin, before?.byOrigin.get(origin) ?? create(made));
  };
  const traces = options.traces ?? null;
  for (const [name, upstream] of Object.entries(server.upstreams)) {
    take(['upstream', name, upstream], (made) => {
      const backend =
        'url' in upstream
          ? createHttpBackend(name, upstream, {
              env,
              baseDir,
              log,
              maxMessageBytes: maxLineBytes,
              serverVersion: version,
            })
          : createStdioBackend(name, upstream, { env, baseDir, log, maxLineBytes, serverVersion: version });
      const traced = traces === null ? backend : traceBackend(backend, placeOf(name, upstream), traces);
      const { toolSeconds } = upstream;
      const timed = toolSeconds === undefined ? traced : limitToolTime(traced, toolSeconds);
      const guarded = upstream.breaker === 'off' ? timed : guardBackend(timed, upstream.breaker, log);
      const instances = 'url' in upstream ? 'shared' : upstream.instances;
      // What a session has its own process for is nobody else's.
      return instances === 'per-session' ? guarded : cached(guarded, made, instances === 'per-key');
    });
  }
  if (Object.keys(server.tools).length > 0 || server.content !== undefined) {
    take(['tools', server.tools, server.content, server.safety], (made) =>
      cached(createDeclaredBackend(server, { env, baseDir, log, serverVersion: version }), made, false),
    );
  }
  if (server.builtinTools === 'on' || (server.builtinTools === 'auto' && byOrigin.size === 0)) {
    const describe = () => ({ name: deployment.name, version, node: process.version });
    take(['builtin', deployment.name], () => createBuiltinBackend({ serverVersion: version, describe }));
  }
  const backends = [...byOrigin.values()];
  if (backends.length === 0) {
    throw new UserError('There is nothing to serve', {
      why: 'The deployment names no upstream and no tool, and switches the built-in tools off.',
      next: 'Name an upstream or a tool, or set server.builtinTools to auto.',
    });
  }
  return { backends, byOrigin, kept };
}

function keptAnswers(cache: CacheSetting, log: Log, before: BackendSet | null): BackendSet['kept'] {
  if (cache === 'off') return null;
  const setting = JSON.stringify(cache);
  if (before?.kept?.setting === setting) return before.kept;
  const answers = new KeptAnswers(cache.maxMegabytes * 1_048_576, cache.maxEntries);
  return {
    setting,
    answers,
    shared: cache.store === 'redis' ? createRedisAnswers(log, { boundMs: cache.storeWaitMs }) : null,
  };
}

function placeOf(name: string, upstream: Upstream): UpstreamPlace {
  if (!('url' in upstream)) return { name, transport: 'pipe' };
  const { hostname, port, protocol } = new URL(upstream.url);
  return {
    name,
    transport: 'tcp',
    host: hostname,
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
  };
}
