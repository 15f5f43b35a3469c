import { UserError } from '../deployment/errors.ts';
import type { Upstream } from '../deployment/schema.ts';
import { createBuiltinBackend } from './backends/builtin-backend.ts';
import { createDeclaredBackend } from './backends/declared-backend.ts';
import { createHttpBackend } from './backends/http-backend.ts';
import { guardBackend } from './backends/guarded-backend.ts';
import { createStdioBackend } from './backends/stdio-backend.ts';
import { traceBackend } from './backends/traced-backend.ts';
import type { Log } from './observe/log.ts';
import type { Traces, UpstreamPlace } from './observe/traces.ts';
import type { ServerConfig } from './server-config.ts';
import type { Backend } from './types.ts';

/** No line, JSON body or event of an upstream may be longer: results of this size still pass. */
const maxLineBytes = 64 * 1_048_576;

/** Backends, and what each was made from. */
export interface BackendSet {
  readonly backends: readonly Backend[];
  /** A backend made from the same is the same: it can stay when the configuration changes elsewhere. */
  readonly byOrigin: ReadonlyMap<string, Backend>;
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
  const take = (made: readonly unknown[], create: () => Backend): void => {
    const origin = JSON.stringify([...made, baseDir]);
    byOrigin.set(origin, before?.byOrigin.get(origin) ?? create());
  };
  const traces = options.traces ?? null;
  for (const [name, upstream] of Object.entries(server.upstreams)) {
    take(['upstream', name, upstream], () => {
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
      return upstream.breaker === 'off' ? traced : guardBackend(traced, upstream.breaker, log);
    });
  }
  if (Object.keys(server.tools).length > 0 || server.content !== undefined) {
    take(['tools', server.tools, server.content], () =>
      createDeclaredBackend(server, { env, baseDir, log, serverVersion: version }),
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
  return { backends, byOrigin };
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
