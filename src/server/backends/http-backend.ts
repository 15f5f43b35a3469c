import { resolve } from 'node:path';
import { fillVariables } from '../../deployment/fill-variables.ts';
import type { HttpUpstream } from '../../deployment/http-upstream-schema.ts';
import type { Backend, BackendCall, BackendState, CancelCall, ListKind } from '../types.ts';
import { UPSTREAM_UNAVAILABLE, upstreamError } from './backend-errors.ts';
import type { Log } from './backend-log.ts';
import { createEraBridge } from './era-bridge.ts';
import type { Hello } from './handshake.ts';
import { HttpInstance, type HttpSpec } from './http-instance.ts';
import { listKindOf } from './list-kind.ts';
import type { UnsentCall } from './pending-calls.ts';
import { createResourceSubscriptions } from './resource-subscriptions.ts';
import { superviseInstance, type Supervised } from './supervised-instance.ts';

export interface HttpBackendOptions {
  /** Environment of the server: what `${NAME}` in headers is filled from. */
  readonly env: NodeJS.ProcessEnv;
  /** Folder that a relative `caFile` starts from. */
  readonly baseDir: string;
  readonly log: Log;
  /** Largest JSON answer or event; 64 MiB by default. */
  readonly maxMessageBytes?: number;
  readonly serverVersion: string;
}

const defaultMaxMessageBytes = 64 * 1_048_576;
/** A call that did not reach the server is tried so often in all. */
const maxAttempts = 3;

/**
 * A backend whose MCP server is reached over Streamable HTTP, in the era that
 * it speaks. It gets the credentials of the deployment, never those of the caller.
 */
export function createHttpBackend(name: string, upstream: HttpUpstream, options: HttpBackendOptions): Backend {
  const { log } = options;
  const stateListeners: (() => void)[] = [];
  const listListeners: ((kind: ListKind) => void)[] = [];
  const resourceListeners: ((uri: string, sessionId: string | null) => void)[] = [];
  const attempts = new WeakMap<BackendCall, number>();
  /** Every session that may still have calls in flight. */
  const instances = new Set<HttpInstance>();
  const bridge = createEraBridge();
  let state: BackendState = { state: 'starting', since: Date.now() };
  let supervisor: Supervised<HttpInstance> | null = null;
  const subscriptions = createResourceSubscriptions(name, log, (error) => {
    supervisor?.instance?.listenEnded(error, () => subscriptions.listenAgain());
  });

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

  function onNotification(method: string, params: Record<string, unknown>): void {
    const kind = listKindOf(method);
    const uri = params['uri'];
    if (kind !== null) {
      tellListChanged(kind);
    } else if (method === 'notifications/resources/updated' && typeof uri === 'string') {
      for (const sessionId of subscriptions.subscribersOf(uri)) {
        for (const listener of resourceListeners) listener(uri, sessionId);
      }
    } else {
      log.debug('upstream-notification-dropped', { upstream: name, method });
    }
  }

  function onUnsent({ call, handOver }: UnsentCall): void {
    const attempt = (attempts.get(call) ?? 1) + 1;
    attempts.set(call, attempt);
    if (supervisor !== null && attempt <= maxAttempts) {
      handOver(supervisor.forward(call));
      return;
    }
    failUnavailable(call, 'it did not take the call, several times');
  }

  function failUnavailable(call: BackendCall, reason: string): void {
    const message = `The upstream "${name}" is not available: ${reason.replace(/\.$/, '')}.`;
    queueMicrotask(() => call.onError(upstreamError(UPSTREAM_UNAVAILABLE, name, message, 'not run')));
  }

  /** Null when it cannot be called at all; `state` says why. */
  function prepare(): HttpSpec | null {
    const headers: Record<string, string> = {};
    for (const [header, text] of Object.entries(upstream.headers)) {
      const filled = fillVariables(text, options.env);
      if (filled.missing.length > 0) {
        const names = filled.missing.join(', ');
        return refuse(
          `${names} is not set, and headers.${header} of the upstream "${name}" needs it. Set it in the environment of the server.`,
        );
      }
      // A key that was read from a file often ends with a line feed; anywhere else it would forge a header.
      const value = filled.text.trim();
      if (/[^\t\x20-\x7e\x80-\xff]/.test(value)) {
        return refuse(`headers.${header} of the upstream "${name}" has a character that no header may hold.`);
      }
      headers[header] = value;
    }
    return {
      name,
      upstream,
      headers,
      caFile: upstream.caFile === undefined ? null : resolve(options.baseDir, upstream.caFile),
      clientInfo: { name: 'mcp-deploy', version: options.serverVersion },
      maxMessageBytes: options.maxMessageBytes ?? defaultMaxMessageBytes,
      log,
    };
  }

  function refuse(reason: string): null {
    log.error('upstream-broken', { upstream: name, reason });
    state = { state: 'broken', since: Date.now(), retryAt: Number.POSITIVE_INFINITY, reason, lastWords: [] };
    tellState();
    return null;
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
      return supervisor?.restarts ?? 0;
    },
    get inFlight() {
      let inFlight = supervisor?.inFlight ?? 0;
      for (const one of instances) if (one !== supervisor?.instance) inFlight += one.connection?.inFlight ?? 0;
      return inFlight;
    },
    start() {
      if (supervisor !== null) return;
      const spec = prepare();
      if (spec === null) return;
      supervisor = superviseInstance(
        {
          name,
          log,
          start(events) {
            for (const old of instances) if (old.connection?.inFlight === 0) instances.delete(old);
            const started = new HttpInstance(spec, { ...events, onUnsent });
            instances.add(started);
            return started;
          },
        },
        { onStateChange: tellState, onUp, onNotification },
      );
      supervisor.start();
    },
    async stop(graceMs) {
      await supervisor?.stop(graceMs);
      await Promise.all(Array.from(instances, (one) => one.close(graceMs)));
    },
    forward(call): CancelCall {
      if (supervisor === null) {
        failUnavailable(call, 'reason' in state ? state.reason : 'it has not been started');
        return () => {};
      }
      const current = supervisor;
      if (call.method === 'resources/subscribe' || call.method === 'resources/unsubscribe') {
        return subscriptions.forward(call, (sent) => current.forward(sent));
      }
      return bridge.forward(call, current.hello, (sent) => current.forward(sent));
    },
    // The gateway is the one client of the upstream: what changed at one of its own clients is none of its business.
    notify() {},
    endSession(sessionId) {
      subscriptions.endSession(sessionId);
      bridge.endSession(sessionId);
    },
    onStateChange: (listener) => void stateListeners.push(listener),
    onListChanged: (listener) => void listListeners.push(listener),
    onResourceUpdated: (listener) => void resourceListeners.push(listener),
  };
}
