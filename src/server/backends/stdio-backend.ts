import { resolve } from 'node:path';
import type { StdioUpstream } from '../../deployment/schema.ts';
import type { Backend, BackendCall, BackendState, CancelCall, ListKind } from '../types.ts';
import { UPSTREAM_UNAVAILABLE, upstreamError } from './backend-errors.ts';
import type { Log } from './backend-log.ts';
import { buildChildEnvironment } from './child-environment.ts';
import { findCommand } from './find-command.ts';
import type { Hello } from './handshake.ts';
import type { ChildSpec } from './stdio-instance.ts';
import { createSubscriptions } from './subscriptions.ts';
import { superviseChild, type SupervisedChild } from './supervised-child.ts';

export interface StdioBackendOptions {
  /** Environment of the server: what `${NAME}` is filled from. */
  readonly env: NodeJS.ProcessEnv;
  /** Folder that a relative `cwd` starts from, and the folder to start in without one. */
  readonly baseDir: string;
  readonly log: Log;
  /** Longest line that a child may send; 64 MiB by default. */
  readonly maxLineBytes?: number;
  /** Version that the gateway gives of itself in the handshake. */
  readonly serverVersion: string;
}

const defaultMaxLineBytes = 64 * 1_024 * 1_024;

/** What a child shared by all clients may ask for; roots belong to one client and are not offered. */
const sharedCapabilities = { sampling: {}, elicitation: { form: {}, url: {} } };

/** A backend whose MCP server is a child process on standard input and output. */
export function createStdioBackend(name: string, upstream: StdioUpstream, options: StdioBackendOptions): Backend {
  const { log } = options;
  const stateListeners: (() => void)[] = [];
  const listListeners: ((kind: ListKind) => void)[] = [];
  const resourceListeners: ((uri: string, sessionId: string | null) => void)[] = [];
  const subscriptions = createSubscriptions();
  let state: BackendState = { state: 'starting', since: Date.now() };
  let supervisor: SupervisedChild | null = null;

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
    if (hello.era === 'legacy') {
      for (const uri of subscriptions.uris) {
        connection.request('resources/subscribe', { uri }, 30_000).catch((error: unknown) => {
          log.warn('upstream-resubscribe-failed', { upstream: name, uri, reason: String(error) });
        });
      }
    }
    if (!again) return;
    for (const kind of ['tools', 'resources', 'prompts'] as const)
      if (kind in hello.capabilities) tellListChanged(kind);
  }

  function onNotification(method: string, params: Record<string, unknown>): void {
    switch (method) {
      case 'notifications/tools/list_changed':
        tellListChanged('tools');
        break;
      case 'notifications/resources/list_changed':
        tellListChanged('resources');
        break;
      case 'notifications/prompts/list_changed':
        tellListChanged('prompts');
        break;
      case 'notifications/resources/updated': {
        const uri = params['uri'];
        if (typeof uri !== 'string') break;
        for (const sessionId of subscriptions.subscribersOf(uri)) {
          for (const listener of resourceListeners) listener(uri, sessionId);
        }
        break;
      }
      default:
        log.debug('upstream-notification-dropped', { upstream: name, method });
    }
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
    if (supervisor === null) {
      const reason = 'reason' in state ? state.reason : 'it has not been started.';
      const error = upstreamError(
        UPSTREAM_UNAVAILABLE,
        name,
        `The upstream "${name}" is not available: ${reason}`,
        'not run',
      );
      queueMicrotask(() => call.onError(error));
      return () => {};
    }
    return supervisor.forward(call);
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
      return supervisor?.inFlight ?? 0;
    },
    start() {
      if (supervisor !== null) return;
      const spec = prepare();
      if (spec === null) return;
      supervisor = superviseChild(spec, sharedCapabilities, { onStateChange: tellState, onUp, onNotification });
      supervisor.start();
    },
    async stop(graceMs) {
      await supervisor?.stop(graceMs);
    },
    forward,
    notify() {},
    endSession() {},
    onStateChange: (listener) => void stateListeners.push(listener),
    onListChanged: (listener) => void listListeners.push(listener),
    onResourceUpdated: (listener) => void resourceListeners.push(listener),
  };
}
