import type { Backend, BackendCall, CancelCall, ListKind } from '../types.ts';

/** All backends of the server as one MCP server. */
export interface Registry {
  readonly backends: readonly Backend[];
  start(): void;
  stop(graceMs: number): Promise<void>;
  /** At least one backend can serve. */
  ready(): boolean;
  /** Legacy ServerCapabilities of all backends together. */
  capabilities(): Record<string, unknown>;
  instructions(): string | null;
  dispatch(call: BackendCall): CancelCall;
  notify(method: string, params: Record<string, unknown> | undefined, sessionId: string | null): void;
  endSession(sessionId: string): void;
  onListChanged(listener: (kind: ListKind) => void): void;
  onResourceUpdated(listener: (uri: string, sessionId: string | null) => void): void;
  onStateChange(listener: () => void): void;
}

/** One MCP server out of all backends. */
export function createRegistry(backends: readonly Backend[]): Registry {
  const first = backends[0];
  return {
    backends,
    start() {
      for (const backend of backends) backend.start();
    },
    async stop(graceMs) {
      await Promise.all(backends.map((backend) => backend.stop(graceMs)));
    },
    ready: () => backends.some((backend) => backend.state.state === 'up'),
    capabilities: () => mergeCapabilities(backends),
    instructions: () => first?.instructions ?? null,
    dispatch(call) {
      if (first === undefined) throw new Error('a registry without backends');
      return first.forward(call);
    },
    notify(method, params, sessionId) {
      for (const backend of backends) backend.notify(method, params, sessionId);
    },
    endSession(sessionId) {
      for (const backend of backends) backend.endSession(sessionId);
    },
    onListChanged(listener) {
      for (const backend of backends) backend.onListChanged(listener);
    },
    onResourceUpdated(listener) {
      for (const backend of backends) backend.onResourceUpdated(listener);
    },
    onStateChange(listener) {
      for (const backend of backends) backend.onStateChange(listener);
    },
  };
}

function mergeCapabilities(backends: readonly Backend[]): Record<string, unknown> {
  const merged: Record<string, unknown> = {};
  for (const { capabilities } of backends) {
    if ('tools' in capabilities) merged['tools'] = { listChanged: true };
    if ('prompts' in capabilities) merged['prompts'] = { listChanged: true };
    if ('resources' in capabilities) {
      const { subscribe } = capabilities['resources'] as { subscribe?: boolean };
      const before = merged['resources'] as { subscribe?: boolean } | undefined;
      merged['resources'] = {
        listChanged: true,
        ...(subscribe === true || before?.subscribe === true ? { subscribe: true } : {}),
      };
    }
    if ('completions' in capabilities) merged['completions'] = {};
    if ('logging' in capabilities) merged['logging'] = {};
  }
  return merged;
}
