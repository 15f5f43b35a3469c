import type { Backend, BackendCall, BackendState, ListKind } from '../../src/server/types.ts';

/** A backend whose every answer is given by the test. */
export interface FakeBackend extends Backend {
  state: BackendState;
  serverInfo: { name: string; version: string } | null;
  capabilities: Record<string, unknown>;
  /** Calls that were forwarded and not answered by `answer`. */
  readonly open: BackendCall[];
  /** Reasons with which calls were taken back. */
  readonly cancelled: string[];
  readonly endedSessions: string[];
  readonly notified: { method: string; sessionId: string | null }[];
  setState(state: BackendState): void;
  listChanged(kind: ListKind): void;
  resourceUpdated(uri: string, sessionId: string | null): void;
}

/** `answer` gives the result's JSON text at once, or null to leave the call open for the test. */
export function createFakeBackend(answer: (call: BackendCall) => string | null = () => null): FakeBackend {
  const stateListeners: (() => void)[] = [];
  const listListeners: ((kind: ListKind) => void)[] = [];
  const resourceListeners: ((uri: string, sessionId: string | null) => void)[] = [];
  const fake: FakeBackend = {
    name: 'fake',
    state: { state: 'up', since: Date.now() },
    capabilities: {
      tools: { listChanged: true },
      resources: { listChanged: true, subscribe: true },
      prompts: { listChanged: true },
    },
    serverInfo: { name: 'fake-server', version: '1.2.3' },
    instructions: 'Be kind.',
    restarts: 0,
    inFlight: 0,
    open: [],
    cancelled: [],
    endedSessions: [],
    notified: [],
    start() {},
    stop: () => Promise.resolve(),
    forward(call) {
      const result = answer(call);
      if (result === null) fake.open.push(call);
      else setImmediate(() => call.onResult(result));
      return (reason) => void fake.cancelled.push(reason);
    },
    notify(method, _params, sessionId) {
      fake.notified.push({ method, sessionId });
    },
    endSession(sessionId) {
      fake.endedSessions.push(sessionId);
    },
    onStateChange: (listener) => void stateListeners.push(listener),
    onListChanged: (listener) => void listListeners.push(listener),
    onResourceUpdated: (listener) => void resourceListeners.push(listener),
    setState(state) {
      fake.state = state;
      for (const listener of stateListeners) listener();
    },
    listChanged(kind) {
      for (const listener of listListeners) listener(kind);
    },
    resourceUpdated(uri, sessionId) {
      for (const listener of resourceListeners) listener(uri, sessionId);
    },
  };
  return fake;
}

/** Answers every call with what it was asked. */
export function echoBackend(): FakeBackend {
  return createFakeBackend(({ method, params }) =>
    method === 'tools/list'
      ? '{"tools":[]}'
      : JSON.stringify({ content: [{ type: 'text', text: JSON.stringify(params?.['arguments'] ?? null) }] }),
  );
}
