import { resolve } from 'node:path';
import type { StdioUpstream } from '../../deployment/stdio-upstream-schema.ts';
import type { Backend, BackendCall, BackendState, CancelCall, ListKind } from '../types.ts';
import { UPSTREAM_UNAVAILABLE, upstreamError } from './backend-errors.ts';
import type { Log } from './backend-log.ts';
import { buildChildEnvironment } from './child-environment.ts';
import { createChildPool, type ChildPool } from './child-pool.ts';
import { createEraBridge } from './era-bridge.ts';
import { findCommand } from './find-command.ts';
import type { Hello } from './handshake.ts';
import { listKindOf } from './list-kind.ts';
import { watchMemory } from './memory-watch.ts';
import { createResourceSubscriptions, type ResourceSubscriptions } from './resource-subscriptions.ts';
import { startInstance, type ChildSpec, type InstanceEvents, type StdioInstance } from './stdio-instance.ts';
import { superviseInstance, type Supervised } from './supervised-instance.ts';

export interface StdioBackendOptions {
  /** Environment of the server: what `${NAME}` is filled from. */
  readonly env: NodeJS.ProcessEnv;
  /** Folder that a relative `cwd` starts from, and the folder to start in without one. */
  readonly baseDir: string;
  readonly log: Log;
  /** Longest line that a child may send; 64 MiB by default. */
  readonly maxLineBytes?: number;
  /** How often the memory of children is looked at; 5 s by default. */
  readonly memoryLookMs?: number;
  /** Version that the gateway gives of itself in the handshake. */
  readonly serverVersion: string;
}

const defaultMaxLineBytes = 64 * 1_024 * 1_024;
const defaultMemoryLookMs = 5_000;
/** Beyond so many times what it may hold, a child is not waited for any more. */
const hardMemoryFactor = 2;

/** What a child shared by all clients may ask for; roots belong to one client and are not offered. */
const sharedCapabilities = { sampling: {}, elicitation: { form: {}, url: {} } };
/** The child that only tells what there is offers everything a client could, so that nothing is hidden. */
const templateCapabilities = { ...sharedCapabilities, roots: { listChanged: true } };

const listMethods: ReadonlySet<string> = new Set([
  'tools/list',
  'resources/list',
  'resources/templates/list',
  'prompts/list',
]);

