import type { Backend, BackendCall, CancelCall, ListKind } from '../types.ts';
import type { Log } from './backend-log.ts';
import { mergeCapabilities, mergeInstructions } from './merge-capabilities.ts';
import { createRoutingTable, type RoutingTable } from './routing-table.ts';

/** All backends of the server as one MCP server. */
export interface Registry {
  readonly backends: readonly Backend[];
  start(): void;
  /**
   * Calls go to these from now on; those on their way are left to the backends that have them. Backends that were
   * there before keep their listeners and lists of others are read anew. Starts and stops nothing.
   */
  replace(backends: readonly Backend[]): void;
  /** Ends all backends; resolves when nothing of them is left. */
  stop(graceMs: number): Promise<void>;
  /** At least one backend can serve. */
  ready(): boolean;
  /** Legacy ServerCapabilities of all backends together, as far as they are known. */
  capabilities(): Record<string, unknown>;
  instructions(): string | null;
  /**
   * Sends a call to the backend that it is for: tools/list, tools/call, resources/*, prompts/*,
   * completion/complete and logging/setLevel. Never answers before it returns.
   */
  dispatch(call: BackendCall): CancelCall;
  /** Name of the backend that a call is for; null when that is not known beforehand. */
  upstreamOf(call: Pick<BackendCall, 'method' | 'params'>): string | null;
  /**
   * Whether a backend lists this tool, as far as the lists were read; those that were not are read now, so that the
   * next answer is better.
   */
  knowsTool(name: string): boolean;
  notify(method: string, params: Record<string, unknown> | undefined, sessionId: string | null): void;
  endSession(sessionId: string): void;
  onListChanged(listener: (kind: ListKind) => void): void;
  onResourceUpdated(listener: (uri: string, sessionId: string | null) => void): void;
  onStateChange(listener: () => void): void;
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };
const listKinds: readonly ListKind[] = ['tools', 'resources', 'prompts'];

/** All backends as one MCP server. Who they are can be replaced while calls are under way. */
export function createRegistry(given: readonly Backend[], log: Log = silent): Registry {
  const listListeners: ((kind: ListKind) => void)[] = [];
  const resourceListeners: ((uri: string, sessionId: string | null) => void)[] = [];
  const stateListeners: (() => void)[] = [];
  /** A backend that stays through a replacement must not be listened to twice. */
  const heard = new WeakSet<Backend>();
  let table: RoutingTable = makeTable(given);

  function makeTable(backends: readonly Backend[]): RoutingTable {
    for (const backend of backends) {
      if (heard.has(backend)) continue;
      heard.add(backend);
      hear(backend);
    }
    const own = createRoutingTable(backends, log, (kind) => {
      if (own === table) tellListChanged(kind);
    });
    return own;
  }

  /** One that was replaced may still finish its calls; what it has to say about lists is of no interest any more. */
  function hear(backend: Backend): void {
    const isServing = (): boolean => table.backends.includes(backend);
    backend.onStateChange(() => {
      if (!isServing()) return;
      table.stateChanged(backend);
      tellStateChanged();
    });
    backend.onListChanged((kind) => {
      if (!isServing()) return;
      table.listChanged(backend, kind);
      tellListChanged(kind);
    });
    backend.onResourceUpdated((uri, sessionId) => {
      if (!isServing()) return;
      for (const listener of resourceListeners) listener(uri, sessionId);
    });
  }

  function tellListChanged(kind: ListKind): void {
    for (const listener of listListeners) listener(kind);
  }

  function tellStateChanged(): void {
    for (const listener of stateListeners) listener();
  }

  return {
    get backends() {
      return table.backends;
    },
    start() {
      for (const backend of table.backends) backend.start();
    },
    replace(backends) {
      table = makeTable(backends);
      tellStateChanged();
      for (const kind of listKinds) tellListChanged(kind);
    },
    async stop(graceMs) {
      await Promise.all(table.backends.map((backend) => backend.stop(graceMs)));
    },
    ready: () => table.backends.some((backend) => backend.state.state === 'up'),
    capabilities: () => mergeCapabilities(table.backends),
    instructions: () => mergeInstructions(table.backends),
    dispatch: (call) => table.dispatch(call),
    upstreamOf: (call) => table.upstreamOf(call),
    knowsTool: (name) => table.knowsTool(name),
    notify(method, params, sessionId) {
      for (const backend of table.backends) backend.notify(method, params, sessionId);
    },
    endSession(sessionId) {
      for (const backend of table.backends) backend.endSession(sessionId);
    },
    onListChanged: (listener) => void listListeners.push(listener),
    onResourceUpdated: (listener) => void resourceListeners.push(listener),
    onStateChange: (listener) => void stateListeners.push(listener),
  };
}