/** A backend whose MCP server is a child process on standard input and output. */
export function createStdioBackend(name: string, upstream: StdioUpstream, options: StdioBackendOptions): Backend {
  const { log } = options;
  const stateListeners: (() => void)[] = [];
  const listListeners: ((kind: ListKind) => void)[] = [];
  const resourceListeners: ((uri: string, sessionId: string | null) => void)[] = [];
  const shared = upstream.instances === 'shared';
  const subscriptions = createResourceSubscriptions(name, log);
  const bridge = createEraBridge();
  let state: BackendState = { state: 'starting', since: Date.now() };
  /** The child of all clients, or the one that stands for the children of the pool: capabilities and lists. */
  let supervisor: Supervised<StdioInstance> | null = null;
  let pool: ChildPool | null = null;
  let memory: { close(): void } | null = null;

  function tellState(): void {
    if (supervisor !== null) state = supervisor.state;
    for (const listener of stateListeners) listener();
  }

  function tellListChanged(kind: ListKind): void {
    for (const listener of listListeners) listener(kind);
  }

  function onUp(hello: Hello, again: boolean): void {
    const connection = supervisor?.instance?.connection;
    if (connection == null) return;
    subscriptions.onUp(connection, hello);
    if (!again) return;
    for (const kind of ['tools', 'resources', 'prompts'] as const)
      if (kind in hello.capabilities) tellListChanged(kind);
  }

  function onNotification(method: string, params: Record<string, unknown>, from: ResourceSubscriptions): void {
    const kind = listKindOf(method);
    const uri = params['uri'];
    if (kind !== null) {
      tellListChanged(kind);
    } else if (method === 'notifications/resources/updated' && typeof uri === 'string') {
      for (const sessionId of from.subscribersOf(uri)) {
        for (const listener of resourceListeners) listener(uri, sessionId);
      }
    } else {
      log.debug('upstream-notification-dropped', { upstream: name, method });
    }
  }

  function* instancesToWatch(): Iterable<StdioInstance> {
    const instance = supervisor?.instance ?? null;
    if (instance !== null) yield instance;
    if (supervisor !== null) yield* supervisor.draining;
    if (pool !== null) yield* pool.instances();
  }

  function onTooMuchMemory(child: StdioInstance, bytes: number, limitBytes: number): void {
    const megabytes = Math.round(bytes / 1_048_576);
    const said = { upstream: name, megabytes, maxMemoryMegabytes: upstream.maxMemoryMegabytes };
    if (bytes > limitBytes * hardMemoryFactor) {
      log.error('upstream-over-memory', { ...said, action: 'ended at once' });
      child.giveUp(`it held ${megabytes} MiB of memory and may hold ${upstream.maxMemoryMegabytes}`);
      return;
    }
    const replaced = child === supervisor?.instance ? supervisor.replace() : pool?.retire(child);
    if (replaced === true) log.warn('upstream-over-memory', { ...said, action: 'another takes its place' });
  }

  /** Null when it cannot be started at all; `state` says why. */
  function prepare(): ChildSpec | null {
    const environment = buildChildEnvironment(options.env, upstream.env, process.platform);
    if (environment.kind === 'missing') {
      const names = environment.names.join(', ');
      const verb = environment.names.length === 1 ? 'is' : 'are';
      return refuse(
        `${names} ${verb} not set, and env.${environment.setting} of the upstream "${name}" needs ${environment.names.length === 1 ? 'it' : 'them'}. Set ${names} in the environment of the server, or give a default: \${${environment.names[0]}:-value}.`,
      );
    }
    const cwd = resolve(options.baseDir, upstream.cwd ?? '.');
    const { env } = environment;
    const found = findCommand(
      upstream.command,
      cwd,
      env['PATH'] ?? '',
      process.platform === 'win32' ? (env['PATHEXT'] ?? '.EXE') : '',
    );
    if (found.kind === 'missing') return refuse(found.sentence);
    return {
      name,
      upstream,
      program: found.path,
      cwd,
      env,
      clientInfo: { name: 'mcp-deploy', version: options.serverVersion },
      maxLineBytes: options.maxLineBytes ?? defaultMaxLineBytes,
      log,
    };
  }

  function refuse(reason: string): null {
    log.error('upstream-broken', { upstream: name, reason });
    state = { state: 'broken', since: Date.now(), retryAt: Number.POSITIVE_INFINITY, reason, lastWords: [] };
    tellState();
    return null;
  }

  function forward(call: BackendCall): CancelCall {
    const child = supervisor;
    if (child === null) {
      const reason = 'reason' in state ? state.reason : 'it has not been started.';
      const message = `The upstream "${name}" is not available: ${reason}`;
      queueMicrotask(() => call.onError(upstreamError(UPSTREAM_UNAVAILABLE, name, message, 'not run')));
      return () => {};
    }
    return bridge.forward(call, child.hello, sendToChild);
  }

  function sendToChild(call: BackendCall): CancelCall {
    const child = supervisor;
    if (child === null) throw new Error('nothing is sent before start()');
    if (pool !== null) {
      const owner = ownerOf(call, upstream.instances);
      if (!listMethods.has(call.method)) return pool.forward(owner, call);
      return pool.forwardIfUp(owner, call) ?? child.forward(call);
    }
    if (call.method === 'resources/subscribe' || call.method === 'resources/unsubscribe') {
      return subscriptions.forward(call, (sent) => child.forward(sent));
    }
    return child.forward(call);
  }

  return {
    name,
    get state() {
      return state;
    },
    get capabilities() {
      return supervisor?.hello?.capabilities ?? {};
    },
    get serverInfo() {
      const hello = supervisor?.hello ?? null;
      return hello === null ? null : (hello.serverInfo ?? { name, version: '' });
    },
    get instructions() {
      return supervisor?.hello?.instructions ?? null;
    },
    get restarts() {
      return (supervisor?.restarts ?? 0) + (pool?.restarts ?? 0);
    },
    get inFlight() {
      return (supervisor?.inFlight ?? 0) + (pool?.inFlight ?? 0);
    },
    start() {
      if (supervisor !== null) return;
      const spec = prepare();
      if (spec === null) return;
      if (!shared) pool = createChildPool(spec, { onNotification });
      const capabilities = shared ? sharedCapabilities : templateCapabilities;
      const source = { name, log, start: (events: InstanceEvents) => startInstance(spec, capabilities, events) };
      supervisor = superviseInstance(source, {
        onStateChange: tellState,
        onUp,
        onNotification: (method, params) => onNotification(method, params, subscriptions),
      });
      supervisor.start();
      if (upstream.maxMemoryMegabytes === undefined) return;
      if (process.platform !== 'linux') {
        log.warn('upstream-memory-not-watched', { upstream: name, reason: 'only Linux tells the memory of processes' });
        return;
      }
      const limitBytes = upstream.maxMemoryMegabytes * 1_048_576;
      memory = watchMemory({
        limitBytes,
        everyMs: options.memoryLookMs ?? defaultMemoryLookMs,
        children: instancesToWatch,
        onOver: (child, bytes) => onTooMuchMemory(child, bytes, limitBytes),
      });
    },
    async stop(graceMs) {
      memory?.close();
      await Promise.all([supervisor?.stop(graceMs), pool?.stop(graceMs)]);
    },
    forward,
    notify(method, params, sessionId) {
      // The shared child has one client, the gateway: what changed at one of ours is none of its business.
      if (upstream.instances === 'per-session' && sessionId !== null) pool?.notify(sessionId, method, params);
    },
    endSession(sessionId) {
      subscriptions.endSession(sessionId);
      bridge.endSession(sessionId);
      pool?.endSubscriptions(sessionId);
      if (upstream.instances === 'per-session') pool?.end(sessionId);
    },
    onStateChange: (listener) => void stateListeners.push(listener),
    onListChanged: (listener) => void listListeners.push(listener),
    onResourceUpdated: (listener) => void resourceListeners.push(listener),
  };
}

/** Whose child a call belongs to. Modern clients have no session, so theirs is the key's. */
function ownerOf(call: BackendCall, instances: StdioUpstream['instances']): string {
  const bySession = instances === 'per-session' && call.era === 'legacy' && call.sessionId !== null;
  return bySession ? (call.sessionId ?? '') : `key:${call.caller.keyId}`;
}
